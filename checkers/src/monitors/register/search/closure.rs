//! From the configurations before a call ends to those in which it has a place.

use super::super::calls::Act;
use super::Help;
use super::frontier::{Ending, Search};
use super::pool::{Config, Place};
use super::set::Set;
use super::steps::Placed;

impl<const N: usize> Search<'_, N> {
    /// Extends the frontier so that the ending call has a place in all of it.
    pub(super) fn close(&mut self, ending: &Ending) {
        self.out.clear();
        self.closing.clear();
        self.served.clear();
        self.find_useful(ending);
        for config in std::mem::take(&mut self.frontier) {
            if config.placed.has(ending.slot) {
                self.emit(config, ending);
                continue;
            }
            self.offer(config, Place::Before);
            if config.free.has(ending.slot) {
                self.hide(config, ending);
            }
        }
        let mut at = 0;
        while at < self.closing.len() && !self.over_limit() {
            if let Some((config, place)) = self.closing.get(at) {
                self.go_on(config, place, ending);
            }
            at += 1;
        }
    }

    fn offer(&mut self, config: Config<N>, place: Place) {
        self.spent += 1;
        self.closing.offer(config, place, &self.running, &self.combinations);
    }

    fn emit(&mut self, mut config: Config<N>, ending: &Ending) {
        config.placed.remove(ending.slot);
        config.free.remove(ending.slot);
        self.spent += 1;
        self.out.offer(config, Place::Before, &self.running, &self.combinations);
    }

    /// The values from which the ending call can still be reached by compare-and-sets.
    fn find_useful(&mut self, ending: &Ending) {
        self.useful.clear();
        self.all_useful = false;
        match ending.act {
            Act::Read(v) | Act::Swap(v, _) => self.useful.push(v),
            Act::Not(_) => self.all_useful = true,
            Act::Write(_) => {}
        }
        let mut at = 0;
        while let Some(&value) = self.useful.get(at) {
            at += 1;
            let running = self.running.swaps.iter().map(|slot| self.act(slot));
            let open = self.problem.into.get(value as usize).into_iter().flatten();
            let open = open.filter(|&&class| self.begun[class as usize] > 0);
            let acts = running.chain(open.map(|&class| self.problem.classes[class as usize].act));
            let before = acts.filter_map(|act| match act {
                Act::Swap(from, to) if to == value => Some(from),
                _ => None,
            });
            for from in before.collect::<Vec<u32>>() {
                if !self.useful.contains(&from) {
                    self.useful.push(from);
                }
            }
        }
    }

    fn is_useful(&self, value: u32) -> bool {
        self.all_useful || self.useful.contains(&value)
    }

    /// The running reads that this value answers.
    pub(super) fn served_by(&mut self, value: u32) -> Set<N> {
        if let Some((_, set)) = self.served.iter().find(|(v, _)| *v == value) {
            return *set;
        }
        let mut set = Set::default();
        for slot in self.running.reads.iter() {
            if self.act(slot).accepts(value) {
                set.insert(slot);
            }
        }
        self.served.push((value, set));
        set
    }

    /// The value where `config` is in its closure.
    fn value(config: &Config<N>, place: Place) -> u32 {
        match place {
            Place::Hidden(value, _) => value,
            _ => config.value,
        }
    }

    /// Moves to a value, and answers the reads that it answers.
    fn set(&mut self, config: &mut Config<N>, place: Place, value: u32) -> Place {
        let served = self.served_by(value);
        match place {
            Place::Hidden(_, done) => {
                config.placed = config.placed.or(&served.and(&config.free));
                Place::Hidden(value, done)
            }
            _ => {
                config.value = value;
                config.placed = config.placed.or(&served);
                place
            }
        }
    }

    /// Places a running call; blind writes only where that is allowed.
    fn place(&mut self, mut config: Config<N>, mut place: Place, slot: u32) -> (Config<N>, Place) {
        let act = self.act(slot);
        let hidden = matches!(place, Place::Hidden(..));
        if !act.reads_only() {
            config.step = self.steps.push(config.step, Placed::Call(self.at_slot[slot as usize]), hidden);
        }
        config.placed.insert(slot);
        if let Act::Write(_) = act
            && !hidden
        {
            place = self.after_blind_write(&mut config);
        }
        let value = act.after(Self::value(&config, place));
        let place = self.set(&mut config, place, value);
        (config, place)
    }

    fn after_blind_write(&self, config: &mut Config<N>) -> Place {
        config.free = self.running.all();
        config.blind = if self.problem.classes.is_empty() { 0 } else { self.now };
        Place::After
    }

    /// Begins among calls placed before the last blind write.
    fn hide(&mut self, config: Config<N>, ending: &Ending) {
        let place = Place::Hidden(0, false);
        if let Act::Write(_) = ending.act {
            let (config, place) = self.place(config, Place::Hidden(0, true), ending.slot);
            self.offer(config, place);
            return;
        }
        let writes = self.running.writes.minus(&config.placed).and(&config.free);
        self.write(config, place, writes);
        self.by_open_calls(config, place, ending, true);
    }

    /// Places each useful one of these writes, of those that write the same the one that ends first.
    fn write(&mut self, config: Config<N>, place: Place, writes: Set<N>) {
        for slot in writes.iter() {
            let Act::Write(value) = self.act(slot) else { continue };
            if self.is_useful(value) && self.ends_first(slot, &writes) {
                let (config, place) = self.place(config, place, slot);
                self.offer(config, place);
            }
        }
    }

    /// Whether of those among `slots` that do the same this one ends first.
    fn ends_first(&self, slot: u32, slots: &Set<N>) -> bool {
        let (act, end) = (self.act(slot), self.end_of(slot));
        !slots.iter().any(|other| self.act(other) == act && self.end_of(other) < end)
    }

    fn end_of(&self, slot: u32) -> (u64, u32) {
        let call = self.at_slot[slot as usize];
        (self.problem.calls[call as usize].end, call)
    }

    /// Everything that can be placed next.
    fn go_on(&mut self, config: Config<N>, place: Place, ending: &Ending) {
        let value = Self::value(&config, place);
        let done = place_is_done(place);
        if done {
            self.emit(config, ending);
        } else if ending.act.accepts(value) {
            let hidden = matches!(place, Place::Hidden(..));
            let (next, next_place) = self.place(config, place, ending.slot);
            match next_place {
                Place::Hidden(value, _) if hidden => self.offer(next, Place::Hidden(value, true)),
                _ => self.emit(next, ending),
            }
        }
        let mut within = self.running.all().minus(&config.placed);
        if let Place::Hidden(..) = place {
            within = within.and(&config.free);
        }
        let swaps = self.running.swaps.and(&within);
        for slot in swaps.iter().filter(|&slot| slot != ending.slot) {
            let act = self.act(slot);
            if act.accepts(value)
                && self.may_become(place, act.after(value))
                && self.is_first(slot, &swaps, &config)
            {
                let (config, place) = self.place(config, place, slot);
                self.offer(config, place);
            }
        }
        let writes_itself = matches!(ending.act, Act::Write(_));
        if place == Place::Before && !writes_itself {
            let writes = self.running.writes.and(&within);
            self.write(config, place, writes);
            self.by_open_calls(config, place, ending, true);
        }
        self.by_open_calls(config, place, ending, false);
    }

    /// Whether the value may be there next, given that the ending call must follow.
    pub(super) fn may_become(&self, place: Place, value: u32) -> bool {
        place == Place::Before || place_is_done(place) || self.is_useful(value)
    }

    /// As [`Self::ends_first`], among those that can, or cannot, be placed before the last blind write.
    fn is_first(&self, slot: u32, swaps: &Set<N>, config: &Config<N>) -> bool {
        let alike = match config.free.has(slot) {
            true => swaps.and(&config.free),
            false => swaps.minus(&config.free),
        };
        self.ends_first(slot, &alike)
    }

    /// Reaches each value at which a running call waits by open calls: by compare-and-sets alone, or
    /// (`blind`) by a write and then compare-and-sets.
    fn by_open_calls(&mut self, config: Config<N>, place: Place, ending: &Ending, blind: bool) {
        if self.problem.classes.is_empty() || self.help == Help::Nobody {
            return;
        }
        let value = Self::value(&config, place);
        let mut waiting = self.running.reads.or(&self.running.swaps).minus(&config.placed);
        if let Place::Hidden(..) = place {
            waiting = waiting.and(&config.free);
        }
        let mut tried = std::mem::take(&mut self.tried);
        tried.clear();
        for slot in waiting.iter() {
            let act = self.act(slot);
            let ends = slot == ending.slot;
            if !ends && self.help == Help::Ending {
                continue;
            }
            let target = match act {
                Act::Read(target) | Act::Swap(target, _) => target,
                Act::Not(_) => {
                    self.away(config, place, act, blind);
                    continue;
                }
                Act::Write(_) => continue,
            };
            let here = target == value && !blind;
            let may = ends || blind && self.is_useful(target) || !blind && self.may_become(place, target);
            if here || !may || tried.contains(&target) {
                continue;
            }
            tried.push(target);
            for path in self.paths(&config, place, target, blind) {
                let (config, place) = self.follow(config, place, &path);
                self.offer(config, place);
            }
        }
        self.tried = tried;
    }

    /// Reaches any value that is accepted by a call that does not want the present one.
    fn away(&mut self, config: Config<N>, place: Place, act: Act, blind: bool) {
        let value = Self::value(&config, place);
        if act.accepts(value) && !blind {
            return;
        }
        for class in 0..self.problem.classes.len() as u32 {
            let open = self.problem.classes[class as usize].act;
            let fits = matches!(open, Act::Write(_)) == blind && (blind || open.accepts(value));
            if fits && act.accepts(open.after(value)) && self.available(&config, place, class) {
                let (config, place) = self.follow(config, place, &[class]);
                self.offer(config, place);
            }
        }
    }

    /// Places open calls of these classes one after another.
    fn follow(&mut self, mut config: Config<N>, mut place: Place, path: &[u32]) -> (Config<N>, Place) {
        let hidden = matches!(place, Place::Hidden(..));
        let mut value = Self::value(&config, place);
        for &class in path {
            let act = self.problem.classes[class as usize].act;
            config.step = self.steps.push(config.step, Placed::Class(class), hidden);
            if self.mode.counts {
                config.used = self.combinations.one_more(config.used, class);
            }
            if let Act::Write(_) = act
                && !hidden
            {
                place = self.after_blind_write(&mut config);
            }
            value = act.after(value);
        }
        let place = self.set(&mut config, place, value);
        (config, place)
    }
}

fn place_is_done(place: Place) -> bool {
    matches!(place, Place::Hidden(_, true))
}
