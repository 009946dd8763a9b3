//! The soft limits of other processes: set by a system call, seen in `/proc`.

use std::fs;
use std::io;

use nix::libc;

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The size of the address space, in bytes.
    AddressSpace,
    /// One more than the highest number a file descriptor may have.
    FileDescriptors,
}

impl Resource {
    /// How its line in `/proc/P/limits` begins.
    fn title(self) -> &'static str {
        match self {
            Resource::AddressSpace => "Max address space",
            Resource::FileDescriptors => "Max open files",
        }
    }

    fn number(self) -> libc::__rlimit_resource_t {
        match self {
            Resource::AddressSpace => libc::RLIMIT_AS,
            Resource::FileDescriptors => libc::RLIMIT_NOFILE,
        }
    }

    /// How much of it the process uses now.
    pub(crate) fn used(self, pid: i32) -> Option<u64> {
        match self {
            Resource::AddressSpace => address_space(pid),
            Resource::FileDescriptors => Some(descriptors(pid)?.len() as u64),
        }
    }
}

/// The size of the process's address space in bytes; `None` if it is gone.
pub(crate) fn address_space(pid: i32) -> Option<u64> {
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The numbers of the process's open file descriptors, in ascending order; `None` if it is gone.
pub(crate) fn descriptors(pid: i32) -> Option<Vec<u64>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    let mut numbers: Vec<u64> =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    Some(numbers)
}

/// The soft limit of the process, as `/proc` shows it; `None` if it is gone.
pub(crate) fn soft(resource: Resource, pid: i32) -> Option<u64> {
    soft_in(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?, resource)
}

fn soft_in(limits: &str, resource: Resource) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(resource.title()))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(libc::RLIM_INFINITY),
        number => number.parse().ok(),
    }
}

/// Sets the soft limit, at most to the hard one. Whether there still was such a process.
pub(crate) fn set_soft(resource: Resource, pid: i32, soft: u64) -> Result<bool, String> {
    let fail = |e: io::Error| match e.raw_os_error() {
        Some(libc::ESRCH) => Ok(false),
        _ => Err(format!("cannot limit process {pid}: {e}")),
    };
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads nothing and writes one struct, which is ours.
    if unsafe { libc::prlimit64(pid, resource.number(), std::ptr::null(), &raw mut now) } != 0 {
        return fail(io::Error::last_os_error());
    }
    let new = libc::rlimit64 { rlim_cur: soft.min(now.rlim_max), ..now };
    // SAFETY: the kernel reads one struct, which is ours, and writes nothing.
    if unsafe { libc::prlimit64(pid, resource.number(), &raw const new, std::ptr::null_mut()) } != 0 {
        return fail(io::Error::last_os_error());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max open files            1024                 1048576              files     \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        assert_eq!(soft_in(text, Resource::FileDescriptors), Some(1024));
        assert_eq!(soft_in(text, Resource::AddressSpace), Some(libc::RLIM_INFINITY));
        assert_eq!(soft_in("", Resource::AddressSpace), None);
    }

    #[test]
    fn the_limit_of_another_process_is_set_and_seen_and_never_above_the_hard_one() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        let before = soft(Resource::FileDescriptors, pid).unwrap();
        assert_eq!(set_soft(Resource::FileDescriptors, pid, 7), Ok(true));
        assert_eq!(soft(Resource::FileDescriptors, pid), Some(7));
        assert_eq!(set_soft(Resource::FileDescriptors, pid, u64::MAX), Ok(true));
        assert!(soft(Resource::FileDescriptors, pid).unwrap() >= before);
        assert!(address_space(pid).is_some_and(|bytes| bytes > 0));
        let open = descriptors(pid).unwrap();
        assert!(open.is_sorted() && open.contains(&2), "{open:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(set_soft(Resource::FileDescriptors, pid, 7), Ok(false));
    }
}
