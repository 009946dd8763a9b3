//! The sandbox: namespaces that an audit lives in, so that nothing it does can touch the host and
//! nothing of it can outlive it.
//!
//! `ordeal run` enters a user, mount, IPC, network and PID namespace before it starts anything (as root it
//! skips the user namespace). Inside, the harness is process 1: when it ends, in whatever way, the kernel
//! ends every process of the audit, and with the last one go the interfaces, rules and mounts. Outside
//! stays a thin parent that passes signals on and hands over the exit code.

mod enter;
mod init;
mod net;
mod netlink;
mod offload;
mod switch;

pub use enter::{Entered, enter};
pub use init::{INIT_COMMAND, THIS_PROGRAM, init_main, wrap};
pub use net::{HARNESS_IP, Network, Wiring, node_ip};

use std::path::PathBuf;

use nix::errno::Errno;

/// Why there is no sandbox. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The kernel refused.
    #[error("cannot {action}: {errno}. {remedy}")]
    Refused {
        /// What was attempted.
        action: &'static str,
        /// What the kernel said.
        errno: Errno,
        /// What to do about it.
        remedy: String,
    },
    /// The file for captured packets cannot be created.
    #[error("cannot create {}: {error}", path.display())]
    Capture {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        error: std::io::Error,
    },
}

impl SandboxError {
    fn new(action: &'static str, errno: Errno) -> Self {
        SandboxError::Refused { action, errno, remedy: remedy(errno) }
    }

    /// The switch cannot have its sockets.
    fn packet_socket(errno: Errno) -> Self {
        let do_without =
            "or do without the switch: leave out faults of single links, and the capture of packets";
        let remedy = match errno {
            Errno::EAFNOSUPPORT | Errno::ENOPROTOOPT => {
                format!(
                    "This kernel has no packet sockets as of Linux 4.20: try `sudo modprobe af_packet`, {do_without}"
                )
            }
            _ => format!(
                "Inside a container, run it with `--cap-add NET_RAW --security-opt seccomp=unconfined`; elsewhere \
                 run as root; {do_without}"
            ),
        };
        SandboxError::Refused { action: "open packet sockets for the switch", errno, remedy }
    }
}

/// What keeps namespaces from working, as far as this machine tells.
fn remedy(errno: Errno) -> String {
    let setting = |path: &str| std::fs::read_to_string(path).map(|s| s.trim().to_owned()).unwrap_or_default();
    let root = nix::unistd::geteuid().is_root();
    if !root && setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return "AppArmor restricts user namespaces here (Ubuntu 23.10 and later): run as root, or `sudo sysctl -w \
                kernel.apparmor_restrict_unprivileged_userns=0`"
            .to_owned();
    }
    if !root && setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return "user namespaces are switched off here: run as root, or `sudo sysctl -w \
                kernel.unprivileged_userns_clone=1`"
            .to_owned();
    }
    if setting("/proc/sys/user/max_user_namespaces") == "0" || errno == Errno::ENOSPC {
        return "this machine allows no more user namespaces: run as root, or `sudo sysctl -w \
                user.max_user_namespaces=10000`"
            .to_owned();
    }
    "Inside a container its seccomp or AppArmor profile usually forbids this: run the container with `--privileged`, \
     or with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined --cap-add SYS_ADMIN`; elsewhere \
     run as root"
        .to_owned()
}
