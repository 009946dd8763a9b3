use super::*;

fn at(index: u64) -> Position {
    Position { term: 1, index }
}

fn reading(machine: &str, value: i64) -> Command {
    let action = Action::Reading { sensor: "s1".to_owned(), kind: Kind::Temperature, value };
    Command { request_id: format!("r{value}"), machine: machine.to_owned(), action }
}

fn reset(machine: &str) -> Command {
    Command { request_id: "reset".to_owned(), machine: machine.to_owned(), action: Action::Reset }
}

/// Alert, calm, slowed, another machine's shutdown, reset; with holes in the log between them.
fn told() -> Factory {
    let mut factory = Factory::default();
    for (index, command) in [
        (2, reading("m1", 80_000)),
        (3, reading("m1", 20_500)),
        (5, reading("m1", 81_000)),
        (6, reading("m2", 120_000)),
        (9, reset("m1")),
        (10, reset("m1")),
    ] {
        factory.apply(at(index), command);
    }
    factory
}

#[test]
fn every_command_is_in_the_log_and_every_change_is_an_event() {
    let factory = told();
    let log = factory.log(None, 100).unwrap();
    let indices: Vec<u64> = log.items.iter().map(|transition| transition.index).collect();
    assert_eq!((indices, log.from, log.next, log.applied), (vec![2, 3, 5, 6, 9, 10], 0, 11, 10));
    let events = factory.events(None, 100).unwrap();
    let changes: Vec<_> = events.items.iter().map(|e| (e.number, e.index, e.before, e.after)).collect();
    assert_eq!(
        changes,
        [
            (1, 2, State::Running, State::Alert),
            (2, 5, State::Alert, State::Slowed),
            (3, 6, State::Running, State::Shutdown),
            (4, 9, State::Slowed, State::Running),
        ]
    );
    assert_eq!(factory.machine("m1"), Standing { state: State::Running, index: 10 });
    assert_eq!(factory.machine("m3"), Standing::default());
    assert!(factory.has_room("m1", 2) && !factory.has_room("m3", 2));
}

#[test]
fn pages_follow_one_another_without_gap_or_repeat() {
    let factory = told();
    for limit in 1..8 {
        let (mut log, mut from) = (Vec::new(), Some(0));
        loop {
            let page = factory.log(from, limit).unwrap();
            assert!(page.items.iter().all(|transition| (page.from..page.next).contains(&transition.index)));
            if page.items.is_empty() {
                break;
            }
            log.extend(page.items);
            from = Some(page.next);
        }
        assert_eq!(log, factory.log(None, 100).unwrap().items);
        let first = factory.events(Some(1), limit).unwrap();
        let second = factory.events(Some(first.next), 100).unwrap();
        assert_eq!([first.items, second.items].concat(), factory.events(None, 100).unwrap().items);
    }
    // Who is ahead of this node waits.
    let ahead = factory.log(Some(50), 10).unwrap();
    assert_eq!((ahead.from, ahead.next, ahead.items.len()), (50, 50, 0));
    let ahead = factory.events(Some(50), 10).unwrap();
    assert_eq!((ahead.next, ahead.items.len()), (50, 0));
}

#[test]
fn a_snapshot_holds_everything() {
    let factory = told();
    let text = serde_json::to_string(&factory).unwrap();
    let mut back: Factory = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    let next = back.apply(at(20), reading("m2", 1));
    assert_eq!((next.before, next.after, back.event_count()), (State::Shutdown, State::Shutdown, 4));
}

#[test]
fn the_oldest_are_dropped_and_whoever_asks_for_them_is_told() {
    let mut factory = Factory::default();
    let all = KEPT as u64 + 10;
    for index in 1..=all {
        // Every command changes the state.
        factory.apply(at(index), if index % 2 == 0 { reset("m") } else { reading("m", 80_000) });
    }
    assert_eq!(factory.log(Some(10), 1), Err(Trimmed { oldest: 11 }));
    assert_eq!(factory.events(Some(10), 1), Err(Trimmed { oldest: 11 }));
    assert_eq!(factory.log(None, 1).unwrap().items[0].index, 11);
    assert_eq!(factory.events(None, 1).unwrap().items[0].number, 11);
}

#[test]
fn the_same_commands_make_the_same_state_on_every_node() {
    // A small linear congruential generator; any sequence will do.
    let mut seed = 7_u64;
    let mut next = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % bound
    };
    let commands: Vec<Command> = (0..500)
        .map(|_| match next(4) {
            0 => reset(&format!("m{}", next(3))),
            _ => reading(&format!("m{}", next(3)), next(150_000) as i64),
        })
        .collect();
    let (mut direct, mut through_json) = (Factory::default(), Factory::default());
    for (index, command) in (1..).zip(commands) {
        let text = serde_json::to_string(&command).unwrap();
        let answer = direct.apply(at(index), command);
        assert_eq!(answer, through_json.apply(at(index), serde_json::from_str(&text).unwrap()));
        // A restart in between.
        through_json = serde_json::from_str(&serde_json::to_string(&through_json).unwrap()).unwrap();
        assert_eq!(answer, serde_json::from_value(serde_json::to_value(&answer).unwrap()).unwrap());
    }
    assert_eq!(serde_json::to_value(&direct).unwrap(), serde_json::to_value(&through_json).unwrap());
}
