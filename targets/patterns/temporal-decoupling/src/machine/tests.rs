use super::*;

/// Rules of no defect.
pub(crate) const RULES: Rules = Rules { window_ms: 100, capacity: 20, sources: 2, bug: None };

/// A movement of stock.
pub(crate) fn event(id: &str, source: &str, timestamp: u64) -> Event {
    let what = What::Stock { sku: "p1".parse().unwrap(), delta: 1 };
    Event {
        id: id.parse().unwrap(),
        source: source.parse().unwrap(),
        timestamp,
        depends_on: Vec::new(),
        what,
    }
}

pub(crate) fn moved(id: &str, timestamp: u64) -> Event {
    event(id, "s1", timestamp)
}

/// Draws that are the same every time (xorshift, Marsaglia 2003).
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Draws(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            items.swap(place, self.below(place as u64 + 1) as usize);
        }
    }

    /// An event of this number before the moment 1000; some depend on others, earlier, later or none.
    pub(crate) fn event(&mut self, n: u64) -> Event {
        let source = format!("s{}", self.below(3));
        let mut event = event(&format!("e{n}"), &source, self.below(1_000));
        for _ in 0..self.below(3) {
            event.depends_on.push(format!("e{}", (n + 1 + self.below(35)) % 36).parse().unwrap());
        }
        event.depends_on.retain(|id| *id != event.id);
        event
    }
}

fn with(bug: Bug) -> Rules {
    Rules { bug: Some(bug), ..RULES }
}

impl Sale {
    fn sent(&mut self, event: Event, rules: Rules) -> Answer {
        self.apply(Position::default(), Command::Submit { event, clock: None, rules })
    }

    fn idle(&mut self, accepted: u64, quiet_ms: u64, rules: Rules) {
        self.apply(Position::default(), Command::Idle { accepted, quiet_ms, rules });
    }

    fn ids(&self) -> Vec<String> {
        self.page(0, usize::MAX).into_iter().map(|step| step.event.id.into()).collect()
    }
}

/// Two sources have come to 500, so that everything up to 400 is over.
fn begun() -> Sale {
    let mut sale = Sale::default();
    sale.sent(event("b1", "s1", 500), RULES);
    sale.sent(event("b2", "s2", 500), RULES);
    sale
}

#[test]
fn events_wait_for_those_before_them_and_late_ones_are_told() {
    let mut sale = begun();
    assert_eq!(sale.sent(moved("a", 450), RULES), Answer::Accepted { watermark: 400 });
    assert_eq!(sale.sent(moved("late", 400), RULES), Answer::Late { watermark: 400 });
    assert_eq!((sale.processed(), sale.buffered(), sale.accepted()), (0, 3, 3));
    sale.sent(event("c", "s2", 560), RULES);
    sale.sent(event("d", "s3", 550), RULES);
    assert_eq!((sale.watermark(), sale.ids()), (450, vec!["a".to_owned()]));
    let order = |id: &str| sale.order(&id.parse().unwrap()).status;
    assert_eq!(order("a"), Progress::None, "it is no order");
}

#[test]
fn an_event_sent_again_gets_the_first_answer_and_another_of_its_id_is_refused() {
    let mut sale = begun();
    let accepted = sale.sent(moved("a", 450), RULES);
    sale.sent(event("c", "s2", 900), RULES);
    sale.sent(event("d", "s1", 900), RULES);
    assert_eq!(sale.sent(moved("a", 450), RULES), accepted, "processed by now");
    assert_eq!(sale.sent(moved("a", 451), RULES), Answer::OtherEvent);
    let late = sale.sent(moved("late", 700), RULES);
    sale.sent(event("e", "s2", 1_900), RULES);
    sale.sent(event("f", "s1", 1_900), RULES);
    assert_eq!(sale.sent(moved("late", 700), RULES), late);
    assert_eq!(sale.ids().iter().filter(|id| *id == "a").count(), 1);
    sale.sent(event("g", "s1", 1_950), RULES);
    sale.sent(event("g", "s1", 1_950), with(Bug::NoDedupe));
    sale.idle(sale.accepted(), 500, RULES);
    assert_eq!(sale.ids().iter().filter(|id| *id == "g").count(), 2, "that is the defect");
}

#[test]
fn a_full_buffer_refuses_forgets_and_takes_the_event_later() {
    let mut sale = begun();
    for n in 0..RULES.capacity - 2 {
        sale.sent(moved(&format!("e{n}"), 450 + n as u64), RULES);
    }
    assert_eq!((sale.buffered(), sale.sent(moved("a", 480), RULES)), (RULES.capacity, Answer::Full));
    let overflowed = |bug| {
        let mut sale = sale.clone();
        let answer = sale.sent(moved("a", 480), with(bug));
        (answer, sale.buffered())
    };
    assert_eq!(overflowed(Bug::RefusedYetKept), (Answer::Full, RULES.capacity + 1));
    let accepted = Answer::Accepted { watermark: 400 };
    assert_eq!(overflowed(Bug::OverflowDropsOldest), (accepted, RULES.capacity));
    sale.idle(sale.accepted(), 60, RULES);
    assert_eq!((sale.watermark(), sale.buffered()), (460, RULES.capacity - 11));
    assert_eq!(sale.sent(moved("a", 480), RULES), Answer::Accepted { watermark: 460 });
}

#[test]
fn time_counts_only_if_nothing_was_accepted_meanwhile() {
    let mut sale = begun();
    assert!(!sale.would_go_on(99, &RULES) && sale.would_go_on(100, &RULES));
    sale.idle(1, 900, RULES);
    assert_eq!(sale.watermark(), 400);
    sale.idle(2, 900, RULES);
    assert_eq!((sale.watermark(), sale.buffered()), (1_300, 0));
    let mut defect = begun();
    defect.idle(1, 900, with(Bug::IdleUnchecked));
    assert_eq!(defect.watermark(), 1_300);
}

#[test]
fn what_waits_and_what_was_done_is_in_a_snapshot() {
    let mut sale = begun();
    sale.sent(moved("a", 450), RULES);
    sale.idle(3, 60, RULES);
    let mut again: Sale = serde_json::from_str(&serde_json::to_string(&sale).unwrap()).unwrap();
    for sale in [&mut sale, &mut again] {
        assert_eq!(sale.sent(moved("a", 450), RULES), Answer::Accepted { watermark: 400 });
        sale.idle(3, 1_000, RULES);
    }
    assert_eq!(again.page(0, 10), sale.page(0, 10));
    assert_eq!(again.ids(), ["a", "b1", "b2"]);
    assert_eq!(again.page(2, 10)[0].position, 2);
    assert!(again.page(u64::MAX, 10).is_empty());
}

#[test]
fn any_order_of_arrival_within_the_window_gives_one_sequence() {
    let mut draws = Draws::new(11);
    for _ in 0..100 {
        let mut events: Vec<Event> = (0..15).map(|n| draws.event(n)).collect();
        events.iter_mut().for_each(|event| event.timestamp = 1_000 + event.timestamp / 11);
        let mut sequences = Vec::new();
        for _ in 0..2 {
            let mut sale = begun();
            draws.shuffle(&mut events);
            for event in &events {
                assert!(matches!(sale.sent(event.clone(), RULES), Answer::Accepted { .. }));
            }
            sale.idle(sale.accepted(), 2_000, RULES);
            sequences.push((sale.page(0, 100), sale.buffered()));
        }
        assert_eq!((sequences[0].0.len(), sequences[0].1), (17, 0));
        assert_eq!(sequences[0], sequences[1]);
    }
}
