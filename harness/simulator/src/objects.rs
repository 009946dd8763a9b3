//! The objects that can be simulated and the violations that can be planted: the one table of them.

use serde_json::Value;

use crate::store::{ACCOUNTS, BALANCE};
use Violation::{
    DoubleGrant, Duplicate, Hole, LostElement, LostUpdate, OffBy, Phantom, Reorder, SplitBrain, StaleRead,
    TokenRegression,
};

/// An object that clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// Read and write.
    Register,
    /// Read, write, compare and set.
    CasRegister,
    /// The same, with a count of the writes.
    VersionedRegister,
    /// Texts: get, put, append.
    Kv,
    /// First in, first out.
    Queue,
    /// Any element comes out.
    UnorderedQueue,
    /// Last in, first out.
    Stack,
    /// The greatest comes out first.
    PriorityQueue,
    /// Add, remove, contains.
    Set,
    /// Add one, read all.
    GrowSet,
    /// Append one, read all.
    List,
    /// Add and read.
    Counter,
    /// Acquire and release.
    Lock,
    /// The same, with tokens that grow.
    FencedLock,
    /// Accounts with transfers.
    Ledger,
    /// Transactions that append to lists and read them.
    ListAppend,
    /// Transactions that write registers and read them.
    RwRegister,
}

/// What can be wrong with a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A read answers with what had certainly been overwritten, or lacks what had certainly been added last.
    StaleRead,
    /// Two updates both start from the same state and both succeed.
    LostUpdate,
    /// An answer holds what nobody ever put there.
    Phantom,
    /// Two elements come out, or are shown, in the wrong order.
    Reorder,
    /// An acknowledged element is gone.
    LostElement,
    /// An element comes out, or is shown, twice.
    Duplicate,
    /// One read lacks an element from its middle.
    Hole,
    /// A sum is wrong by one.
    OffBy,
    /// A lock is granted while another client certainly holds it.
    DoubleGrant,
    /// A lock is granted with a token that was given out before.
    TokenRegression,
    /// Two reads show states that cannot follow one another.
    SplitBrain,
}

/// A violation as lists show it.
#[derive(Clone, Copy, Debug)]
pub struct ViolationEntry {
    /// The violation.
    pub violation: Violation,
    /// Its name.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
}

/// All violations.
pub const VIOLATIONS: &[ViolationEntry] = &[
    violation(StaleRead, "stale-read", "a read lacks what was certainly there before it began"),
    violation(LostUpdate, "lost-update", "two updates start from the same state, and both succeed"),
    violation(Phantom, "phantom", "an answer holds what nobody ever put there"),
    violation(Reorder, "reorder", "two elements come out, or are shown, in the wrong order"),
    violation(LostElement, "lost-element", "an acknowledged element is gone"),
    violation(Duplicate, "duplicate", "one element comes out, or is shown, twice"),
    violation(Hole, "hole", "one read lacks an element from its middle"),
    violation(OffBy, "off-by", "a sum is wrong by one"),
    violation(DoubleGrant, "double-grant", "a lock is granted while another client certainly holds it"),
    violation(TokenRegression, "token-regression", "a lock is granted with a token from before"),
    violation(SplitBrain, "split-brain", "two reads show states of which neither can follow the other"),
];

const fn violation(violation: Violation, name: &'static str, about: &'static str) -> ViolationEntry {
    ViolationEntry { violation, name, about }
}

/// An object as lists show it.
#[derive(Clone, Copy, Debug)]
pub struct ObjectEntry {
    /// The object.
    pub object: Object,
    /// Its name, which is also that of the judge's model.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// What can be planted in its histories.
    pub violations: &'static [Violation],
}

/// All objects.
pub const OBJECTS: &[ObjectEntry] = &[
    object(Object::Register, "register", "read, write", &[StaleRead, Phantom]),
    object(
        Object::CasRegister,
        "cas-register",
        "read, write, compare and set",
        &[StaleRead, LostUpdate, Phantom],
    ),
    object(
        Object::VersionedRegister,
        "versioned-register",
        "the same; every answer counts the writes",
        &[StaleRead, LostUpdate, Phantom],
    ),
    object(Object::Kv, "kv", "texts: get, put, append", &[StaleRead, Phantom]),
    object(
        Object::Queue,
        "queue",
        "first in, first out: enqueue, dequeue",
        &[Reorder, LostElement, Duplicate, Phantom],
    ),
    object(
        Object::UnorderedQueue,
        "unordered-queue",
        "enqueue, dequeue any",
        &[LostElement, Duplicate, Phantom],
    ),
    object(
        Object::Stack,
        "stack",
        "last in, first out: push, pop",
        &[Reorder, LostElement, Duplicate, Phantom],
    ),
    object(
        Object::PriorityQueue,
        "priority-queue",
        "insert, poll the greatest, peek",
        &[Reorder, LostElement, Duplicate, Phantom],
    ),
    object(Object::Set, "set", "add, remove, contains", &[LostElement, Phantom]),
    object(Object::GrowSet, "grow-set", "add one, read all", &[LostElement, Hole, Phantom, SplitBrain]),
    object(
        Object::List,
        "list",
        "append one, read all",
        &[StaleRead, Hole, Duplicate, Reorder, Phantom, SplitBrain],
    ),
    object(Object::Counter, "counter", "add, read", &[StaleRead, OffBy]),
    object(Object::Lock, "lock", "acquire, release", &[DoubleGrant]),
    object(
        Object::FencedLock,
        "fenced-lock",
        "the same, with tokens that grow",
        &[DoubleGrant, TokenRegression],
    ),
    object(Object::Ledger, "ledger", "transfers between accounts, read all", &[OffBy]),
    object(
        Object::ListAppend,
        "list-append",
        "transactions of appends to lists and reads",
        &[StaleRead, LostUpdate, Hole, Duplicate, Reorder, Phantom, SplitBrain],
    ),
    object(
        Object::RwRegister,
        "rw-register",
        "transactions of writes to registers and reads",
        &[StaleRead, LostUpdate, Phantom],
    ),
];

const fn object(
    object: Object,
    name: &'static str,
    about: &'static str,
    violations: &'static [Violation],
) -> ObjectEntry {
    ObjectEntry { object, name, about, violations }
}

impl Object {
    /// Its row of the table.
    pub fn entry(self) -> &'static ObjectEntry {
        OBJECTS.iter().find(|entry| entry.object == self).unwrap_or(&OBJECTS[0])
    }

    /// The object of this name.
    pub fn named(name: &str) -> Option<Object> {
        OBJECTS.iter().find(|entry| entry.name == name).map(|entry| entry.object)
    }

    /// The state before anything happened, where a judge has to be told.
    pub fn initial(self) -> Option<Value> {
        let balances = || (0..ACCOUNTS).map(|account| (account.to_string(), Value::from(BALANCE)));
        (self == Object::Ledger).then(|| balances().collect())
    }

    /// Whether its operations are transactions.
    pub fn is_transactional(self) -> bool {
        matches!(self, Object::ListAppend | Object::RwRegister)
    }

    /// Whether the interval format has words for its operations and answers.
    pub fn has_intervals(self) -> bool {
        use Object::{Kv, Ledger, PriorityQueue, VersionedRegister};
        !matches!(self, Kv | Ledger | PriorityQueue | VersionedRegister)
    }

    /// Whether it is one of many that have names of their own in a history.
    pub fn is_keyed(self) -> bool {
        !self.is_transactional() && self != Object::Ledger
    }
}

impl Violation {
    /// Its row of the table.
    pub fn entry(self) -> &'static ViolationEntry {
        VIOLATIONS.iter().find(|entry| entry.violation == self).unwrap_or(&VIOLATIONS[0])
    }

    /// The violation of this name.
    pub fn named(name: &str) -> Option<Violation> {
        VIOLATIONS.iter().find(|entry| entry.name == name).map(|entry| entry.violation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name_and_used() {
        for entry in OBJECTS {
            assert_eq!(Object::named(entry.name), Some(entry.object));
            assert_eq!(entry.object.entry().name, entry.name);
            assert!(!entry.violations.is_empty(), "{}", entry.name);
        }
        for entry in VIOLATIONS {
            assert_eq!(Violation::named(entry.name), Some(entry.violation));
            assert_eq!(entry.violation.entry().name, entry.name);
            assert!(OBJECTS.iter().any(|o| o.violations.contains(&entry.violation)), "{}", entry.name);
        }
    }
}
