//! Offloads of a network interface, as `ethtool -K` switches them (`linux/ethtool.h`).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

const GET_STRINGS: u32 = 0x1b;
const GET_STRING_COUNTS: u32 = 0x37;
const SET_FEATURES: u32 = 0x3b;
/// The strings that are the names of features.
const FEATURES: u32 = 4;
const NAME_BYTES: usize = 32;
/// More features than any kernel has.
const FEATURES_MAX: usize = 1_024;

nix::ioctl_readwrite_bad!(siocethtool, libc::SIOCETHTOOL, libc::ifreq);

/// From now on every packet that leaves the interface of this name, in the calling thread's network namespace,
/// is one as it would be on a wire. Otherwise TCP hands over up to 64 KB at a time for the card to cut up,
/// and a virtual cable, which has none, carries that through in one piece; so do datagrams that a program asks
/// the kernel to cut up.
///
/// Which features those are, the kernel tells by their names.
pub(super) fn segment_in_software(interface: &str) -> nix::Result<()> {
    let asked = Ethtool::of(interface)?;
    // struct ethtool_sset_info: command, nothing, the set wanted (64 bits), its size
    let mut counts = [GET_STRING_COUNTS, 0, 0, 0, 0];
    let set = (1_u64 << FEATURES).to_ne_bytes();
    counts[2] = u32::from_ne_bytes([set[0], set[1], set[2], set[3]]);
    counts[3] = u32::from_ne_bytes([set[4], set[5], set[6], set[7]]);
    asked.ask(&mut counts)?;
    let count = counts[4] as usize;
    if count > FEATURES_MAX {
        return Err(Errno::E2BIG);
    }
    // struct ethtool_gstrings: command, set, size, names
    let mut names = vec![0; 3 + count * NAME_BYTES / 4];
    names[..3].copy_from_slice(&[GET_STRINGS, FEATURES, count as u32]);
    asked.ask(&mut names)?;
    let names: Vec<u8> = names[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
    // struct ethtool_sfeatures: command, size, and for every 32 features which to change, and to what
    let mut off = vec![0; 2 + 2 * count.div_ceil(32)];
    off[..2].copy_from_slice(&[SET_FEATURES, count.div_ceil(32) as u32]);
    for (i, name) in names.chunks_exact(NAME_BYTES).enumerate() {
        if is_segmentation(name) {
            off[2 + 2 * (i / 32)] |= 1 << (i % 32);
        }
    }
    asked.ask(&mut off)
}

/// `tx-tcp-segmentation`, `tx-udp-segmentation` and the like; those of tunnels have other names.
fn is_segmentation(name: &[u8]) -> bool {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    name.starts_with(b"tx-") && name[..end].ends_with(b"-segmentation")
}

/// Questions about one interface.
struct Ethtool {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

impl Ethtool {
    fn of(interface: &str) -> nix::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        if interface.len() >= name.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        name.iter_mut().zip(interface.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
        let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Ethtool { socket, name })
    }

    /// `words` is the question and has room for the answer.
    fn ask(&self, words: &mut [u32]) -> nix::Result<()> {
        let mut request = libc::ifreq {
            ifr_name: self.name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: words.as_mut_ptr().cast() },
        };
        // SAFETY: the request and the words live across the call; every caller sizes the words for the
        // answer to its command.
        unsafe { siocethtool(self.socket.as_raw_fd(), &raw mut request) }.map(drop)
    }
}
