//! The list of everything a history file can be shown to, and how to judge as far as a person may say.

use ordeal_core::{Checker, Model};
use serde_json::Value;

use crate::models::{self, Atom};
use crate::transactions::{
    self, Bank, Isolation, Level, ListAppend, LongFork, RwRegister, Sessions, WeakIsolation,
};
use crate::{
    About, AppendList, Budget, Claim, Convergence, Counter, CounterBounds, FencedLock, GrowSet, KeyValue,
    Ledger, Linearizable, Lock, LockExclusivity, LogPrefix, Machine, MultiRegister, PriorityQueue, Queue,
    Register, Set, SetDurability, SetFull, Stack, Staleness, Stats, TotalQueue, Trade, UniqueIds,
    UnorderedQueue, VersionedRegister, convergence, counter_bounds, crashes, faults, linearizability,
    lock_exclusivity, log_prefix, recovery, set_durability, set_full, staleness, stats, total_queue,
    unique_ids,
};

/// All checkers.
pub const CHECKERS: &[About] = &[
    linearizability::ABOUT,
    transactions::list_append::ABOUT,
    transactions::rw_register::ABOUT,
    transactions::rw_register::SEQUENTIAL,
    transactions::weak::READ_COMMITTED,
    transactions::weak::READ_ATOMIC,
    transactions::weak::CAUSAL,
    transactions::sessions::ABOUT,
    transactions::long_fork::ABOUT,
    transactions::bank::ABOUT,
    set_durability::ABOUT,
    set_durability::ABOUT_LAST,
    set_full::ABOUT,
    total_queue::ABOUT,
    counter_bounds::ABOUT,
    unique_ids::ABOUT,
    lock_exclusivity::ABOUT,
    log_prefix::ABOUT,
    staleness::ABOUT,
    staleness::ABOUT_VERSIONED,
    convergence::ABOUT,
    faults::ABOUT,
    crashes::ABOUT,
    recovery::ABOUT,
    stats::ABOUT,
];

/// How to judge, as far as a person may say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What a search may use.
    pub budget: Budget,
    /// Judge every key, also after a violation was found.
    pub all: bool,
    /// Say in which order the operations of a linearizable history can have taken effect.
    pub order: bool,
    /// The state before anything happened, where the model has several to choose from.
    pub initial: Option<Value>,
    /// A register's read that returned `null` says nothing, as in some histories of others.
    pub null_is_unknown: bool,
    /// A compare-and-set that failed proves that the register did not hold what it expected.
    pub failed_cas_proves: bool,
    /// The isolation level, where the judge has several to choose from.
    pub level: Level,
    /// Whether the accounts of a bank may be overdrawn.
    pub overdraft: bool,
    /// The stricter of two readings where a judge has two: `set-full` wants no stale read, `total-queue` wants
    /// no value twice.
    pub strict: bool,
    /// How many versions stale a read may be, for `staleness`.
    pub max_versions: Option<u64>,
    /// How many milliseconds stale a read may be, for `staleness`.
    pub max_ms: Option<u64>,
    /// How long a lock is held at most, for `lock-exclusivity`.
    pub lease_ms: Option<u64>,
}

impl Options {
    /// The initial state of a counter.
    fn counter(&self) -> Result<Counter, String> {
        self.initial.as_ref().map_or(Ok(Counter::default()), Counter::from_options)
    }

    /// The register that a history is judged by.
    fn register(&self) -> Register {
        Register {
            initial: self.initial.as_ref().map_or(Atom::NULL, Atom::from),
            null_is_unknown: self.null_is_unknown,
            failed_cas_proves: self.failed_cas_proves,
            ..Register::default()
        }
    }

    /// A judge of staleness that keeps to these.
    fn staleness(&self) -> Staleness {
        Staleness::default()
            .from(self.initial.clone().unwrap_or_default())
            .max_versions(self.max_versions)
            .max_ms(self.max_ms)
    }
}

/// A part of [`Options`] that means something to some judges only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// [`Options::initial`].
    Initial,
    /// [`Options::order`].
    Order,
    /// [`Options::level`].
    Level,
    /// [`Options::strict`].
    Strict,
    /// [`Options::overdraft`].
    Overdraft,
    /// [`Options::max_versions`] and [`Options::max_ms`].
    Staleness,
    /// [`Options::lease_ms`].
    Lease,
}

/// A judge, or what is wrong with the options.
pub type Made = Result<Box<dyn Checker>, String>;

/// A way to judge a history file, chosen by name.
#[derive(Clone, Copy, Debug)]
pub struct JudgeEntry {
    /// Its name and what it judges.
    pub about: About,
    /// Other names by which it is known elsewhere.
    pub aliases: &'static [&'static str],
    /// What a person may choose.
    pub takes: &'static [Choice],
    /// Makes the judge, over operations with their usual names.
    pub judge: fn(&Options) -> Made,
}

const fn entry(
    about: About,
    aliases: &'static [&'static str],
    takes: &'static [Choice],
    judge: fn(&Options) -> Made,
) -> JudgeEntry {
    JudgeEntry { about, aliases, takes, judge }
}

/// What every judge of linearizability takes.
const ORDER: &[Choice] = &[Choice::Order];
/// The same where the model has several states to start in.
const ORDER_INITIAL: &[Choice] = &[Choice::Order, Choice::Initial];
/// What other judges take that start from a value.
const INITIAL: &[Choice] = &[Choice::Initial];

/// The sequential specifications against which linearizability is judged.
pub const MODELS: &[JudgeEntry] = &[
    entry(models::register::ABOUT, &["cas-register", "cas"], ORDER_INITIAL, |options| {
        linearizable(options.register(), options)
    }),
    entry(models::versioned_register::ABOUT, &[], ORDER, |options| {
        linearizable(VersionedRegister::default(), options)
    }),
    entry(models::multi_register::ABOUT, &[], ORDER_INITIAL, |options| {
        from_initial(MultiRegister::from_options, options)
    }),
    entry(models::kv::ABOUT, &[], ORDER, |options| linearizable(KeyValue, options)),
    entry(models::grow_set::ABOUT, &["gset"], ORDER, |options| linearizable(GrowSet::default(), options)),
    entry(models::set::ABOUT, &["dset"], ORDER, |options| linearizable(Set, options)),
    entry(models::list::ABOUT, &["log", "append-log"], ORDER, |options| linearizable(AppendList, options)),
    entry(models::queue::ABOUT, &["fifo-queue"], ORDER, |options| linearizable(Queue, options)),
    entry(models::unordered_queue::ABOUT, &["bag"], ORDER, |options| linearizable(UnorderedQueue, options)),
    entry(models::stack::ABOUT, &[], ORDER, |options| linearizable(Stack, options)),
    entry(models::priority_queue::ABOUT, &["priorityqueue"], ORDER, |options| {
        linearizable(PriorityQueue, options)
    }),
    entry(models::counter::ABOUT, &[], ORDER_INITIAL, |options| from_initial(Counter::from_options, options)),
    entry(models::lock::ABOUT, &["mutex"], ORDER, |options| linearizable(Lock, options)),
    entry(models::fenced_lock::ABOUT, &["fenced"], ORDER, |options| linearizable(FencedLock, options)),
    entry(models::ledger::ABOUT, &[], ORDER_INITIAL, |options| from_initial(Ledger::from_options, options)),
    entry(models::claim::ABOUT, &[], ORDER, |options| linearizable(Claim, options)),
    entry(models::machine::ABOUT, &[], ORDER, |options| linearizable(Machine::default(), options)),
    entry(models::trade::ABOUT, &[], ORDER, |options| linearizable(Trade, options)),
];

fn linearizable<M: Model + 'static>(model: M, options: &Options) -> Made {
    made(Linearizable::new(model).with_options(options))
}

fn made(checker: impl Checker + 'static) -> Made {
    Ok(Box::new(checker))
}

/// Judges a model of which a person may say how it starts.
fn from_initial<M: Model + Default + 'static>(
    make: fn(&Value) -> Result<M, String>,
    options: &Options,
) -> Made {
    let model = options.initial.as_ref().map(make).transpose();
    linearizable(model.map_err(|why| format!("the initial state: {why}"))?.unwrap_or_default(), options)
}

/// Judges of other promises that a history file can be shown to.
pub const JUDGES: &[JudgeEntry] = &[
    entry(transactions::list_append::ABOUT, &["txn-append"], &[Choice::Level], |options| {
        made(ListAppend::with_options(options))
    }),
    entry(transactions::rw_register::ABOUT, &["txn-rw"], &[Choice::Level, Choice::Initial], |options| {
        made(RwRegister::new(Level::default()).with_options(options))
    }),
    entry(transactions::rw_register::SEQUENTIAL, &["sequential-consistency"], INITIAL, |options| {
        made(RwRegister::sequential().with_options(options))
    }),
    entry(transactions::weak::READ_COMMITTED, &["rc"], INITIAL, |options| {
        weak(Isolation::ReadCommitted, options)
    }),
    entry(transactions::weak::READ_ATOMIC, &["ra"], INITIAL, |options| weak(Isolation::ReadAtomic, options)),
    entry(transactions::weak::CAUSAL, &["causal-memory", "cc"], INITIAL, |options| {
        weak(Isolation::Causal, options)
    }),
    entry(transactions::sessions::ABOUT, &["sessions"], INITIAL, |options| {
        made(Sessions::default().with_options(options))
    }),
    entry(transactions::long_fork::ABOUT, &[], &[], |_| made(LongFork)),
    entry(transactions::bank::ABOUT, &[], &[Choice::Initial, Choice::Overdraft], |options| {
        made(Bank::default().with_options(options))
    }),
    entry(set_full::ABOUT, &[], &[Choice::Strict], |options| {
        made(SetFull::default().linearizable(options.strict))
    }),
    entry(set_durability::ABOUT_LAST, &[], &[], |_| made(SetDurability::new("add", "read").last_read())),
    entry(set_durability::ABOUT, &[], &[], |_| made(SetDurability::new("add", "read"))),
    entry(total_queue::ABOUT, &[], &[Choice::Strict], |options| {
        made(TotalQueue::default().exactly_once(options.strict))
    }),
    entry(counter_bounds::ABOUT, &[], INITIAL, |options| {
        made(CounterBounds::default().from(options.counter()?.initial))
    }),
    entry(unique_ids::ABOUT, &[], &[], |_| made(UniqueIds::default())),
    entry(lock_exclusivity::ABOUT, &[], &[Choice::Lease], |options| {
        made(LockExclusivity::default().lease_ms(options.lease_ms))
    }),
    entry(log_prefix::ABOUT, &[], &[], |_| made(LogPrefix::default())),
    entry(
        staleness::ABOUT,
        &["k-atomicity", "delta-atomicity"],
        &[Choice::Staleness, Choice::Initial],
        |options| made(options.staleness()),
    ),
    entry(staleness::ABOUT_VERSIONED, &[], &[Choice::Staleness, Choice::Initial], |options| {
        made(options.staleness().versioned())
    }),
    entry(convergence::ABOUT, &[], &[], |_| made(Convergence::new(["read"]))),
    entry(stats::ABOUT, &[], &[], |_| made(Stats)),
];

fn weak(isolation: Isolation, options: &Options) -> Made {
    made(WeakIsolation::new(isolation).with_options(options))
}

/// The judge of this name, among [`MODELS`] and [`JUDGES`].
pub fn judge_named(name: &str) -> Option<&'static JudgeEntry> {
    let mut entries = MODELS.iter().chain(JUDGES);
    entries.find(|entry| entry.about.name == name || entry.aliases.contains(&name))
}
