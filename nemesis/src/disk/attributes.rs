//! The attributes of files, between the real file system and FUSE.

use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use nix::dir::Type;
use nix::libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK};
use nix::sys::stat::FileStat;
use nix::sys::time::TimeSpec;
use nix::unistd::{getegid, geteuid};

/// The number that stands for all owners outside the user namespace, unless the machine is set otherwise.
const OVERFLOW: u32 = 65_534;

/// What becomes of owners that have no number in this user namespace. The kernel refuses to write to files
/// of such, so they are shown as the harness's own. With root's namespace nothing is changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    unmapped_uid: Option<u32>,
    unmapped_gid: Option<u32>,
}

impl Ids {
    /// As the user namespace of the harness has it.
    pub(super) fn here() -> Self {
        let map = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        Ids {
            unmapped_uid: (!is_mapped(&map("/proc/self/uid_map"), OVERFLOW)).then(|| geteuid().as_raw()),
            unmapped_gid: (!is_mapped(&map("/proc/self/gid_map"), OVERFLOW)).then(|| getegid().as_raw()),
        }
    }

    pub(super) fn attributes(&self, stat: &FileStat) -> FileAttr {
        let own = |id: u32, own: Option<u32>| own.filter(|_| id == OVERFLOW).unwrap_or(id);
        FileAttr {
            ino: INodeNo(stat.st_ino),
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: moment(stat.st_atime, stat.st_atime_nsec),
            mtime: moment(stat.st_mtime, stat.st_mtime_nsec),
            ctime: moment(stat.st_ctime, stat.st_ctime_nsec),
            crtime: SystemTime::UNIX_EPOCH,
            kind: kind_of_mode(stat.st_mode),
            perm: (stat.st_mode & 0o7777) as u16,
            nlink: stat.st_nlink as u32,
            uid: own(stat.st_uid, self.unmapped_uid),
            gid: own(stat.st_gid, self.unmapped_gid),
            rdev: stat.st_rdev as u32,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// Whether a line `inside outside count` of the map has the number inside.
fn is_mapped(map: &str, id: u32) -> bool {
    // Without a map that can be read there are no user namespaces.
    map.is_empty()
        || map.lines().any(|line| {
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            matches!(numbers[..], [inside, _, count] if (inside..inside + count).contains(&u64::from(id)))
        })
}

fn kind_of_mode(mode: u32) -> FileType {
    match mode & S_IFMT {
        S_IFDIR => FileType::Directory,
        S_IFLNK => FileType::Symlink,
        S_IFIFO => FileType::NamedPipe,
        S_IFSOCK => FileType::Socket,
        S_IFCHR => FileType::CharDevice,
        S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

pub(super) fn kind(kind: Type) -> FileType {
    match kind {
        Type::Directory => FileType::Directory,
        Type::Symlink => FileType::Symlink,
        Type::Fifo => FileType::NamedPipe,
        Type::Socket => FileType::Socket,
        Type::CharacterDevice => FileType::CharDevice,
        Type::BlockDevice => FileType::BlockDevice,
        Type::File => FileType::RegularFile,
    }
}

/// A moment by seconds since 1970, which may be negative, and nanoseconds after that, which may not.
fn moment(seconds: i64, nanoseconds: i64) -> SystemTime {
    let nanoseconds = Duration::from_nanos(nanoseconds.unsigned_abs());
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    second.and_then(|second| second.checked_add(nanoseconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A time to be set; `None` leaves it.
pub(super) fn time(time: Option<TimeOrNow>) -> TimeSpec {
    match time {
        None => TimeSpec::UTIME_OMIT,
        Some(TimeOrNow::Now) => TimeSpec::UTIME_NOW,
        Some(TimeOrNow::SpecificTime(moment)) => match moment.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => TimeSpec::new(since.as_secs() as i64, i64::from(since.subsec_nanos())),
            Err(before) => {
                let before = before.duration();
                let (seconds, nanoseconds) = (before.as_secs() as i64, i64::from(before.subsec_nanos()));
                match nanoseconds {
                    0 => TimeSpec::new(-seconds, 0),
                    _ => TimeSpec::new(-seconds - 1, 1_000_000_000 - nanoseconds),
                }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_the_way_there_and_back() {
        for (seconds, nanoseconds) in [(0, 0), (1_700_000_000, 123_456_789), (-1, 500_000_000), (-5, 0)] {
            let set = time(Some(TimeOrNow::SpecificTime(moment(seconds, nanoseconds))));
            assert_eq!((set.tv_sec(), set.tv_nsec()), (seconds, nanoseconds));
        }
    }

    #[test]
    fn the_numbers_of_a_user_namespace_are_known() {
        let all = "         0          0 4294967295\n";
        assert!(is_mapped(all, OVERFLOW) && is_mapped("", OVERFLOW));
        assert!(!is_mapped("      1001       1001          1\n", OVERFLOW));
        assert!(is_mapped("      1001       1001          1\n", 1001));
    }
}
