//! A mounted disk: what a file system must do, and what the power takes.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::statvfs::statvfs;

use super::super::{Lost, Unsynced};
use super::{Home, sandboxed, say, shell, until};

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[test]
fn it_is_a_file_system() {
    sandboxed("real::it_is_a_file_system", || {
        let home = Home::new();
        // Appending, by two handles in turn.
        let (mut one, mut two) = (append(&home.path("log")), append(&home.path("log")));
        for _ in 0..3 {
            one.write_all(b"1").unwrap();
            two.write_all(b"2").unwrap();
        }
        assert_eq!(fs::read(home.path("log")).unwrap(), b"121212");
        // Opened anew with truncation; past the page cache.
        File::create(home.path("log")).unwrap();
        assert_eq!(fs::metadata(home.path("log")).unwrap().len(), 0);
        let mut direct = OpenOptions::new();
        direct.read(true).write(true).create(true).custom_flags(nix::libc::O_DIRECT);
        let direct = direct.open(home.path("direct")).unwrap();
        let buffer = vec![7_u8; 8192];
        let aligned = buffer.as_ptr().align_offset(4096).min(4096);
        direct.write_all_at(&buffer[aligned..aligned + 4096], 4096).unwrap();
        assert_eq!(fs::read(home.path("direct")).unwrap().len(), 8192);
        // A file without a name lives on as long as it is open, and knows that it has none.
        let open = File::options().read(true).write(true).open(home.path("direct")).unwrap();
        fs::remove_file(home.path("direct")).unwrap();
        assert_eq!(open.metadata().unwrap().nlink(), 0);
        File::open(home.path("")).unwrap().sync_all().unwrap();
        assert_eq!((open.metadata().unwrap().nlink(), open.metadata().unwrap().len()), (0, 8192));
        open.write_all_at(b"x", 9000).unwrap();
        open.set_permissions(fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(open.metadata().unwrap().len(), 9001);
        // Links.
        fs::write(home.path("a"), "a").unwrap();
        fs::hard_link(home.path("a"), home.path("b")).unwrap();
        let (a, b) = (fs::metadata(home.path("a")).unwrap(), fs::metadata(home.path("b")).unwrap());
        assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
        fs::remove_file(home.path("a")).unwrap();
        assert_eq!(fs::metadata(home.path("b")).unwrap().nlink(), 1);
        symlink("b", home.path("link")).unwrap();
        assert_eq!(fs::read_to_string(home.path("link")).unwrap(), "a");
        // Renames that must not replace.
        fs::write(home.path("a"), "new").unwrap();
        let no_replace = |from: &str, to: &str| {
            let flags = RenameFlags::RENAME_NOREPLACE;
            renameat2(AT_FDCWD, &home.path(from), AT_FDCWD, &home.path(to), flags)
        };
        assert_eq!(no_replace("a", "b"), Err(Errno::EEXIST));
        assert_eq!(no_replace("a", "c"), Ok(()));
        // Modes are the caller's, whatever the mask of the harness.
        fs::create_dir(home.path("dir")).unwrap();
        fs::set_permissions(home.path("dir"), fs::Permissions::from_mode(0o2775)).unwrap();
        shell(
            "umask 0; mkdir dir/sub; : > dir/open; umask 077; : > dir/closed; mkfifo dir/pipe",
            &home.path(""),
        );
        let mode = |name: &str| fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("dir/sub"), mode("dir/open"), mode("dir/closed")), (0o2777, 0o666, 0o600));
        assert!(fs::metadata(home.path("dir/pipe")).unwrap().file_type().is_fifo());
        // Sockets have names here too.
        let listener = UnixListener::bind(home.path("socket")).unwrap();
        UnixStream::connect(home.path("socket")).unwrap().write_all(b"hello").unwrap();
        let mut heard = String::new();
        listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        // Sparse files.
        let sparse = File::create(home.path("sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        sparse.write_all_at(b"end", (1 << 40) - 3).unwrap();
        assert!(fs::metadata(home.path("sparse")).unwrap().blocks() < 100);
        let moment = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
        sparse.set_modified(moment).unwrap();
        assert_eq!(fs::metadata(home.path("sparse")).unwrap().modified().unwrap(), moment);
        assert!(statvfs(&home.path("")).unwrap().blocks_available() > 0);
    });
}

#[test]
fn large_directories_are_read_whole_while_they_change() {
    sandboxed("real::large_directories_are_read_whole_while_they_change", || {
        let home = Home::new();
        let names: BTreeSet<String> = (0..3_000).map(|i| format!("file-with-a-long-name-{i}")).collect();
        for name in &names {
            File::create(home.path(name)).unwrap();
        }
        let mut seen = BTreeSet::new();
        for entry in fs::read_dir(home.path("")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            fs::remove_file(home.path(&name)).unwrap();
            assert!(seen.insert(name));
        }
        assert_eq!(seen, names);
        assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 0);
        assert_eq!(home.disk.unsynced().directory_ops, 6_000);
        File::open(home.path("")).unwrap().sync_all().unwrap();
        assert_eq!(home.disk.unsynced(), Unsynced::default());
        assert_eq!(fs::read_dir(home.outside("n1/disk-unlinked")).unwrap().count(), 0);
    });
}

#[test]
fn what_was_acknowledged_after_a_sync_survives() {
    sandboxed("real::what_was_acknowledged_after_a_sync_survives", || {
        let home = Home::new();
        for (name, sync_every, flags, survive) in [
            ("each", 1, 0, 400),
            ("tenth", 10, 0, 400),
            ("never", u64::MAX, 0, 0),
            ("dsync", u64::MAX, nix::libc::O_DSYNC, 405),
        ] {
            let mut open = OpenOptions::new();
            let mut log = open.create(true).append(true).custom_flags(flags).open(home.path(name)).unwrap();
            for i in 1..=405 {
                log.write_all(format!("record {i:09}\n").as_bytes()).unwrap();
                if i % sync_every == 0 && i <= 400 {
                    log.sync_data().unwrap();
                }
            }
            drop(log);
            let unsynced = home.disk.unsynced();
            let lost = home.disk.crash(0.0, 1).unwrap();
            let left = fs::read_to_string(home.path(name)).unwrap_or_default();
            assert_eq!(left.lines().count(), survive, "{name}: {unsynced:?} {lost:?}");
            assert!(left.lines().zip(1..).all(|(line, i)| line == format!("record {i:09}")));
            if survive > 0 && survive < 405 {
                assert_eq!((unsynced.files, unsynced.bytes, lost.tail_bytes), (1, 5 * 17, 5 * 17));
            }
        }
    });
}

#[test]
fn names_survive_only_if_something_was_synced_after() {
    sandboxed("real::names_survive_only_if_something_was_synced_after", || {
        let home = Home::new();
        fs::write(home.path("config"), "old").unwrap();
        fs::create_dir(home.path("gone")).unwrap();
        fs::write(home.path("gone/file"), "in it").unwrap();
        for name in ["config", "gone/file"] {
            File::open(home.path(name)).unwrap().sync_all().unwrap();
        }
        fs::write(home.path("config.tmp"), "new").unwrap();
        File::open(home.path("config.tmp")).unwrap().sync_all().unwrap();
        fs::rename(home.path("config.tmp"), home.path("config")).unwrap();
        fs::remove_dir_all(home.path("gone")).unwrap();
        assert_eq!(home.disk.unsynced().directory_ops, 3);
        let lost = home.disk.crash(0.0, 1).unwrap();
        assert_eq!(lost, Lost { directory_ops: 3, ..Lost::default() });
        assert_eq!(fs::read_to_string(home.path("config")).unwrap(), "old");
        assert_eq!(fs::read_to_string(home.path("config.tmp")).unwrap(), "new");
        assert_eq!(fs::read_to_string(home.path("gone/file")).unwrap(), "in it");
        fs::rename(home.path("config.tmp"), home.path("config")).unwrap();
        File::open(home.path("")).unwrap().sync_all().unwrap();
        assert_eq!(home.disk.crash(0.0, 1).unwrap(), Lost::default());
        assert_eq!(fs::read_to_string(home.path("config")).unwrap(), "new");
    });
}

#[test]
fn a_torn_failure_keeps_some_pages() {
    sandboxed("real::a_torn_failure_keeps_some_pages", || {
        let home = Home::new();
        fs::write(home.path("file"), vec![b'A'; 64 * 4096]).unwrap();
        let file = File::options().write(true).open(home.path("file")).unwrap();
        file.sync_all().unwrap();
        file.write_all_at(&vec![b'B'; 64 * 4096], 0).unwrap();
        drop(file);
        let lost = home.disk.crash(0.5, 42).unwrap();
        let found = fs::read(home.path("file")).unwrap();
        let page = |page: &[u8]| page.iter().all(|byte| *byte == page[0]).then(|| page[0] as char);
        let pages: String = found.chunks(4096).map(|bytes| page(bytes).unwrap()).collect();
        say(&format!("  {pages} {lost:?}"));
        assert_eq!(pages.matches('B').count() as u64, lost.pages_kept);
        assert_eq!(lost.pages + lost.pages_kept, 64);
        assert!((10..54).contains(&lost.pages));
    });
}

#[test]
fn files_can_be_changed_while_the_disk_is_off() {
    sandboxed("real::files_can_be_changed_while_the_disk_is_off", || {
        let home = Home::new();
        fs::write(home.path("file"), "unsynced").unwrap();
        fs::write(home.path("gone"), "").unwrap();
        fs::remove_file(home.path("gone")).unwrap();
        let seen = home.disk.offline(|root| {
            let seen = fs::read_to_string(root.join("file")).map_err(|e| e.to_string());
            fs::write(root.join("file"), "changed").map_err(|e| e.to_string())?;
            seen
        });
        assert_eq!(seen.unwrap(), "unsynced");
        assert_eq!(fs::read_to_string(home.path("file")).unwrap(), "changed");
        assert_eq!(home.disk.crash(0.0, 1).unwrap(), Lost::default());
        assert_eq!(fs::read_to_string(home.path("file")).unwrap(), "changed");
        assert_eq!(home.disk.offline(|_| Err::<(), _>("no".to_owned())), Err("no".to_owned()));
        home.disk.unmount().unwrap();
        home.disk.unmount().unwrap();
        assert_eq!(fs::read_to_string(home.path("file")).unwrap(), "changed");
        assert!(!home.outside("n1/disk").exists() && !home.outside("n1/disk-unlinked").exists());
    });
}

#[test]
fn a_late_write_of_an_old_mount_reaches_nothing() {
    sandboxed("real::a_late_write_of_an_old_mount_reaches_nothing", || {
        let home = Home::new();
        let mut old = append(&home.path("log"));
        old.write_all(b"synced").unwrap();
        old.sync_all().unwrap();
        // Another namespace has a copy of the mount, and a program in it the file open.
        let script = "exec 3>>log; echo ready; read _; echo late >&3";
        let mut other = Command::new("unshare")
            .args(["--mount", "sh", "-c", script])
            .current_dir(home.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        other.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        home.disk.crash(0.0, 1).unwrap();
        assert!(old.write_all(b" late").and_then(|()| old.sync_all()).is_err());
        other.stdin.as_mut().unwrap().write_all(b"now\n").unwrap();
        assert!(!other.wait().unwrap().success());
        drop(old);
        assert_eq!(fs::read(home.path("log")).unwrap(), b"synced");
        assert_eq!(fs::read(home.real("log")).unwrap(), b"synced");
    });
}

#[test]
fn a_hundred_crashes_leave_nothing_behind() {
    sandboxed("real::a_hundred_crashes_leave_nothing_behind", || {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let alone = count("/proc/self/task");
        let home = Home::new();
        let mounts = || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
            mounts.lines().filter(|line| line.contains(" fuse.ordeal ")).count()
        };
        until("all its threads run", || count("/proc/self/task") == alone + 3);
        let before = (alone + 3, count("/proc/self/fd"));
        let (start, mut slowest) = (Instant::now(), Duration::ZERO);
        for round in 0..100 {
            let mut log = append(&home.path("log"));
            log.write_all(b"x").unwrap();
            log.sync_all().unwrap();
            log.write_all(b"y").unwrap();
            drop(log);
            let began = Instant::now();
            assert_eq!(home.disk.crash(0.0, round).unwrap().tail_bytes, 1);
            slowest = slowest.max(began.elapsed());
        }
        say(&format!("  100 crashes in {:.0?}, the slowest {slowest:.1?}", start.elapsed()));
        assert_eq!(fs::read(home.path("log")).unwrap(), [b'x'; 100]);
        assert_eq!(mounts(), 1);
        until("the old threads are gone", || (count("/proc/self/task"), count("/proc/self/fd")) == before);
        home.disk.unmount().unwrap();
        assert_eq!(mounts(), 0);
        assert_eq!(fs::read(home.path("log")).unwrap(), [b'x'; 100]);
    });
}

#[test]
fn a_disk_that_cannot_be_mounted_is_an_error() {
    let error = super::Disk::mount(Path::new("/proc/no-such-place/data")).unwrap_err();
    assert!(error.contains("/proc/no-such-place/data"), "{error}");
}
