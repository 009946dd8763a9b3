//! TCP connections between the harness's own sockets at the two ends of a link, sent over segment by segment.
//!
//! Each segment is waited for before the next is sent, so that none is joined with another.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockopt, socket, sockopt};
use std::os::fd::{AsFd, AsRawFd};

use super::burst::Seen;
use crate::ends::Link;
use crate::sockets::Sockets;

/// The longest for all connections over one link.
const LINK_TIMEOUT: Duration = Duration::from_millis(800);
/// The longest wait for a connection, or for one segment; less than a lost one is repeated after, twice.
const STEP_TIMEOUT: Duration = Duration::from_millis(500);
const SEGMENT: [u8; 64] = [0x5a; 64];
/// Links tried at the same time: enough to wait together, few enough to leave the processor to others.
const AT_ONCE: usize = 4;

/// Sends so many segments over each link; over each, it ends early when one was answered by a reset, if that
/// is all one wants to see.
pub(crate) fn send(
    sockets: &Sockets,
    links: &mut [(Link, &mut Seen)],
    count: u64,
    until_reset: bool,
) -> Result<(), String> {
    for some in links.chunks_mut(AT_ONCE) {
        std::thread::scope(|scope| {
            let threads: Vec<_> = some
                .iter_mut()
                .map(|(link, seen)| {
                    let link = *link;
                    std::thread::Builder::new()
                        .name("segments".to_owned())
                        .spawn_scoped(scope, move || over(sockets, link, seen, count, until_reset))
                        .map_err(|e| format!("cannot start a thread: {e}"))
                })
                .collect::<Result<_, _>>()?;
            for thread in threads {
                thread.join().map_err(|_| "a thread that sent segments panicked".to_owned())?;
            }
            Ok::<(), String>(())
        })?;
    }
    Ok(())
}

fn over(sockets: &Sockets, link: Link, seen: &mut Seen, count: u64, until_reset: bool) {
    let deadline = Instant::now() + LINK_TIMEOUT;
    let listener = match listen(sockets, link) {
        Ok(listener) => listener,
        Err(why) => return seen.no_connection = Some(why),
    };
    while seen.segments < count && Instant::now() < deadline && !(until_reset && seen.resets > 0) {
        match joined(sockets, link, &listener) {
            Ok((sender, receiver)) => {
                stream(&sender, &receiver, seen, count, deadline);
                _ = sender.shutdown(Shutdown::Both);
            }
            Err(why) => seen.no_connection = Some(why),
        }
    }
}

/// Listens at the far end.
pub(crate) fn listen(sockets: &Sockets, (_, to): Link) -> Result<TcpListener, String> {
    sockets.namespaces.inside(to, || {
        let listener = TcpListener::bind((sockets.ip(to), 0)).map_err(|e| format!("cannot listen: {e}"))?;
        listener.set_nonblocking(true).map_err(|e| format!("cannot listen: {e}"))?;
        Ok(listener)
    })
}

/// Why there is no connection: that it was refused at once, or anything else.
pub(crate) enum NotConnected {
    Refused,
    Other(String),
}

/// Connects over a link.
pub(crate) fn dial(
    sockets: &Sockets,
    (from, _): Link,
    to: SocketAddrV4,
    timeout: Duration,
) -> Result<TcpStream, NotConnected> {
    let made = sockets.namespaces.inside(from, || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(|e| e.to_string())
    });
    let made = made.map_err(NotConnected::Other)?;
    let other = |e: Errno| match e {
        Errno::ECONNREFUSED => NotConnected::Refused,
        e => NotConnected::Other(format!("cannot connect: {e}")),
    };
    match connect(made.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(e) => return Err(other(e)),
    }
    if !wait(&made, PollFlags::POLLOUT, Instant::now() + timeout) {
        return Err(NotConnected::Other(format!("no connection within {timeout:?}")));
    }
    match getsockopt(&made, sockopt::SocketError) {
        Ok(0) => Ok(made.into()),
        Ok(code) => Err(other(Errno::from_raw(code))),
        Err(e) => Err(other(e)),
    }
}

fn joined(sockets: &Sockets, link: Link, listener: &TcpListener) -> Result<(TcpStream, TcpStream), String> {
    let fail = |e: std::io::Error| format!("no connection: {e}");
    let port = listener.local_addr().map_err(fail)?.port();
    let address = SocketAddrV4::new(sockets.ip(link.1), port);
    let sender = dial(sockets, link, address, STEP_TIMEOUT).map_err(|why| match why {
        NotConnected::Refused => "the connection was refused".to_owned(),
        NotConnected::Other(why) => why,
    })?;
    if !wait(listener, PollFlags::POLLIN, Instant::now() + STEP_TIMEOUT) {
        return Err("the far end saw no connection".to_owned());
    }
    let (receiver, _) = listener.accept().map_err(fail)?;
    receiver.set_nonblocking(true).map_err(fail)?;
    sender.set_nodelay(true).map_err(fail)?;
    Ok((sender, receiver))
}

/// Sends segments until enough are sent or the connection ends.
fn stream(mut sender: &TcpStream, receiver: &TcpStream, seen: &mut Seen, count: u64, deadline: Instant) {
    while seen.segments < count && Instant::now() < deadline {
        match sender.write(&SEGMENT) {
            Ok(_) => seen.segments += 1,
            Err(e) => return seen.resets += u64::from(is_reset(&e)),
        }
        let step = deadline.min(Instant::now() + STEP_TIMEOUT);
        match read_one(receiver, step) {
            Ok(true) => {}
            Ok(false) => return,
            Err(e) => {
                seen.resets += u64::from(is_reset(&e));
                return;
            }
        }
    }
}

/// Whether a whole segment came.
fn read_one(mut receiver: &TcpStream, deadline: Instant) -> std::io::Result<bool> {
    let mut left = SEGMENT.len();
    while left > 0 {
        let mut buffer = [0; SEGMENT.len()];
        match receiver.read(&mut buffer[..left]) {
            Ok(0) => return Ok(false),
            Ok(read) => left -= read,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if !wait(receiver, PollFlags::POLLIN, deadline) {
                    return Ok(false);
                }
            }
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Whether something happened to it in time.
fn wait(fd: &impl AsFd, flags: PollFlags, deadline: Instant) -> bool {
    loop {
        let left_ms = deadline.saturating_duration_since(Instant::now()).as_micros().div_ceil(1_000);
        let timeout = PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd.as_fd(), flags)], timeout) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) if left_ms > 0 => {}
            Err(_) => return false,
        }
    }
}
