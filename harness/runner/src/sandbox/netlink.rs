//! The few rtnetlink requests that a sandbox needs, after rtnetlink(7), by hand: the crate for it brings
//! forty others and breaks monthly.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, socket,
};

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const NLMSG_ERROR: u16 = 2;

const NLM_F_REQUEST: u16 = 0x001;
const NLM_F_ACK: u16 = 0x004;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NUD_PERMANENT: u16 = 0x80;
const AF_INET: u8 = 2;
const HEADER_BYTES: usize = 16;

/// A request under construction.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        Message(bytes)
    }

    /// `struct ifinfomsg`
    fn link(mut self, index: u32, flags: u32) -> Self {
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        body[8..12].copy_from_slice(&flags.to_ne_bytes());
        body[12..16].copy_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&body);
        self
    }

    fn bytes(mut self, body: &[u8]) -> Self {
        self.0.extend_from_slice(body);
        self
    }

    fn attribute(mut self, kind: u16, data: &[u8]) -> Self {
        self.0.extend_from_slice(&(4 + data.len() as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn name(self, kind: u16, name: &str) -> Self {
        self.attribute(kind, &[name.as_bytes(), &[0]].concat())
    }

    fn nested(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let at = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        self = fill(self);
        let length = (self.0.len() - at) as u16;
        self.0[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.0[at + 2..at + 4].copy_from_slice(&kind.to_ne_bytes());
        self
    }
}

/// A virtual cable: a pair of linked interfaces, one here and one in another network namespace.
pub(super) struct Veth<'a> {
    /// The interface here.
    pub(super) name: String,
    /// The interface there.
    pub(super) peer: &'static str,
    pub(super) peer_network: BorrowedFd<'a>,
    pub(super) peer_mac: [u8; 6],
}

/// A netlink socket of the network namespace in which it was opened.
pub(super) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(super) fn open() -> nix::Result<Self> {
        let kind = SockType::Raw;
        let socket =
            socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::NetlinkRoute))?;
        connect(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Netlink { socket })
    }

    /// Sends a request and waits for the kernel's answer to it.
    fn ask(&self, message: Message) -> nix::Result<()> {
        let mut bytes = message.0;
        let length = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        send(self.socket.as_raw_fd(), &bytes, MsgFlags::empty())?;
        let mut answer = [0; 4096];
        loop {
            let n = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            if n < HEADER_BYTES + 4 {
                return Err(Errno::EBADMSG);
            }
            if u16::from_ne_bytes([answer[4], answer[5]]) == NLMSG_ERROR {
                let code = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
                return if code == 0 { Ok(()) } else { Err(Errno::from_raw(-code)) };
            }
        }
    }

    pub(super) fn up(&self, index: u32) -> nix::Result<()> {
        self.ask(Message::new(RTM_NEWLINK, 0).link(index, IFF_UP))
    }

    pub(super) fn add_bridge(&self, name: &str) -> nix::Result<()> {
        let message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL).link(0, IFF_UP);
        self.ask(message.name(IFLA_IFNAME, name).nested(IFLA_LINKINFO, |m| m.name(IFLA_INFO_KIND, "bridge")))
    }

    /// Lays a cable; its end here is a port of the bridge `master`, if there is one, and up.
    pub(super) fn add_veth(&self, veth: &Veth<'_>, master: Option<u32>) -> nix::Result<()> {
        let network = veth.peer_network.as_raw_fd() as u32;
        let mut message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
            .link(0, IFF_UP)
            .name(IFLA_IFNAME, &veth.name);
        if let Some(master) = master {
            message = message.attribute(IFLA_MASTER, &master.to_ne_bytes());
        }
        self.ask(message.nested(IFLA_LINKINFO, |m| {
            m.name(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, |m| {
                m.nested(VETH_INFO_PEER, |m| {
                    m.link(0, 0)
                        .name(IFLA_IFNAME, veth.peer)
                        .attribute(IFLA_ADDRESS, &veth.peer_mac)
                        .attribute(IFLA_NET_NS_FD, &network.to_ne_bytes())
                })
            })
        }))
    }

    pub(super) fn add_address(&self, index: u32, ip: Ipv4Addr, prefix_bits: u8) -> nix::Result<()> {
        // struct ifaddrmsg: family, prefix length, flags, scope, index
        let mut body = [AF_INET, prefix_bits, 0, 0, 0, 0, 0, 0];
        body[4..8].copy_from_slice(&index.to_ne_bytes());
        let message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL).bytes(&body);
        self.ask(message.attribute(IFA_LOCAL, &ip.octets()).attribute(IFA_ADDRESS, &ip.octets()))
    }

    /// Pins the hardware address of a neighbour, over whatever was learned.
    pub(super) fn pin_neighbour(&self, index: u32, ip: Ipv4Addr, mac: [u8; 6]) -> nix::Result<()> {
        let message = Message::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE).bytes(&neighbour(index));
        self.ask(message.attribute(NDA_DST, &ip.octets()).attribute(NDA_LLADDR, &mac))
    }

    /// Forgets a neighbour, so that its address is learned anew.
    pub(super) fn forget_neighbour(&self, index: u32, ip: Ipv4Addr) -> nix::Result<()> {
        let message = Message::new(RTM_DELNEIGH, 0).bytes(&neighbour(index));
        match self.ask(message.attribute(NDA_DST, &ip.octets())) {
            Err(Errno::ENOENT) => Ok(()),
            other => other,
        }
    }
}

/// `struct ndmsg`
fn neighbour(index: u32) -> [u8; 12] {
    let mut body = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    body
}
