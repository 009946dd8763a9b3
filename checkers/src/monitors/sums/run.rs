//! The search itself. See the header of the module above for what it may leave out, and why.

use ordeal_core::Timed;

use super::super::mask::Mask;
use super::{Class, Deed};

/// How many ways to fill gaps are looked at, for each call and on top, before the monitor gives up.
const WAYS_PER_CALL: usize = 1 << 10;
const WAYS: usize = 1 << 20;
/// Why the search gave up.
pub(super) enum TooMany {
    /// More additions run at once than there are slots.
    Running,
    /// Too many ways to go on.
    Ways,
}

/// One way to explain the past.
#[derive(Clone, Debug)]
pub(super) struct Config<const W: usize> {
    pub(super) sum: i64,
    /// The first class that has not been passed; the sum may have reached it.
    pub(super) class: u32,
    /// The running additions that have taken effect.
    pub(super) placed: Mask<W>,
    /// How many open additions of each amount have taken effect.
    pub(super) used: Vec<u16>,
    /// The last addition.
    pub(super) trail: u32,
}

/// An addition, when it was decided on, and the one before it.
pub(super) struct Step {
    call: u32,
    time: u64,
    before: u32,
}

pub(super) const NO_STEP: u32 = u32::MAX;

/// The additions of one amount that have begun.
#[derive(Default)]
pub(super) struct Amount {
    pub(super) amount: i64,
    /// The slots of those that run, the first to end first.
    pub(super) running: Vec<u32>,
    pub(super) open: Vec<u32>,
    /// Where configurations count the open ones.
    pub(super) counter: usize,
}

/// A moment at which something must have been placed: an addition, or enough for a class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Class(u32),
    Add(u32),
}

pub(super) struct Run<'c, const W: usize> {
    calls: &'c [Timed<Deed>],
    pub(super) classes: &'c [Class],
    /// All amounts, the largest first.
    pub(super) amounts: Vec<Amount>,
    /// Those of which some have begun.
    active: Vec<u32>,
    slots: Mask<W>,
    call_of: Vec<u32>,
    slot_of: Vec<u32>,
    pub(super) configs: Vec<Config<W>>,
    pub(super) trail: Vec<Step>,
    now: u64,
    ways: usize,
}

impl<'c, const W: usize> Run<'c, W> {
    pub(super) fn new(calls: &'c [Timed<Deed>], classes: &'c [Class], initial: i64) -> Self {
        let amount = |call: &Timed<Deed>| match call.call {
            Deed::Add(amount) if amount > 0 => Some((amount, call.is_open())),
            Deed::Add(_) | Deed::Read(_) => None,
        };
        let mut all: Vec<(i64, bool)> = calls.iter().filter_map(amount).collect();
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.dedup_by_key(|amount| amount.0); // Of each amount an open one is left, if there is one.
        let mut counters = 0;
        let amounts = all.iter().map(|&(amount, open)| {
            counters += usize::from(open);
            Amount { amount, counter: counters.saturating_sub(1), ..Amount::default() }
        });
        let amounts = amounts.collect();
        let start =
            Config { sum: initial, class: 0, placed: Mask::EMPTY, used: vec![0; counters], trail: NO_STEP };
        Run {
            calls,
            classes,
            amounts,
            active: Vec::new(),
            slots: Mask::EMPTY,
            call_of: Vec::new(),
            slot_of: vec![0; calls.len()],
            configs: vec![start],
            trail: Vec::new(),
            now: 0,
            ways: WAYS.saturating_add(calls.len().saturating_mul(WAYS_PER_CALL)),
        }
    }

    /// A legal order, or the moment at which nothing explained the past any more.
    pub(super) fn judge(mut self) -> Result<Result<Vec<u32>, u64>, TooMany> {
        let mut due: Vec<(u64, Due)> = Vec::with_capacity(self.calls.len());
        due.extend((0..).zip(self.classes).map(|(at, class)| (class.until.0, Due::Class(at))));
        for (at, call) in (0_u32..).zip(self.calls) {
            if matches!(call.call, Deed::Add(1..)) && !call.is_open() {
                due.push((call.end, Due::Add(at)));
            }
        }
        due.sort_unstable();
        let mut begun = 0;
        for (time, due) in due {
            while self.calls.get(begun).is_some_and(|call| call.start <= time) {
                self.begin(begun as u32)?;
                begun += 1;
            }
            self.now = time;
            match due {
                Due::Class(class) => self.reach(class)?,
                Due::Add(at) => self.end(at)?,
            }
            if self.configs.is_empty() {
                return Ok(Err(time));
            }
        }
        let last = self.configs.first().map_or(NO_STEP, |config| config.trail);
        Ok(Ok(self.order(last)))
    }

    fn amount_of(&self, at: u32) -> Option<usize> {
        let Deed::Add(amount @ 1..) = self.calls[at as usize].call else {
            return None;
        };
        self.amounts.binary_search_by(|other| amount.cmp(&other.amount)).ok()
    }

    fn begin(&mut self, at: u32) -> Result<(), TooMany> {
        let Some(kind) = self.amount_of(at) else {
            return Ok(());
        };
        if let Err(place) = self.active.binary_search(&(kind as u32)) {
            self.active.insert(place, kind as u32);
        }
        let call = &self.calls[at as usize];
        if call.is_open() {
            self.amounts[kind].open.push(at);
            // The counters are small.
            let full = self.amounts[kind].open.len() >= usize::from(u16::MAX);
            return if full { Err(TooMany::Ways) } else { Ok(()) };
        }
        let slot = self.slots.first_free().ok_or(TooMany::Running)?;
        self.slots.insert(slot);
        if self.call_of.len() <= slot as usize {
            self.call_of.resize(slot as usize + 1, 0);
        }
        self.call_of[slot as usize] = at;
        self.slot_of[at as usize] = slot;
        let (calls, call_of) = (self.calls, &self.call_of);
        let by_end = |&other: &u32| {
            let other = call_of[other as usize];
            (calls[other as usize].end, other) < (call.end, at)
        };
        let running = &mut self.amounts[kind].running;
        let place = running.partition_point(by_end);
        running.insert(place, slot);
        Ok(())
    }

    /// Fills the gaps before a class, in every configuration.
    fn reach(&mut self, class: u32) -> Result<(), TooMany> {
        let value = self.classes[class as usize].value;
        if self.configs.iter().all(|config| config.sum >= value) {
            return Ok(());
        }
        let mut after = Vec::with_capacity(self.configs.len());
        let mut ahead = std::mem::take(&mut self.configs);
        while let Some(config) = ahead.pop() {
            if config.sum >= value {
                after.push(config);
            } else if let Some(gap) = self.gap(&config) {
                self.fill(&config, gap, 0, None, &mut ahead)?;
            }
        }
        self.prune(after)
    }

    /// Places an addition that ends, in every configuration.
    fn end(&mut self, at: u32) -> Result<(), TooMany> {
        let Some(kind) = self.amount_of(at) else {
            return Ok(());
        };
        let slot = self.slot_of[at as usize];
        let amount = self.amounts[kind].amount;
        let mut after = Vec::with_capacity(self.configs.len());
        let mut ahead = std::mem::take(&mut self.configs);
        while let Some(config) = ahead.pop() {
            if config.placed.has(slot) {
                after.push(config);
                continue;
            }
            let Some(gap) = self.gap(&config) else {
                continue;
            };
            // Filled without it, there may be room for it behind the class; else it goes here.
            if gap != i64::MAX {
                self.fill(&config, gap, 0, Some(kind), &mut ahead)?;
            }
            if amount <= gap {
                let mut config = config;
                self.place(&mut config, kind);
                after.push(config);
            }
        }
        self.slots.remove(slot);
        self.amounts[kind].running.retain(|&other| other != slot);
        if self.amounts[kind].running.is_empty() && self.amounts[kind].open.is_empty() {
            self.active.retain(|&other| other != kind as u32);
        }
        after.iter_mut().for_each(|config| config.placed.remove(slot));
        self.prune(after)
    }

    /// How much may be added now before the next class is reached; `None` if the sum may not go on yet.
    fn gap(&self, config: &Config<W>) -> Option<i64> {
        let mut next = config.class as usize;
        if let Some(class) = self.classes.get(next).filter(|class| class.value == config.sum) {
            if class.from.0 > self.now {
                return None;
            }
            next += 1;
        }
        // No overflow: values are between the initial one and the total.
        Some(self.classes.get(next).map_or(i64::MAX, |class| class.value - config.sum))
    }

    /// All ways to add exactly `gap` with amounts from the `from`th active one on, but for one kind.
    fn fill(
        &mut self,
        config: &Config<W>,
        gap: i64,
        from: usize,
        but: Option<usize>,
        out: &mut Vec<Config<W>>,
    ) -> Result<(), TooMany> {
        self.ways = self.ways.checked_sub(1).ok_or(TooMany::Ways)?;
        if gap == 0 {
            out.push(config.clone());
            return Ok(());
        }
        let mut from = from;
        // Leaves out what is too large.
        while self.active.get(from).is_some_and(|&kind| self.amounts[kind as usize].amount > gap) {
            from += 1;
        }
        let Some(&kind) = self.active.get(from) else {
            return Ok(());
        };
        let kind = kind as usize;
        self.fill(config, gap, from + 1, but, out)?;
        let mut config = config.clone();
        let mut gap = gap;
        while but != Some(kind) && self.amounts[kind].amount <= gap && self.place(&mut config, kind) {
            gap -= self.amounts[kind].amount;
            self.fill(&config, gap, from + 1, but, out)?;
        }
        Ok(())
    }

    /// Adds the next addition of this amount; `false` if there is none.
    fn place(&mut self, config: &mut Config<W>, kind: usize) -> bool {
        let this = &self.amounts[kind];
        let call = match this.running.iter().find(|&&slot| !config.placed.has(slot)) {
            Some(&slot) => {
                config.placed.insert(slot);
                self.call_of[slot as usize]
            }
            None => {
                let used = config.used.get(this.counter).copied().unwrap_or(0);
                let Some(&call) = this.open.get(usize::from(used)) else {
                    return false;
                };
                config.used[this.counter] = used + 1;
                call
            }
        };
        config.sum += this.amount;
        while self.classes.get(config.class as usize).is_some_and(|class| class.value < config.sum) {
            config.class += 1;
        }
        self.trail.push(Step { call, time: self.now, before: config.trail });
        config.trail = self.trail.len() as u32 - 1;
        true
    }

    /// The order whose last addition is `last`.
    fn order(&self, last: u32) -> Vec<u32> {
        let mut steps: Vec<(u64, u32)> = Vec::new();
        let mut step = last;
        while let Some(this) = self.trail.get(step as usize) {
            steps.push((this.time, this.call));
            step = this.before;
        }
        steps.reverse();
        // By the number of additions before; then by time.
        let mut order: Vec<(u32, u64, u32)> = Vec::with_capacity(self.calls.len());
        // The sum is the lowest class value in the beginning, or below it.
        let start = self.configs.first().map_or(0, |config| config.sum);
        let amount = |call: u32| match self.calls[call as usize].call {
            Deed::Add(amount) => amount,
            Deed::Read(_) => 0,
        };
        let mut sum = start - steps.iter().map(|step| amount(step.1)).sum::<i64>();
        let mut sums = Vec::with_capacity(steps.len() + 1);
        sums.push(sum);
        for (n, &(time, call)) in (1..).zip(&steps) {
            order.push((2 * n, time, call));
            sum += amount(call);
            sums.push(sum);
        }
        for (at, call) in (0_u32..).zip(self.calls).filter(|(_, call)| !call.is_open()) {
            let before = match call.call {
                Deed::Add(1..) => continue,
                Deed::Add(_) => steps.partition_point(|step| step.0 < call.start),
                Deed::Read(value) => sums.partition_point(|&sum| sum < value),
            };
            let since = before.checked_sub(1).and_then(|last| steps.get(last)).map_or(0, |step| step.0);
            order.push((2 * before as u32 + 1, call.start.max(since), at));
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, call)| call).collect()
    }
}
