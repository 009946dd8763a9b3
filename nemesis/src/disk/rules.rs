//! Rules: which calls fail, wait, are answered with a flipped bit, or find the disk full.
//!
//! Without rules a call costs one look at a flag. The chances of each owner's rules are drawn from its own
//! seed, in the order of the calls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use ordeal_core::Rng;

use super::traps::is_doomed;
use super::{Action, Call, Rule};

/// Between two looks whether whoever waits has been killed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The rules of one disk.
#[derive(Debug, Default)]
pub(super) struct Rules {
    any: AtomicBool,
    sets: Mutex<BTreeMap<&'static str, Set>>,
    /// Told when a set changes, so that nobody waits on for rules that are gone.
    changed: Condvar,
}

#[derive(Debug)]
struct Set {
    rules: Vec<Rule>,
    rng: Rng,
    struck: BTreeMap<Call, u64>,
    generation: u64,
}

/// A call that is about to be served.
pub(super) struct Asked<'a> {
    pub(super) call: Call,
    /// The names it is about, below the root: a rename is about two.
    pub(super) names: &'a [PathBuf],
    /// Whether it takes space that is not there if the disk is full.
    pub(super) needs_space: &'a dyn Fn() -> bool,
}

/// What rules do to one call.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Strike {
    /// It waits first.
    pub(super) waits: Vec<Wait>,
    /// Then it fails.
    pub(super) error: Option<Errno>,
    /// Or in its data these bits are flipped; each number is to be taken modulo their number.
    pub(super) flips: Vec<u64>,
}

/// A wait that ends early when its owner's rules change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    owner: &'static str,
    generation: u64,
    time: Duration,
}

impl Strike {
    /// Flips what is to be flipped.
    pub(super) fn flip(&self, data: &mut [u8]) {
        let bits = data.len() as u64 * 8;
        for flip in self.flips.iter().filter(|_| bits > 0) {
            let bit = flip % bits;
            data[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

impl Rules {
    fn sets(&self) -> MutexGuard<'_, BTreeMap<&'static str, Set>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, owner: &'static str, rules: Vec<Rule>, seed: u64) {
        let mut sets = self.sets();
        let generation = sets.get(owner).map_or(0, |set| set.generation + 1);
        sets.insert(owner, Set { rules, rng: Rng::new(seed), struck: BTreeMap::new(), generation });
        self.any.store(sets.values().any(|set| !set.rules.is_empty()), Ordering::Release);
        self.changed.notify_all();
    }

    /// Takes the owner's rules away. What they have struck can still be asked.
    pub(super) fn clear(&self, owner: &'static str) {
        let mut sets = self.sets();
        if let Some(set) = sets.get_mut(owner) {
            set.rules.clear();
            set.generation += 1;
        }
        self.any.store(sets.values().any(|set| !set.rules.is_empty()), Ordering::Release);
        self.changed.notify_all();
    }

    pub(super) fn struck(&self, owner: &'static str) -> BTreeMap<Call, u64> {
        self.sets().get(owner).map(|set| set.struck.clone()).unwrap_or_default()
    }

    /// Whether there are no rules at all.
    pub(super) fn none(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether the answers to reads may be other than those that the kernel has kept.
    pub(super) fn touch_reads(&self, owner: &'static str) -> bool {
        self.sets().get(owner).is_some_and(|set| set.rules.iter().any(touches_reads))
    }

    /// Whether any rule says so.
    pub(super) fn any_touch_reads(&self) -> bool {
        !self.none() && self.sets().values().any(|set| set.rules.iter().any(touches_reads))
    }

    /// Whether the disk has no space left.
    pub(super) fn full(&self) -> bool {
        let full = |rule: &Rule| rule.action == Action::Full;
        !self.none() && self.sets().values().any(|set| set.rules.iter().any(full))
    }

    /// What happens to a call.
    pub(super) fn strike(&self, asked: &Asked<'_>) -> Strike {
        let mut strike = Strike::default();
        if self.none() {
            return strike;
        }
        for (&owner, set) in self.sets().iter_mut() {
            for rule in &set.rules {
                let matches = rule.is_about(asked.call, asked.names)
                    && rule.action.can_strike(asked)
                    && set.rng.chance(rule.chance);
                if !matches || strike.error.is_some() {
                    continue;
                }
                *set.struck.entry(asked.call).or_default() += 1;
                match rule.action {
                    // The kernel would take it for "never ask again".
                    Action::Error(Errno::ENOSYS) => strike.error = Some(Errno::EOPNOTSUPP),
                    Action::Error(errno) => strike.error = Some(errno),
                    Action::Full => strike.error = Some(Errno::ENOSPC),
                    Action::FlipBit => strike.flips.push(set.rng.next_u64()),
                    Action::Delay { us } => {
                        let (generation, time) = (set.generation, Duration::from_micros(us));
                        strike.waits.push(Wait { owner, generation, time });
                    }
                }
            }
        }
        strike
    }

    /// Waits, but no longer than the rule is in force and the caller lives.
    pub(super) fn wait(&self, waits: &[Wait], pid: u32) {
        for wait in waits {
            let end = Instant::now() + wait.time;
            let mut sets = self.sets();
            while sets.get(wait.owner).is_some_and(|set| set.generation == wait.generation) {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() || (wait.time > LOOK_INTERVAL && is_doomed(pid)) {
                    break;
                }
                let slept = self.changed.wait_timeout(sets, left.min(LOOK_INTERVAL));
                sets = slept.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

fn touches_reads(rule: &Rule) -> bool {
    rule.calls.is_empty() || rule.calls.contains(&Call::Read) || rule.action == Action::FlipBit
}

impl Rule {
    fn is_about(&self, call: Call, names: &[PathBuf]) -> bool {
        (self.calls.is_empty() || self.calls.contains(&call)) && is_about(self.path.as_deref(), names)
    }
}

impl Action {
    /// Whether there is anything for it to strike in this call.
    fn can_strike(&self, asked: &Asked<'_>) -> bool {
        match self {
            Action::Error(_) | Action::Delay { .. } => true,
            Action::FlipBit => matches!(asked.call, Call::Read | Call::Write),
            Action::Full => (asked.needs_space)(),
        }
    }
}

/// Whether any of the names matches the pattern, if there is one.
pub(super) fn is_about(pattern: Option<&str>, names: &[PathBuf]) -> bool {
    let Some(pattern) = pattern else { return true };
    names.iter().any(|name: &PathBuf| matches(pattern.as_bytes(), bytes(name)))
}

fn bytes(name: &Path) -> &[u8] {
    name.as_os_str().as_encoded_bytes()
}

/// Matches a name against a pattern in which `*` stands for any bytes, slashes among them, and `?` for one.
pub(crate) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and how much of the name it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    p = at + 1;
                    n = end + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.wal", "a.wal", true),
            ("*.wal", "member/wal/0.wal", true),
            ("*.wal", "a.wal.tmp", false),
            ("wal/*", "wal/0", true),
            ("wal/*", "old/wal/0", false),
            ("?.db", "a.db", true),
            ("?.db", ".db", false),
            ("a*b*c", "axxbxbxc", true),
            ("a*b*c", "axxbxbx", false),
            ("", "a", false),
            ("data", "data", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    fn rule(calls: &[Call], path: Option<&str>, chance: f64, action: Action) -> Rule {
        Rule { calls: calls.to_vec(), path: path.map(str::to_owned), chance, action }
    }

    fn ask(rules: &Rules, call: Call, name: &str, needs_space: bool) -> Strike {
        rules.strike(&Asked { call, names: &[name.into()], needs_space: &|| needs_space })
    }

    #[test]
    fn rules_strike_the_calls_and_names_they_are_about_and_count_them() {
        let rules = Rules::default();
        assert!(rules.none() && ask(&rules, Call::Fsync, "a", true) == Strike::default());
        let errors = rule(&[Call::Fsync], Some("*.wal"), 1.0, Action::Error(Errno::EIO));
        rules.set("a", vec![errors], 1);
        rules.set("b", vec![rule(&[], None, 1.0, Action::Full)], 1);
        assert_eq!(ask(&rules, Call::Fsync, "x.wal", false).error, Some(Errno::EIO));
        assert_eq!(ask(&rules, Call::Fsync, "x.db", false).error, None);
        assert_eq!(ask(&rules, Call::Write, "x.db", true).error, Some(Errno::ENOSPC));
        assert!(rules.full());
        rules.clear("b");
        assert!(!rules.full() && ask(&rules, Call::Write, "x.db", true).error.is_none());
        assert_eq!(rules.struck("a"), BTreeMap::from([(Call::Fsync, 1)]));
        assert_eq!(rules.struck("b"), BTreeMap::from([(Call::Write, 1)]));
        rules.clear("a");
        assert!(rules.none());
    }

    #[test]
    fn chances_are_kept_and_the_same_for_the_same_seed() {
        let draw = |seed| {
            let rules = Rules::default();
            rules.set("a", vec![rule(&[Call::Read], None, 0.25, Action::FlipBit)], seed);
            (0..1_000).map(|_| ask(&rules, Call::Read, "x", false).flips).collect::<Vec<_>>()
        };
        let drawn = draw(7);
        let hits = drawn.iter().filter(|flips| !flips.is_empty()).count();
        assert!((200..300).contains(&hits), "{hits}");
        assert_eq!(drawn, draw(7));
        assert_ne!(drawn, draw(8));
    }

    #[test]
    fn exactly_one_bit_is_flipped() {
        let strike = Strike { flips: vec![1_234_567], ..Strike::default() };
        let mut data = vec![0; 4096];
        strike.flip(&mut data);
        assert_eq!(data.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        strike.flip(&mut []);
    }

    #[test]
    fn a_wait_ends_with_its_rules() {
        let rules = Rules::default();
        rules.set("a", vec![rule(&[], None, 1.0, Action::Delay { us: 60_000_000 })], 1);
        let waits = ask(&rules, Call::Fsync, "x", false).waits;
        assert_eq!(waits.len(), 1);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| rules.wait(&waits, 0));
            rules.clear("a");
            waiter.join().unwrap();
        });
        rules.set("a", vec![rule(&[], None, 1.0, Action::Delay { us: 30_000 })], 1);
        let start = Instant::now();
        rules.wait(&ask(&rules, Call::Fsync, "x", false).waits, 0);
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}
