//! Generators: what is asked next, of whom. Pure given the seed; small combinators as in Jepsen.

use crate::{Event, Op, Rng};

/// Who asks for an operation.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The client's number.
    pub process: u64,
    /// The worker that plays the client; a worker whose client crashed goes on as a new one.
    pub thread: usize,
    /// The index of the node that the worker is bound to.
    pub node: usize,
}

/// A generator's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Do this.
    Op(Op),
    /// Nothing now; ask again.
    Pending,
    /// Nothing any more for this client.
    Exhausted,
}

/// A source of operations.
pub trait Generator: Send {
    /// What the asking client should do next.
    fn next(&mut self, ask: Ask) -> Next;

    /// Sees every event of the clients, for generators that depend on results.
    fn observe(&mut self, _event: &Event) {}
}

/// Draws evenly or by weight from several functions, for ever.
pub struct Mix {
    rng: Rng,
    total: u64,
    choices: Vec<(u64, MakeOp)>,
}

type MakeOp = Box<dyn FnMut(&mut Rng, Ask) -> Op + Send>;

impl Mix {
    /// An empty mix; add choices with [`Mix::with`].
    pub fn new(rng: Rng) -> Self {
        Mix { rng, total: 0, choices: Vec::new() }
    }

    /// Adds a choice that is drawn `weight` times as often as one of weight 1.
    #[must_use]
    pub fn with(mut self, weight: u64, make: impl FnMut(&mut Rng, Ask) -> Op + Send + 'static) -> Self {
        self.total += weight;
        self.choices.push((weight, Box::new(make)));
        self
    }
}

impl Generator for Mix {
    fn next(&mut self, ask: Ask) -> Next {
        if self.total == 0 {
            return Next::Exhausted;
        }
        let mut draw = self.rng.below(self.total);
        for (weight, make) in &mut self.choices {
            if draw < *weight {
                return Next::Op(make(&mut self.rng, ask));
            }
            draw -= *weight;
        }
        Next::Exhausted
    }
}

/// Passes on at most so many operations.
pub struct Limit<G> {
    left: u64,
    inner: G,
}

impl<G: Generator> Limit<G> {
    /// At most `limit` operations of `inner`.
    pub fn new(limit: u64, inner: G) -> Self {
        Limit { left: limit, inner }
    }
}

impl<G: Generator> Generator for Limit<G> {
    fn next(&mut self, ask: Ask) -> Next {
        if self.left == 0 {
            return Next::Exhausted;
        }
        let next = self.inner.next(ask);
        if matches!(next, Next::Op(_)) {
            self.left -= 1;
        }
        next
    }

    fn observe(&mut self, event: &Event) {
        self.inner.observe(event);
    }
}

/// A fixed list of operations, each done once, by whoever asks first.
pub struct Sequence {
    ops: std::vec::IntoIter<Op>,
}

impl Sequence {
    /// These operations in this order.
    pub fn new(ops: Vec<Op>) -> Self {
        Sequence { ops: ops.into_iter() }
    }
}

impl Generator for Sequence {
    fn next(&mut self, _ask: Ask) -> Next {
        self.ops.next().map_or(Next::Exhausted, Next::Op)
    }
}

/// A generator of its own for every thread: everybody does everything.
pub struct EachThread<G> {
    make: Box<dyn Fn() -> G + Send>,
    threads: Vec<Option<G>>,
}

impl<G: Generator> EachThread<G> {
    /// `make` is called once a thread.
    pub fn new(make: impl Fn() -> G + Send + 'static) -> Self {
        EachThread { make: Box::new(make), threads: Vec::new() }
    }
}

impl<G: Generator> Generator for EachThread<G> {
    fn next(&mut self, ask: Ask) -> Next {
        if self.threads.len() <= ask.thread {
            self.threads.resize_with(ask.thread + 1, || None);
        }
        self.threads[ask.thread].get_or_insert_with(&self.make).next(ask)
    }

    fn observe(&mut self, event: &Event) {
        for generator in self.threads.iter_mut().flatten() {
            generator.observe(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::Key;

    fn ask(thread: usize) -> Ask {
        Ask { process: thread as u64, thread, node: 0 }
    }

    fn op(f: &'static str) -> Op {
        Op::new(f, Key::Int(0), Value::Null)
    }

    #[test]
    fn mix_honours_weights_and_the_seed() {
        let draw = || {
            let mut mix = Mix::new(Rng::new(3)).with(3, |_, _| op("read")).with(1, |_, _| op("write"));
            (0..1000).map(|_| mix.next(ask(0))).collect::<Vec<_>>()
        };
        let reads = draw().iter().filter(|n| matches!(n, Next::Op(o) if o.f == "read")).count();
        assert!((700..800).contains(&reads), "{reads}");
        assert_eq!(draw(), draw());
    }

    #[test]
    fn each_thread_does_everything_once() {
        let mut each = EachThread::new(|| Sequence::new(vec![op("read"), op("read")]));
        for thread in [0, 3] {
            assert!(matches!(each.next(ask(thread)), Next::Op(_)));
            assert!(matches!(each.next(ask(thread)), Next::Op(_)));
            assert_eq!(each.next(ask(thread)), Next::Exhausted);
        }
    }

    #[test]
    fn limit_ends() {
        let mut limited = Limit::new(2, Mix::new(Rng::new(1)).with(1, |_, _| op("read")));
        let n = std::iter::from_fn(|| matches!(limited.next(ask(0)), Next::Op(_)).then_some(())).count();
        assert_eq!(n, 2);
    }
}
