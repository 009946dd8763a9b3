//! The disk under real programs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::super::{Call, Sprung, Trap};
use super::{BOUND, Home, has_python, sandboxed, say, shell, until};

/// Starts a program in a process group of its own.
fn start(program: &str, args: &[&str], home: &Home) -> Child {
    let mut command = Command::new(program);
    command.args(args).current_dir(home.path("")).process_group(0).stderr(Stdio::null());
    command.env("ACKS", home.outside("acks")).spawn().unwrap()
}

fn end(child: &mut Child) {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    child.wait().unwrap();
}

fn acknowledged(home: &Home) -> usize {
    fs::read_to_string(home.outside("acks")).map_or(0, |acks| acks.lines().count())
}

/// Each record is synced before it is acknowledged.
const LOG: &str =
    "i=0; while :; do i=$((i+1)); echo $i | dd of=x.wal oflag=append conv=notrunc,fsync status=none
    echo $i >> $ACKS; done";

#[test]
fn a_trap_kills_exactly_there() {
    sandboxed("programs::a_trap_kills_exactly_there", || {
        for nth in [1, 5, 12] {
            let home = Home::new();
            let (started, group) = std::sync::mpsc::channel::<i32>();
            let group = std::sync::Mutex::new(group);
            let kill = move || {
                let group = group.lock().unwrap().recv_timeout(BOUND).unwrap();
                killpg(Pid::from_raw(group), Signal::SIGKILL).unwrap();
            };
            let path = Some("*.wal".to_owned());
            let armed = home.disk.arm(Trap { call: Call::Fsync, path, nth, kill: Box::new(kill) });
            let mut child = start("sh", &["-c", LOG], &home);
            started.send(child.id() as i32).unwrap();
            let sprung = armed.wait(BOUND);
            child.wait().unwrap();
            assert_eq!(sprung, Some(Sprung { call: Call::Fsync, path: "x.wal".to_owned(), count: nth }));
            assert_eq!(acknowledged(&home) as u64, nth - 1);
            home.disk.crash(0.0, 1).unwrap();
            let left = fs::read_to_string(home.path("x.wal")).unwrap_or_default();
            assert_eq!(left.lines().count() as u64, nth - 1, "the call had no effect");
            assert_eq!(armed.wait(Duration::ZERO), sprung);
            drop(armed);
            fs::write(home.path("x.wal"), "").unwrap();
            fs::File::open(home.path("x.wal")).unwrap().sync_all().unwrap();
        }
    });
}

/// Inserts numbers, one transaction each.
const SQLITE: &str = "import sqlite3, sys, os
db = sqlite3.connect('db', isolation_level=None)
db.execute('pragma journal_mode=wal')
db.execute('pragma synchronous=' + sys.argv[1])
db.execute('create table t (i integer)')
acks = open(os.environ['ACKS'], 'w', 1)
for i in range(10 ** 9):
    db.execute('insert into t values (?)', (i,))
    acks.write('%d\\n' % i)";

/// Counts what is there, and checks the database.
const RECOVER: &str = "import sqlite3
db = sqlite3.connect('db')
assert db.execute('pragma integrity_check').fetchone() == ('ok',)
tables = db.execute(\"select count(*) from sqlite_master where name = 't'\").fetchone()[0]
print(db.execute('select count(*) from t').fetchone()[0] if tables else 0)";

#[test]
fn sqlite_keeps_what_it_synced() {
    sandboxed("programs::sqlite_keeps_what_it_synced", || {
        if !has_python("sqlite3") {
            return say("  skipped, no python3 with sqlite3");
        }
        for (synchronous, torn) in [("full", 0.0), ("full", 0.5), ("off", 0.0)] {
            let home = Home::new();
            let mut child = start("python3", &["-c", SQLITE, synchronous], &home);
            until("some were acknowledged", || acknowledged(&home) >= 500);
            end(&mut child);
            let acknowledged = acknowledged(&home);
            let lost = home.disk.crash(torn, 1).unwrap();
            let script = format!("python3 - <<'END'\n{RECOVER}\nEND");
            let left: usize = shell(&script, &home.path("")).trim().parse().unwrap();
            say(&format!(
                "  sqlite {synchronous}, torn {torn}: {acknowledged} acknowledged, {left} left, {lost:?}"
            ));
            if synchronous == "full" {
                // One may have been written and not acknowledged.
                assert!(left == acknowledged || left == acknowledged + 1);
            } else {
                assert!(left < acknowledged);
            }
        }
    });
}

const LOCKS: &str = "import fcntl, os, sys
def held(call, flags):
    if os.fork() == 0:
        f = open('lock', 'r+')
        try: call(f, flags)
        except BlockingIOError: os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.wait()[1]) == 1
f = open('lock', 'w+')
for call in (fcntl.flock, fcntl.lockf):
    call(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert held(call, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert held(call, fcntl.LOCK_SH | fcntl.LOCK_NB)
    call(f, fcntl.LOCK_UN)
    assert not held(call, fcntl.LOCK_EX | fcntl.LOCK_NB)
print('ok')";

/// Changes a file in memory, by shared and private mappings.
const MAPPED: &str = "import mmap, os
f = open('map', 'w+b'); f.truncate(5 * 4096)
m = mmap.mmap(f.fileno(), 0)
m[4096:8192] = b's' * 4096
m.flush()
assert open('map', 'rb').read()[4096:8192] == b's' * 4096
m[0:4096] = b'u' * 4096
f.seek(3 * 4096); f.write(b'w' * 4096); f.flush()
assert m[3 * 4096] == ord('w')
p = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE)
p[4 * 4096] = ord('p')
os.kill(os.getpid(), 9)";

#[test]
fn locks_are_kept_by_the_kernel() {
    sandboxed("programs::locks_are_kept_by_the_kernel", || {
        if !has_python("fcntl") {
            return say("  skipped, no python3");
        }
        let home = Home::new();
        assert_eq!(shell(&format!("python3 - <<'END'\n{LOCKS}\nEND"), &home.path("")), "ok\n");
    });
}

#[test]
fn files_changed_in_memory_are_synced_by_msync() {
    sandboxed("programs::files_changed_in_memory_are_synced_by_msync", || {
        if !has_python("mmap") {
            return say("  skipped, no python3");
        }
        let home = Home::new();
        start("python3", &["-c", MAPPED], &home).wait().unwrap();
        // The kernel has written it all, as it does when a process dies.
        let page = |bytes: &[u8], page: usize| bytes.get(page * 4096).copied().map(char::from);
        let bytes = fs::read(home.path("map")).unwrap();
        let found: Vec<_> = (0..5).map(|i| page(&bytes, i)).collect();
        assert_eq!(found, [Some('u'), Some('s'), Some('\0'), Some('w'), Some('\0')]);
        let lost = home.disk.crash(0.0, 1).unwrap();
        let bytes = fs::read(home.path("map")).unwrap();
        let found: Vec<_> = (0..5).map(|i| page(&bytes, i)).collect();
        assert_eq!(found, [Some('\0'), Some('s'), Some('\0'), Some('\0'), Some('\0')], "{lost:?}");
        assert_eq!(bytes.len(), 5 * 4096);
    });
}

#[test]
fn an_unpacked_tree_is_the_same() {
    sandboxed("programs::an_unpacked_tree_is_the_same", || {
        let home = Home::new();
        // A tree with everything in it that tar knows.
        let source = home.outside("source");
        fs::create_dir(&source).unwrap();
        let make = "for d in a b/c b/d/e; do mkdir -p $d; for i in $(seq 200); do
                head -c $((i * 97)) /dev/urandom > $d/file$i; done; done
            ln -s ../a/file1 b/link; ln a/file2 b/hard; mkfifo b/pipe; chmod 4755 a/file3
            truncate -s 1M a/sparse; touch -d '2001-02-03 04:05:06' a/file4; chmod 555 b/c";
        shell(make, &source);
        shell("tar -C ../.. -c source | tar -x", &home.path(""));
        let sums = |directory: &std::path::Path| {
            shell(
                "find . | sort | xargs stat -c '%n %F %a %s %Y %h %u' | grep -v directory
                find . -type f | sort | xargs sha256sum; readlink b/link",
                directory,
            )
        };
        let expected = sums(&source).replace("../source", ".");
        // Hundreds of files are not synced: mount anew with everything kept.
        assert_eq!(sums(&home.path("source")), expected);
        home.disk.offline(|_| Ok(())).unwrap();
        assert_eq!(sums(&home.path("source")), expected);
        shell("mv source moved; cp -a moved copy; rm -rf moved", &home.path(""));
        assert_eq!(sums(&home.path("copy")), expected);
        shell("rm -rf copy", &home.path(""));
        assert_eq!(fs::read_dir(home.path("")).unwrap().count(), 0);
    });
}

#[test]
fn git_works_on_it() {
    sandboxed("programs::git_works_on_it", || {
        let home = Home::new();
        if !Command::new("git").arg("--version").output().is_ok_and(|o| o.status.success()) {
            return say("  skipped, no git");
        }
        let script = "git init -q r; cd r; git config user.email a@b; git config user.name n
            for i in $(seq 30); do mkdir -p d$i; seq $i 500 > d$i/f; git add .; git commit -qm $i; done
            git gc -q; git checkout -qb other HEAD~10; git mv d1 moved; git commit -qam moved
            git merge -q -m merged master 2>/dev/null || git merge -q -m merged main
            git fsck --full --strict; git status --porcelain; git clone -q . ../clone; cd ../clone; git fsck";
        shell(script, &home.path(""));
        home.disk.offline(|_| Ok(())).unwrap();
        assert_eq!(shell("cd clone; git fsck --full 2>&1; git status --porcelain", &home.path("")), "");
    });
}
