//! How fast the search is on linearizable registers: `cargo bench -p ordeal-checkers`.

use divan::Bencher;
use ordeal_checkers::{Linearizable, Register, VersionedRegister};
use ordeal_core::{Checker, Event, EventKind, History, Key, Process, Rng, Verdict};
use serde_json::{Value, json};

fn main() {
    divan::main();
}

/// `n` operations, half of them reads, by `clients` clients on `keys` registers. Each takes effect at a
/// random instant between its invocation and its completion.
fn registers(n: u64, clients: u64, keys: u64, versions: bool) -> History {
    let mut rng = Rng::new(n ^ clients ^ keys);
    let mut state: Vec<(u64, Value)> = vec![(0, Value::Null); keys as usize];
    let mut running: Vec<(u64, u64, Option<Value>, Value)> = Vec::new();
    let mut idle: Vec<u64> = (0..clients).collect();
    let mut events: Vec<Event> = Vec::new();
    let mut record = |process, kind, key: u64, input: &Value, value| {
        let index = events.len() as u64;
        events.push(Event {
            index,
            time: index * 1_000,
            process: Process::Client(process),
            kind,
            f: if input.is_null() { "read" } else { "write" }.into(),
            value,
            key: Some(Key::Int(key as i64)),
            node: None,
            error: None,
        });
    };
    let mut begun = 0;
    while begun < n || !running.is_empty() {
        let choice = rng.below(3);
        if choice == 0 && begun < n && !idle.is_empty() {
            begun += 1;
            let process = idle.swap_remove(rng.below(idle.len() as u64) as usize);
            let input = if rng.chance(0.5) { Value::Null } else { json!(begun) };
            let key = rng.below(keys);
            record(process, EventKind::Invoke, key, &input, input.clone());
            running.push((process, key, None, input));
            continue;
        }
        if running.is_empty() {
            continue;
        }
        let at = rng.below(running.len() as u64) as usize;
        let (process, key, output, input) = &mut running[at];
        let Some(answer) = output.take() else {
            let (version, value) = &mut state[*key as usize];
            if !input.is_null() {
                *version += 1;
                *value = input.clone();
            }
            *output = Some(if versions { json!([version, value]) } else { value.clone() });
            continue;
        };
        record(*process, EventKind::Ok, *key, input, answer);
        idle.push(*process);
        running.swap_remove(at);
    }
    History { events, truncated: None }
}

/// Operations, keys.
const SIZES: [(u64, u64); 3] = [(1_000, 1), (10_000, 1), (100_000, 1_000)];

#[divan::bench(args = SIZES, max_time = 10)]
fn register(bencher: Bencher<'_, '_>, (n, keys): (u64, u64)) {
    let history = registers(n, 10, keys, false);
    let checker = Linearizable::new(Register::default());
    bencher.bench(|| assert_eq!(checker.check(&history).verdict, Verdict::Valid));
}

#[divan::bench(args = SIZES, max_time = 10)]
fn versioned_register(bencher: Bencher<'_, '_>, (n, keys): (u64, u64)) {
    let history = registers(n, 10, keys, true);
    let checker = Linearizable::new(VersionedRegister::default());
    bencher.bench(|| assert_eq!(checker.check(&history).verdict, Verdict::Valid));
}
