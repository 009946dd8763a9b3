//! One bit that is turned on and off: an element of a set, a lock. Near-linear while few calls overlap.
//!
//! No conditions on values. Calls *turn* the bit (possible only if that changes it), *see* it, or *put* it
//! (blind: as a turn if that changes it, else as a sight of it). Ends of calls are looked at in order of
//! time, with all configurations that explain the past: the bit, and of the running calls which have been
//! placed. The call that ends is placed at the latest then (just in time: Lowe 2017), which needs at most two
//! turns. What keeps the configurations to a handful:
//!
//! - Sights cost nothing: each is served as soon as the bit is right.
//! - Of running turns in one direction only the one that ends first need be tried: if an order uses another
//!   now and this one later, they can change places. The same goes for puts; between a turn and a put that
//!   ends later the turn goes first; the open ones of both come last, and only their number counts.
//! - A configuration is dropped if another one with the same bit has placed only some of its calls, as many
//!   in each direction left over: the other can make those turns at any time, and so serve every sight.
//!
//! A violation may depend on every turn in the history, since a released turn could explain anything; its core
//! is therefore found by leaving out calls, with this same monitor.

use ordeal_core::{Answer, Operation, Timed};

use super::mask::Mask;
use super::shrink::shrink;

/// What a call does with the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Changes it to this.
    Turn(bool),
    /// Finds it so.
    See(bool),
    /// Makes it this, whatever it was.
    Put(bool),
}

/// How many configurations are kept before the monitor gives up.
const CONFIGURATIONS: usize = 1 << 12;
/// How many calls are looked at, over all attempts, to make a core smaller.
const SHRINK_CALLS: usize = 400_000;

/// Judges a bit that is off in the beginning. The calls are sorted by their beginning.
pub(crate) fn judge(calls: &[Timed<Deed>]) -> Option<Answer> {
    if let Some(order) = run(calls)? {
        return Some(Answer::Legal(order));
    }
    let everything: Vec<u32> = (0..calls.len() as u32).collect();
    let tries = SHRINK_CALLS / calls.len().max(1);
    Some(Answer::Illegal(shrink(everything, tries, |kept| run(&release(calls, kept)) == Some(None))))
}

/// The calls with all but `kept`, which is sorted, released.
fn release(calls: &[Timed<Deed>], kept: &[u32]) -> Vec<Timed<Deed>> {
    let mut free = Vec::with_capacity(calls.len());
    let mut rest = kept.iter().peekable();
    let mut bound = Vec::with_capacity(kept.len());
    for (at, call) in (0_u32..).zip(calls) {
        if rest.next_if_eq(&&at).is_some() {
            bound.push(call.clone());
        } else if !matches!(call.call, Deed::See(_)) {
            free.push(Timed { call: call.call, start: 0, end: Operation::OPEN });
        }
    }
    free.extend(bound);
    free
}

/// A legal order if there is one; nothing at all if there are too many calls at once.
fn run(calls: &[Timed<Deed>]) -> Option<Option<Vec<u32>>> {
    match Run::<1>::new(calls).judge() {
        Err(TooMany) => Run::<16>::new(calls).judge().ok(),
        Ok(order) => Some(order),
    }
}

/// More running calls, or configurations, than there is room for.
struct TooMany;

/// One way to explain the past.
#[derive(Clone, Copy, Debug)]
struct Config<const W: usize> {
    on: bool,
    /// The running calls that turned the bit.
    placed: Mask<W>,
    /// The running calls, turns aside, that found it as they want it.
    seen: Mask<W>,
    /// How many open calls turned it off, and on.
    used: [u32; 2],
    /// The last turn.
    trail: u32,
}

/// A turn, when it was decided on, and the one before it.
struct Step {
    call: u32,
    time: u64,
    before: u32,
}

const NO_STEP: u32 = u32::MAX;

/// Who turns the bit.
#[derive(Clone, Copy)]
enum Turner {
    Slot(u32),
    Open,
}

struct Run<'c, const W: usize> {
    calls: &'c [Timed<Deed>],
    slots: Mask<W>,
    call_of: Vec<u32>,
    /// The running turns and puts to each side, the first to end first.
    turns: [Vec<u32>; 2],
    puts: [Vec<u32>; 2],
    /// The running calls that can turn the bit to each side, and those that can be satisfied with it.
    movers: [Mask<W>; 2],
    content: [Mask<W>; 2],
    /// The open calls to each side that have begun.
    open: [Vec<u32>; 2],
    configs: Vec<Config<W>>,
    /// Those of the next moment, in the making.
    spare: Vec<Config<W>>,
    trail: Vec<Step>,
    now: u64,
}

impl<'c, const W: usize> Run<'c, W> {
    fn new(calls: &'c [Timed<Deed>]) -> Self {
        let start =
            Config { on: false, placed: Mask::EMPTY, seen: Mask::EMPTY, used: [0; 2], trail: NO_STEP };
        Run {
            calls,
            slots: Mask::EMPTY,
            call_of: Vec::new(),
            turns: Default::default(),
            puts: Default::default(),
            movers: [Mask::EMPTY; 2],
            content: [Mask::EMPTY; 2],
            open: Default::default(),
            configs: vec![start],
            spare: Vec::new(),
            trail: Vec::new(),
            now: 0,
        }
    }

    fn judge(mut self) -> Result<Option<Vec<u32>>, TooMany> {
        let calls = self.calls;
        let known = (0..calls.len() as u32).filter(|&at| !calls[at as usize].is_open());
        let mut ends: Vec<(u64, u32)> = known.map(|at| (calls[at as usize].end, at)).collect();
        ends.sort_unstable();
        let mut slot_of = vec![0; calls.len()];
        let mut begun = 0;
        for (end, at) in ends {
            while let Some(call) = calls.get(begun).filter(|call| call.start <= end) {
                if let Some(slot) = self.begin(begun as u32, call)? {
                    slot_of[begun] = slot;
                }
                begun += 1;
            }
            self.now = end;
            self.end(at, slot_of[at as usize])?;
            if self.configs.is_empty() {
                return Ok(None);
            }
        }
        Ok(self.configs.first().map(|config| self.order(config.trail)))
    }

    fn begin(&mut self, at: u32, call: &Timed<Deed>) -> Result<Option<u32>, TooMany> {
        let (Deed::Turn(to) | Deed::Put(to) | Deed::See(to)) = call.call;
        let side = usize::from(to);
        if call.is_open() {
            if !matches!(call.call, Deed::See(_)) {
                self.open[side].push(at);
            }
            return Ok(None);
        }
        let slot = self.slots.first_free().ok_or(TooMany)?;
        self.slots.insert(slot);
        if self.call_of.len() <= slot as usize {
            self.call_of.resize(slot as usize + 1, 0);
        }
        self.call_of[slot as usize] = at;
        let by_end = |&other: &u32| {
            let other = self.call_of[other as usize];
            (self.calls[other as usize].end, other) < (call.end, at)
        };
        match call.call {
            Deed::Turn(_) => {
                let place = self.turns[side].partition_point(by_end);
                self.turns[side].insert(place, slot);
            }
            Deed::Put(_) => {
                let place = self.puts[side].partition_point(by_end);
                self.puts[side].insert(place, slot);
            }
            Deed::See(_) => {}
        }
        if !matches!(call.call, Deed::See(_)) {
            self.movers[side].insert(slot);
        }
        if !matches!(call.call, Deed::Turn(_)) {
            self.content[side].insert(slot);
            self.configs.iter_mut().filter(|c| c.on == to).for_each(|c| c.seen.insert(slot));
        }
        Ok(Some(slot))
    }

    /// Places the call that ends, in every configuration.
    fn end(&mut self, at: u32, slot: u32) -> Result<(), TooMany> {
        let deed = self.calls[at as usize].call;
        let blind = matches!(deed, Deed::Put(_));
        if blind || !self.configs.iter().all(|c| c.placed.has(slot) || c.seen.has(slot)) {
            let mut before = std::mem::take(&mut self.configs);
            let mut after = std::mem::take(&mut self.spare);
            before.drain(..).for_each(|config| self.settle(config, deed, slot, &mut after));
            self.configs = before;
            self.spare = after;
        } else {
            std::mem::swap(&mut self.configs, &mut self.spare);
        }
        self.slots.remove(slot);
        let (Deed::Turn(to) | Deed::Put(to) | Deed::See(to)) = deed;
        let side = usize::from(to);
        self.movers[side].remove(slot);
        self.content[side].remove(slot);
        match deed {
            Deed::Turn(_) => self.turns[side].retain(|&other| other != slot),
            Deed::Put(_) => self.puts[side].retain(|&other| other != slot),
            Deed::See(_) => {}
        }
        self.prune(slot)
    }

    /// All ways in which one configuration goes on when the call in `slot` ends.
    fn settle(&mut self, config: Config<W>, deed: Deed, slot: u32, after: &mut Vec<Config<W>>) {
        let served = config.seen.has(slot);
        if config.placed.has(slot) || served {
            after.push(config);
        }
        if config.placed.has(slot) || (served && !matches!(deed, Deed::Put(_))) {
            return;
        }
        let turners = self.turners(&config).into_iter().flatten();
        match deed {
            Deed::See(_) => turners.for_each(|by| after.push(self.turn(config, by))),
            Deed::Turn(to) | Deed::Put(to) if config.on == to => {
                for by in turners {
                    let turned = self.turn(config, by);
                    after.push(self.turn(turned, Turner::Slot(slot)));
                }
            }
            Deed::Turn(_) | Deed::Put(_) => {
                after.push(self.turn(config, Turner::Slot(slot)));
                if matches!(deed, Deed::Put(_)) && !served {
                    turners.for_each(|by| after.push(self.turn(config, by)));
                }
            }
        }
    }

    /// Who may turn the bit next.
    fn turners(&self, config: &Config<W>) -> [Option<Turner>; 2] {
        let side = usize::from(!config.on);
        let end_of = |&slot: &u32| self.calls[self.call_of[slot as usize] as usize].end;
        let first = |slots: &[u32]| slots.iter().copied().find(|&slot| !config.placed.has(slot));
        match (first(&self.turns[side]), first(&self.puts[side])) {
            (None, None) => {
                let left = (config.used[side] as usize) < self.open[side].len();
                [left.then_some(Turner::Open), None]
            }
            (Some(turn), put) => {
                let put = put.filter(|put| end_of(put) < end_of(&turn));
                [Some(Turner::Slot(turn)), put.map(Turner::Slot)]
            }
            (None, put) => [put.map(Turner::Slot), None],
        }
    }

    fn turn(&mut self, mut config: Config<W>, by: Turner) -> Config<W> {
        config.on = !config.on;
        let side = usize::from(config.on);
        let call = match by {
            Turner::Slot(slot) => {
                config.placed.insert(slot);
                self.call_of[slot as usize]
            }
            Turner::Open => {
                config.used[side] += 1;
                self.open[side][config.used[side] as usize - 1]
            }
        };
        config.seen = config.seen.or(&self.content[side]);
        self.trail.push(Step { call, time: self.now, before: config.trail });
        config.trail = self.trail.len() as u32 - 1;
        config
    }

    /// Keeps of the spare configurations what nothing else makes superfluous, with `slot` free again.
    fn prune(&mut self, slot: u32) -> Result<(), TooMany> {
        let mut after = std::mem::take(&mut self.spare);
        let mut kept = std::mem::take(&mut self.configs);
        for mut config in after.drain(..) {
            config.placed.remove(slot);
            config.seen.remove(slot);
            if !kept.iter().any(|other| self.covers(other, &config)) {
                kept.retain(|other| !self.covers(&config, other));
                kept.push(config);
            }
        }
        (self.configs, self.spare) = (kept, after);
        let full = self.configs.len() > CONFIGURATIONS || self.trail.len() >= NO_STEP as usize;
        if full { Err(TooMany) } else { Ok(()) }
    }

    /// Whether everything that `b` can explain `a` can explain too. See the module header.
    fn covers(&self, a: &Config<W>, b: &Config<W>) -> bool {
        let fewer = a.used.iter().zip(&b.used).all(|(a, b)| a <= b);
        if a.on != b.on || !fewer || !b.placed.includes(&a.placed) {
            return false;
        }
        let more = b.placed.without(&a.placed);
        let turns = |side: usize| more.and(&self.movers[side]).count() + b.used[side] - a.used[side];
        match (turns(0), turns(1)) {
            (0, 0) => a.seen.includes(&b.seen),
            (off, on) => off == on,
        }
    }

    /// The order whose last turn is `last`: every other call goes where the bit is as it wants it.
    fn order(&self, last: u32) -> Vec<u32> {
        let mut turns = Vec::new();
        let mut step = last;
        while let Some(this) = self.trail.get(step as usize) {
            turns.push((this.time, this.call));
            step = this.before;
        }
        turns.reverse();
        let mut placed = vec![false; self.calls.len()];
        // By the number of turns before, turns first; then by time.
        let mut order: Vec<(u32, u64, u32)> = Vec::with_capacity(self.calls.len());
        for (n, &(time, call)) in (1..).zip(&turns) {
            placed[call as usize] = true;
            order.push((2 * n, time, call));
        }
        for (at, call) in (0_u32..).zip(self.calls) {
            let (Deed::See(as_it_is) | Deed::Put(as_it_is) | Deed::Turn(as_it_is)) = call.call;
            if call.is_open() || placed[at as usize] {
                continue;
            }
            let before = turns.partition_point(|turn| turn.0 < call.start) as u32;
            let before = before + u32::from((before % 2 == 1) != as_it_is);
            let since = before.checked_sub(1).and_then(|last| turns.get(last as usize));
            order.push((2 * before + 1, call.start.max(since.map_or(0, |turn| turn.0)), at));
        }
        order.sort_unstable();
        order.into_iter().map(|(_, _, call)| call).collect()
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Model, Rng};

    use super::super::draw::history;
    use super::*;
    use crate::models::lock::LockCall;
    use crate::models::set::SetCall;
    use crate::models::{Atom, Lock, Set};
    use crate::testing::{brute_force, differential, intervals};

    /// Calls on one element: `p_put` of them blind.
    fn draw(rng: &mut Rng, most: u64) -> Vec<Timed<SetCall>> {
        let element = Atom::int(7);
        let mut there = false;
        let p_spoilt = *rng.pick(&[0.0, 0.03, 0.1, 0.3]);
        let p_put = *rng.pick(&[0.0, 0.0, 0.2, 0.6]);
        let p_see = *rng.pick(&[0.1, 0.3, 0.6]);
        history(rng, most, |rng, turn| {
            let spoilt = rng.chance(p_spoilt);
            let silent = turn.open || rng.chance(p_put);
            if !turn.open && rng.chance(p_see) {
                return SetCall::Contains(element, there != spoilt);
            }
            let adds = if rng.chance(0.7) { !there } else { rng.chance(0.5) };
            let changes = adds != there;
            if turn.effect {
                there = adds;
            }
            match adds {
                true => SetCall::Add(element, (!silent).then_some(changes != spoilt)),
                false => SetCall::Remove(element, (!silent).then_some(changes != spoilt)),
            }
        })
    }

    fn draw_lock(rng: &mut Rng, most: u64) -> Vec<Timed<LockCall>> {
        let mut held = false;
        let p_spoilt = *rng.pick(&[0.0, 0.03, 0.1]);
        history(rng, most, |rng, turn| {
            let acquires = held == rng.chance(p_spoilt);
            if turn.effect {
                held = acquires;
            }
            if acquires { LockCall::Acquire } else { LockCall::Release }
        })
    }

    #[test]
    fn agrees_with_every_order() {
        let tally = differential(&Set, 150_000, |rng| draw(rng, 9));
        assert_eq!(tally.outside, 0);
        let tally = differential(&Lock, 50_000, |rng| draw_lock(rng, 9));
        assert_eq!(tally.outside, 0);
    }

    #[test]
    #[ignore = "long"]
    fn agrees_with_every_order_of_ten_million() {
        differential(&Set, 8_000_000, |rng| draw(rng, 12));
        differential(&Lock, 2_000_000, |rng| draw_lock(rng, 12));
    }

    /// Deeds at random, most of them at once: what a well-behaved object would never show.
    #[test]
    fn agrees_where_nothing_behaves() {
        let draw = |rng: &mut Rng| {
            let n = rng.between(2, 8) as usize;
            let element = Atom::int(7);
            let width = rng.between(2, 8) as usize;
            let times = intervals(rng, n, width, 0.15);
            let call = |(start, end): (u64, u64)| {
                let said = (end != Operation::OPEN && rng.chance(0.8)).then(|| rng.chance(0.7));
                let call = match rng.below(3) {
                    0 => SetCall::Add(element, said),
                    1 => SetCall::Remove(element, said),
                    _ if end == Operation::OPEN => SetCall::Add(element, None),
                    _ => SetCall::Contains(element, rng.chance(0.5)),
                };
                Timed { call, start, end }
            };
            times.into_iter().map(call).collect::<Vec<_>>()
        };
        let tally = differential(&Set, 50_000, draw);
        assert_eq!(tally.outside, 0);
    }

    #[test]
    fn released_calls_are_judged_as_the_verifier_judges_them() {
        for seed in 0..20_000 {
            let mut rng = Rng::fork(seed, "release");
            let calls: Vec<Timed<SetCall>> = draw(&mut rng, 7);
            let deeds: Vec<Timed<Deed>> = calls
                .iter()
                .filter_map(|c| Some(Timed { call: c.call.deed()?, start: c.start, end: c.end }))
                .collect();
            let kept: Vec<u32> = (0..calls.len() as u32).filter(|_| rng.chance(0.6)).collect();
            let free = |at: u32| kept.binary_search(&at).is_err();
            let mut released: Vec<Timed<SetCall>> = (0..)
                .zip(&calls)
                .filter(|(at, call)| !free(*at) || !Set.reads_only(&call.call))
                .map(|(at, call)| match free(at) {
                    true => Timed { call: call.call.clone(), start: 0, end: Operation::OPEN },
                    false => call.clone(),
                })
                .collect();
            released.sort_by_key(|call| call.start);
            let legal = matches!(run(&release(&deeds, &kept)), Some(Some(_)));
            assert_eq!(legal, brute_force(&Set, &released), "seed {seed}");
        }
    }

    fn judged(calls: &[(Deed, u64, u64)]) -> Option<Answer> {
        let calls: Vec<_> = calls.iter().map(|&(call, start, end)| Timed { call, start, end }).collect();
        judge(&calls)
    }

    #[test]
    fn violations_have_small_cores() {
        use Deed::{See, Turn};
        let illegal = |core: &[u32]| Some(Answer::Illegal(core.to_vec()));
        assert_eq!(judged(&[(See(true), 0, 1), (See(false), 0, 1)]), illegal(&[0]), "never turned on");
        assert_eq!(judged(&[(See(true), 0, 1), (Turn(true), 2, 3)]), illegal(&[0, 1]), "before it was");
        let calls = [(Turn(true), 0, 1), (See(true), 2, 3), (See(false), 4, 5)];
        assert_eq!(judged(&calls), illegal(&[1, 2]), "nobody turned it off");
        let calls = [(Turn(true), 0, 9), (Turn(true), 1, 8), (See(false), 2, 7)];
        assert_eq!(judged(&calls), illegal(&[0, 1]), "turned on twice, never off");
    }

    #[test]
    fn more_calls_at_once_than_one_word_holds_are_judged() {
        let both =
            |n: u64| (0..n).flat_map(|i| [(Deed::Turn(true), i, 10_000), (Deed::Turn(false), i, 10_000)]);
        let calls: Vec<_> = both(300).collect();
        assert!(matches!(judged(&calls), Some(Answer::Legal(order)) if order.len() == 600));
        let calls: Vec<_> = both(600).collect();
        assert_eq!(judged(&calls), None);
    }
}
