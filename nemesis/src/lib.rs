//! The nemesis: what can be broken, one file a fault.
//!
//! A fault injects, heals what it injected, and probes: it observes from outside whether its effect is
//! there, and after healing whether it is gone. A fault that was not seen to bite proves nothing, so
//! nothing in here takes its own success for granted.
//!
//! Invariants:
//! - Nothing outside the harness's own namespaces is ever touched: rules are set in the nodes' network
//!   namespaces, signals are sent only to members of the nodes' PID namespaces.
//! - Healing needs no successful injection before it, and may be done twice.
//! - Everything random comes from the [`ordeal_core::Rng`] that is passed in.
//!
//! After an error from `inject`, `heal` must be called like after a success: the fault may be half there.

mod kill;
mod machine;
mod netns;
mod partition;
mod pause;
mod processes;
mod schedule;
mod whom;

use ordeal_core::{Fault, Machine};

pub use machine::machine;
pub use schedule::schedule;

/// One kind of fault, as the command line and the plan know it.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Makes the object that serves one run on this machine.
    pub build: fn(&Machine) -> Box<dyn Fault>,
}

/// The registry. A new fault is one file and one line here.
static KINDS: [Kind; 3] = [
    Kind { name: kill::NAME, about: kill::ABOUT, build: kill::build },
    Kind { name: pause::NAME, about: pause::ABOUT, build: pause::build },
    Kind { name: partition::NAME, about: partition::ABOUT, build: partition::build },
];

/// All kinds of fault.
pub fn all() -> &'static [Kind] {
    &KINDS
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_the_name_its_fault_answers_to() {
        for kind in all() {
            let fault = (kind.build)(&Machine::default());
            assert_eq!(fault.name(), kind.name);
            assert_eq!(fault.about(), kind.about);
            assert_eq!(find(kind.name).map(|k| k.name), Some(kind.name));
        }
        assert!(find("no-such-fault").is_none());
    }
}
