//! The frontier: all configurations that are kept, event after event.

use super::super::calls::Act;
use super::super::values::INITIAL;
use super::pool::{Config, Pool, Running};
use super::problem::Problem;
use super::set::Set;
use super::steps::{Placed, Steps};
use super::used::Combinations;
use super::{Help, Mode, Outcome};

/// After it got stuck the first pass keeps so many times as many configurations.
const KEEP_MORE: usize = 12;
/// So often it goes back.
const RETRIES: u32 = 3;
/// Every so many events it remembers where it was; and it remembers so many such places.
const REMEMBER_EVERY: usize = 512;
const REMEMBERED: usize = 32;
/// No more than so many bytes of configurations at a time.
const MOST_BYTES: usize = 200 << 20;

/// The call that ends.
pub(super) struct Ending {
    pub(super) slot: u32,
    pub(super) act: Act,
}

pub(super) struct Search<'p, const N: usize> {
    pub(super) problem: &'p Problem<'p>,
    pub(super) mode: Mode,
    pub(super) running: Running<N>,
    /// The call in each slot.
    pub(super) at_slot: Vec<u32>,
    /// How many calls of each class have begun.
    pub(super) begun: Vec<u32>,
    pub(super) frontier: Vec<Config<N>>,
    /// Configurations of an extension, and those it ended with.
    pub(super) closing: Pool<N>,
    pub(super) out: Pool<N>,
    pub(super) combinations: Combinations,
    pub(super) steps: Steps,
    /// The number of the event.
    pub(super) now: u32,
    /// How many configurations were looked at.
    pub(super) spent: u64,
    /// Something was left out that could have been a way.
    pub(super) cut: bool,
    /// Whom open calls help at present.
    pub(super) help: Help,
    /// For the present extension: values from which the ending call can be reached, and which running
    /// reads a value answers.
    pub(super) useful: Vec<u32>,
    pub(super) all_useful: bool,
    pub(super) served: Vec<(u32, Set<N>)>,
    pub(super) tried: Vec<u32>,
}

/// Where the first pass was.
struct Place<const N: usize> {
    event: usize,
    frontier: Vec<Config<N>>,
}

impl<'p, const N: usize> Search<'p, N> {
    pub(super) fn new(problem: &'p Problem<'p>, mode: Mode) -> Self {
        let start = Config {
            value: INITIAL,
            blind: 0,
            used: 0,
            step: 0,
            placed: Set::default(),
            free: Set::default(),
        };
        Search {
            problem,
            mode,
            running: Running { reads: Set::default(), writes: Set::default(), swaps: Set::default() },
            at_slot: vec![0; problem.width],
            begun: vec![0; problem.classes.len()],
            frontier: vec![start],
            closing: Pool::new(),
            out: Pool::new(),
            combinations: Combinations::new(),
            steps: Steps::new(),
            now: 0,
            spent: 0,
            cut: false,
            help: mode.help,
            useful: Vec::new(),
            all_useful: false,
            served: Vec::new(),
            tried: Vec::new(),
        }
    }

    pub(super) fn act(&self, slot: u32) -> Act {
        self.problem.calls[self.at_slot[slot as usize] as usize].act
    }

    /// Goes through all events.
    pub(super) fn pass(&mut self) -> Outcome {
        let usual = self.mode;
        let mut remembered: Vec<Place<N>> = Vec::new();
        let (mut tries, mut furthest) = (0, 0);
        let mut event = 0;
        while let Some(&what) = self.problem.events.get(event) {
            if usual.keep < usize::MAX && event % REMEMBER_EVERY == 0 {
                if event > furthest + REMEMBER_EVERY {
                    (self.mode, tries) = (usual, 0);
                }
                if remembered.len() == REMEMBERED {
                    remembered.remove(0);
                }
                remembered.push(Place { event, frontier: self.frontier.clone() });
            }
            self.now = event as u32;
            let call = what / 2;
            if what % 2 == 0 {
                self.begin(call);
                event += 1;
                continue;
            }
            self.end(call);
            if self.over_limit() {
                return Outcome::Undecided;
            }
            if !self.frontier.is_empty() {
                self.tidy(&mut remembered);
                event += 1;
                continue;
            }
            furthest = furthest.max(event);
            if !self.cut || usual.keep == usize::MAX || tries == RETRIES {
                return Outcome::Stuck(call);
            }
            // Back by ever more, with ever more configurations.
            let back = REMEMBER_EVERY * 6_usize.pow(tries) / 2;
            tries += 1;
            self.mode.keep = usual.keep * KEEP_MORE.pow(tries);
            self.mode.help = if tries == 1 { Help::Ending } else { Help::All };
            let earlier = remembered.partition_point(|p| p.event + back <= event).max(1);
            remembered.truncate(earlier);
            let Some(place) = remembered.pop() else {
                return Outcome::Stuck(call);
            };
            self.go_back(event, &place);
            event = place.event;
        }
        let best = self.frontier.iter().min_by_key(|c| self.combinations.total(c.used));
        best.map_or(Outcome::Undecided, |config| Outcome::Order(self.changes(config.step)))
    }

    fn kinds(&mut self, act: Act) -> &mut Set<N> {
        match act {
            Act::Read(_) | Act::Not(_) => &mut self.running.reads,
            Act::Write(_) => &mut self.running.writes,
            Act::Swap(..) => &mut self.running.swaps,
        }
    }

    fn enter(&mut self, call: u32) -> Option<u32> {
        let (number, about) = (self.problem.slots[call as usize], &self.problem.calls[call as usize]);
        if about.is_open() {
            self.begun[number as usize] += 1;
            return None;
        }
        self.at_slot[number as usize] = call;
        self.kinds(about.act).insert(number);
        Some(number)
    }

    fn begin(&mut self, call: u32) {
        let Some(slot) = self.enter(call) else { return };
        let act = self.act(slot);
        if act.reads_only() {
            for config in self.frontier.iter_mut().filter(|c| act.accepts(c.value)) {
                config.placed.insert(slot);
            }
        }
    }

    fn end(&mut self, call: u32) {
        let slot = self.problem.slots[call as usize];
        let act = self.act(slot);
        if self.frontier.iter().all(|c| c.placed.has(slot)) {
            for config in &mut self.frontier {
                config.placed.remove(slot);
                config.free.remove(slot);
            }
        } else {
            self.close_sparingly(&Ending { slot, act });
            self.frontier.extend(self.out.best());
            self.keep_best();
        }
        self.kinds(act).remove(slot);
    }

    /// Extends the frontier, with as much help by open calls as the mode allows.
    fn close_sparingly(&mut self, ending: &Ending) {
        if self.mode.help != Help::Stuck || self.problem.classes.is_empty() {
            self.help = self.mode.help;
            return self.close(ending);
        }
        let before = self.frontier.clone();
        self.help = Help::Nobody;
        self.close(ending);
        self.cut = true;
        if self.out.len() == 0 {
            self.frontier = before;
            self.help = Help::Ending;
            self.close(ending);
        }
    }

    /// Keeps as many configurations as the mode says, those that seem to have most ways to go on.
    fn keep_best(&mut self) {
        if self.frontier.len() <= self.mode.keep {
            return;
        }
        self.cut = true;
        let (running, combinations) = (&self.running, &self.combinations);
        let cost = |c: &Config<N>| {
            let missing = |of: &Set<N>| of.minus(&c.placed).len();
            8 * combinations.total(c.used) + 4 * missing(&running.swaps) + 2 * missing(&running.reads)
        };
        self.frontier.select_nth_unstable_by_key(self.mode.keep, cost);
        self.frontier.truncate(self.mode.keep);
    }

    pub(super) fn over_limit(&self) -> bool {
        let bytes = (self.out.len() + self.closing.len()) * 2 * size_of::<Config<N>>()
            + self.combinations.len() * 256
            + self.steps.len() * 8;
        self.work() > self.mode.budget || bytes > MOST_BYTES
    }

    /// How many configurations were looked at; comparing some of them is as much work.
    pub(super) fn work(&self) -> u64 {
        self.spent + (self.closing.compared + self.out.compared) / 16
    }

    /// Forgets how configurations came about that are gone.
    fn tidy(&mut self, remembered: &mut [Place<N>]) {
        if !self.steps.is_full() && self.combinations.len() < 1 << 14 {
            return;
        }
        let mut all: Vec<&mut Config<N>> =
            remembered.iter_mut().flat_map(|p| &mut p.frontier).chain(&mut self.frontier).collect();
        if self.steps.is_full() {
            self.steps.keep_only(all.iter_mut().map(|c| &mut c.step));
        }
        if self.combinations.len() >= 1 << 14 {
            self.combinations.keep_only(all.iter_mut().map(|c| &mut c.used));
        }
    }

    /// Undoes the events from this one back to the place.
    fn go_back(&mut self, event: usize, place: &Place<N>) {
        let problem = self.problem;
        for &what in problem.events[place.event..=event].iter().rev() {
            let call = what / 2;
            if what % 2 == 1 {
                self.enter(call);
            } else if problem.calls[call as usize].is_open() {
                self.begun[problem.slots[call as usize] as usize] -= 1;
            } else {
                let slot = problem.slots[call as usize];
                self.kinds(problem.calls[call as usize].act).remove(slot);
            }
        }
        self.frontier.clone_from(&place.frontier);
    }

    /// The calls that changed the value, in order. Of equal open calls the one that began first comes first.
    fn changes(&self, last: u32) -> Vec<u32> {
        let problem = self.problem;
        let act = |placed| match placed {
            Placed::Call(call) => problem.calls[call as usize].act,
            Placed::Class(class) => problem.classes[class as usize].act,
        };
        let mut used = vec![0; problem.classes.len()];
        let order = self.steps.order(last, |placed| matches!(act(placed), Act::Write(_)));
        order
            .into_iter()
            .filter_map(|placed| match placed {
                Placed::Call(call) => Some(call),
                Placed::Class(class) => {
                    let calls = &problem.classes[class as usize].calls;
                    used[class as usize] += 1;
                    calls.get(used[class as usize] - 1).copied()
                }
            })
            .collect()
    }
}
