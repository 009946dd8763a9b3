//! Figures. Run with `cargo test --release -p ordeal-nemesis --lib speed -- --nocapture`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::{Home, sandboxed, say};

/// How often something is done in a second, for a quarter of one.
fn rate(mut act: impl FnMut(u64)) -> f64 {
    let (start, mut n) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_millis(250) {
        act(n);
        n += 1;
    }
    n as f64 / start.elapsed().as_secs_f64()
}

#[test]
fn figures() {
    sandboxed("speed::figures", || {
        let start = Instant::now();
        let home = Home::new();
        say(&format!("  mount {:.1?}", start.elapsed()));
        let (page, chunk) = (vec![1; 4096], vec![1; 128 * 1024]);
        let mut log = File::options().create(true).append(true).open(home.path("log")).unwrap();
        let appends = rate(|_| {
            log.write_all(&page).unwrap();
            log.sync_data().unwrap();
        });
        say(&format!("  4k append + fdatasync {appends:.0}/s"));
        let mut file = File::create(home.path("big")).unwrap();
        let writes = rate(|_| file.write_all(&chunk).unwrap());
        say(&format!("  sequential 128k write {:.0} MB/s", writes * chunk.len() as f64 / 1e6));
        let start = Instant::now();
        let lost = home.disk.crash(0.0, 1).unwrap();
        say(&format!("  crash and remount {:.1?}, {lost:?}", start.elapsed()));
        fs::write(home.path("file"), vec![1; 64 << 20]).unwrap();
        let file = File::options().read(true).write(true).open(home.path("file")).unwrap();
        file.sync_all().unwrap();
        let at = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % (16 << 10) * 4096;
        let writes = rate(|n| file.write_all_at(&page, at(n)).unwrap());
        say(&format!("  random 4k overwrite {writes:.0}/s"));
        let start = Instant::now();
        let lost = home.disk.crash(0.0, 1).unwrap();
        say(&format!("  crash and remount {:.1?}, {lost:?}", start.elapsed()));
        let mut bytes = vec![0; 4096];
        let mut direct = File::options();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut direct, nix::libc::O_SYNC);
        let file = direct.read(true).open(home.path("file")).unwrap();
        let cold = rate(|n| file.read_exact_at(&mut bytes, at(n)).unwrap());
        let mut all = Vec::new();
        File::open(home.path("file")).unwrap().read_to_end(&mut all).unwrap();
        let warm = rate(|n| file.read_exact_at(&mut bytes, at(n)).unwrap());
        say(&format!("  random 4k read {cold:.0}/s at first, {warm:.0}/s when the kernel has it"));
        let creates = rate(|n| drop(File::create(home.path(&format!("f{n}"))).unwrap()));
        say(&format!("  create {creates:.0}/s"));
        let start = Instant::now();
        let lost = home.disk.crash(0.0, 1).unwrap();
        say(&format!("  crash and remount {:.1?}, {lost:?}", start.elapsed()));
        assert!(appends > 100.0 && writes > 100.0 && warm > 100.0 && creates > 100.0);
    });
}
