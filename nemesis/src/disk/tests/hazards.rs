//! Rules on a mounted disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::statvfs::statvfs;

use super::super::{Action, Call, Rule};
use super::{Home, sandboxed, until};

fn rule(calls: &[Call], path: Option<&str>, action: Action) -> Vec<Rule> {
    vec![Rule { calls: calls.to_vec(), path: path.map(str::to_owned), chance: 1.0, action }]
}

fn errno<T>(result: std::io::Result<T>) -> Option<Errno> {
    result.err().and_then(|e| e.raw_os_error()).map(Errno::from_raw)
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

#[test]
fn calls_fail_as_told_and_only_those() {
    sandboxed("hazards::calls_fail_as_told_and_only_those", || {
        let home = Home::new();
        fs::create_dir(home.path("d")).unwrap();
        let mut log = append(&home.path("d/x.wal"));
        let error = |errno| Action::Error(errno);
        home.disk.set_rules("t", rule(&[Call::Fsync], Some("*.wal"), error(Errno::EIO)), 1);
        log.write_all(b"not synced").unwrap();
        assert_eq!(errno(log.sync_all()), Some(Errno::EIO));
        fs::write(home.path("other"), "fine").unwrap();
        File::open(home.path("other")).unwrap().sync_all().unwrap();
        assert_eq!(home.disk.struck("t"), BTreeMap::from([(Call::Fsync, 1)]));
        // The name is matched as it is now.
        fs::rename(home.path("d"), home.path("e")).unwrap();
        home.disk.set_rules("t", rule(&[Call::Fsync], Some("e/*"), error(Errno::EIO)), 1);
        assert_eq!(errno(log.sync_all()), Some(Errno::EIO));
        // A failed sync synced nothing.
        drop(log);
        home.disk.crash(0.0, 1).unwrap();
        home.disk.clear_rules("t");
        assert_eq!(fs::read(home.path("d/x.wal")).unwrap(), b"");
        for (call, action) in [
            (Call::Open, (|home: &Home| errno(File::open(home.path("other")))) as fn(&Home) -> _),
            (Call::Create, |home| errno(File::create(home.path("new")))),
            (Call::Mkdir, |home| errno(fs::create_dir(home.path("new")))),
            (Call::Rename, |home| errno(fs::rename(home.path("other"), home.path("new")))),
            (Call::Unlink, |home| errno(fs::remove_file(home.path("other")))),
            (Call::Truncate, |home| errno(File::create(home.path("other")))),
            (Call::Write, |home| errno(append(&home.path("other")).write_all(b"x"))),
            (Call::Read, |home| errno(fs::read(home.path("other")))),
        ] {
            home.disk.set_rules("t", rule(&[call], None, error(Errno::EROFS)), 1);
            // The kernel may still have the contents, until it has been made to forget them.
            until("the call fails", || action(&home) == Some(Errno::EROFS));
            home.disk.clear_rules("t");
            assert_eq!(fs::read(home.path("other")).unwrap(), b"fine", "{call:?}");
            assert!(!home.path("new").exists(), "{call:?}");
            assert!(home.disk.struck("t").keys().eq([&call]), "{:?}", home.disk.struck("t"));
        }
    });
}

#[test]
fn a_full_disk_refuses_what_takes_space() {
    sandboxed("hazards::a_full_disk_refuses_what_takes_space", || {
        let home = Home::new();
        fs::write(home.path("file"), vec![1; 8192]).unwrap();
        let file = File::options().write(true).open(home.path("file")).unwrap();
        home.disk.set_rules("t", rule(&[], None, Action::Full), 1);
        assert_eq!(statvfs(&home.path("")).unwrap().blocks_available(), 0);
        assert_eq!(errno(file.write_all_at(&[2; 4096], 8192)), Some(Errno::ENOSPC));
        assert_eq!(errno(File::create(home.path("new"))), Some(Errno::ENOSPC));
        assert_eq!(errno(fs::create_dir(home.path("new"))), Some(Errno::ENOSPC));
        file.write_all_at(&[2; 4096], 4096).unwrap();
        file.sync_all().unwrap();
        fs::rename(home.path("file"), home.path("moved")).unwrap();
        file.set_len(4096).unwrap();
        let struck = BTreeMap::from([(Call::Write, 1), (Call::Create, 1), (Call::Mkdir, 1)]);
        assert_eq!(home.disk.struck("t"), struck);
        home.disk.clear_rules("t");
        file.write_all_at(&[2; 4096], 8192).unwrap();
        assert!(statvfs(&home.path("")).unwrap().blocks_available() > 0);
    });
}

#[test]
fn late_calls_do_not_hold_up_others() {
    sandboxed("hazards::late_calls_do_not_hold_up_others", || {
        let home = Home::new();
        // The kernel lets only one sync of a file through at a time.
        let slow = |i: usize| home.path(&format!("slow{i}"));
        (0..8).for_each(|i| fs::write(slow(i), "").unwrap());
        home.disk.set_rules("t", rule(&[Call::Fsync], Some("slow*"), Action::Delay { us: 300_000 }), 1);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for i in 0..8 {
                scope.spawn(move || File::open(slow(i)).unwrap().sync_all().unwrap());
            }
            until("the calls wait", || home.disk.struck("t").get(&Call::Fsync) == Some(&8));
            fs::write(home.path("fast"), "x").unwrap();
            File::open(home.path("fast")).unwrap().sync_all().unwrap();
            assert!(start.elapsed() < Duration::from_millis(250), "{:?}", start.elapsed());
        });
        let elapsed = start.elapsed();
        assert!((300..2_000).contains(&elapsed.as_millis()), "{elapsed:?}");
        // Healing ends what still waits.
        home.disk.set_rules("t", rule(&[Call::Fsync], None, Action::Delay { us: 60_000_000 }), 1);
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| File::open(slow(0)).unwrap().sync_all());
            until("the call waits", || !home.disk.struck("t").is_empty());
            home.disk.clear_rules("t");
            sync.join().unwrap().unwrap();
        });
    });
}

#[test]
fn flipped_bits_are_seen_and_gone_when_healed() {
    sandboxed("hazards::flipped_bits_are_seen_and_gone_when_healed", || {
        let home = Home::new();
        let good = vec![0x55; 16 * 4096];
        fs::write(home.path("file"), &good).unwrap();
        let flipped =
            |bytes: &[u8]| -> u32 { bytes.iter().zip(&good).map(|(a, b)| (a ^ b).count_ones()).sum() };
        assert_eq!(flipped(&fs::read(home.path("file")).unwrap()), 0);
        home.disk.set_rules("t", rule(&[Call::Read], None, Action::FlipBit), 1);
        until("a bit is seen flipped", || flipped(&fs::read(home.path("file")).unwrap()) > 0);
        home.disk.clear_rules("t");
        until("it is well again", || flipped(&fs::read(home.path("file")).unwrap()) == 0);
        assert_eq!(flipped(&fs::read(home.real("file")).unwrap()), 0, "only what was read was wrong");
        home.disk.set_rules("t", rule(&[Call::Write], None, Action::FlipBit), 1);
        fs::write(home.path("file"), &good).unwrap();
        home.disk.clear_rules("t");
        let writes = home.disk.struck("t")[&Call::Write] as u32;
        assert_eq!(flipped(&fs::read(home.real("file")).unwrap()), writes);
        until("it is read as it is", || flipped(&fs::read(home.path("file")).unwrap()) == writes);
    });
}
