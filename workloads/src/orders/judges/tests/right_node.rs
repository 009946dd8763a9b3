//! A node that does everything right is never accused, whatever of it clients get to see.

use std::collections::BTreeMap;

use ordeal_core::Rng;

use super::*;

/// The moment that two sources have reached.
fn agreed(marks: &BTreeMap<u64, u64>) -> u64 {
    let mut marks: Vec<u64> = marks.values().copied().collect();
    marks.sort_unstable();
    marks.len().checked_sub(2).map_or(0, |second| marks[second])
}

/// A node that does everything right, as clients see it: sources of which one is far ahead, answers that get lost, refusals,
/// and times in which nothing comes and event time goes on.
fn right_node(rng: &mut Rng) -> Vec<Line> {
    // In bursts, with quiet times between them.
    let asked: Vec<(u64, u64)> = (0..60).map(|n| (200 + rng.below(20) * 100 + rng.below(60), n)).collect();
    // Something happens at some moment of the 5 ms that each operation takes.
    let mut moments: Vec<(u64, u64, u64)> =
        asked.iter().map(|(from, n)| (from + rng.below(6), *from, *n)).collect();
    moments.sort_unstable();
    let mut marks = BTreeMap::new();
    let (mut watermark, mut last_ms, mut lines) = (0, 0, Vec::new());
    for (at_ms, from, n) in moments {
        let quiet_ms = at_ms - last_ms;
        if quiet_ms > 50 && agreed(&marks) > 0 {
            watermark = watermark.max(agreed(&marks) + rng.below(quiet_ms + 1) - WINDOW_MS);
        }
        if rng.chance(0.2) {
            lines.push(status("n2", from, watermark, 0));
            continue;
        }
        let source = rng.below(4);
        let timestamp = 1_000 + from + [0, 10, 20, 400][source as usize] - rng.below(150);
        let event = stock(&format!("e{n}"), &format!("s{source}"), timestamp, 1);
        let late = timestamp <= watermark;
        let line = send(from, &event, if late { "late" } else { "accepted" }, watermark);
        if !late && rng.chance(0.1) {
            lines.push(ended("fail", line));
            continue;
        }
        lines.push(if rng.chance(0.15) { ended("info", line) } else { line });
        if !late {
            last_ms = at_ms;
            let mark = marks.entry(source).or_insert(0);
            *mark = timestamp.max(*mark);
            watermark = watermark.max(agreed(&marks).saturating_sub(WINDOW_MS));
        }
    }
    lines
}

#[test]
fn a_node_that_does_everything_right_is_never_accused() {
    let mut rng = Rng::new(17);
    let mut judged = 0;
    for _ in 0..300 {
        let lines = right_node(&mut rng);
        let finding = Promises.check(&history(&lines));
        assert!(finding.anomalies.is_empty(), "{finding:?}");
        judged += usize::from(finding.verdict != Verdict::Unknown);
    }
    assert!(judged > 250, "{judged}");
}
