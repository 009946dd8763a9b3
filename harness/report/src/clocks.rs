//! The nodes' clocks over time, as the clock faults noted them: a chart of each node's offset.

use std::collections::BTreeMap;
use std::fmt::Write;

use ordeal_core::{EventKind, History};

use crate::html::LEFT;
use crate::words::seconds;

const HEIGHT: f64 = 160.0;
/// Where offset zero is.
const MIDDLE: f64 = 85.0;
/// Pixels a power of ten, of milliseconds.
const DECADE: f64 = 10.0;
const COLOURS: [&str; 6] = ["#0969da", "#cf222e", "#1a7f37", "#8250df", "#9a6700", "#57606a"];

/// A node's offset at one moment.
struct Sample {
    at_ns: u64,
    offset_us: i64,
}

/// The samples of each node, by time.
fn samples(history: &History) -> BTreeMap<String, Vec<Sample>> {
    let mut nodes: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
    let mut injected_ns = 0;
    for event in history.events.iter().filter(|e| e.process.client().is_none()) {
        let fault = event.value["fault"].as_str().unwrap_or_default();
        if event.f == "inject" && event.kind == EventKind::Info && fault.starts_with("clock-") {
            injected_ns = event.time;
        }
        let (node, offset) = (event.value["node"].as_str(), event.value["offset_us"].as_i64());
        if let ("clock-offset", Some(node), Some(offset_us)) = (&*event.f, node, offset) {
            // Samples taken in between are handed over together when the fault is healed.
            let after_ms = event.value["at_ms_after_inject"].as_u64();
            let at_ns =
                after_ms.map_or(event.time, |ms| injected_ns.saturating_add(ms.saturating_mul(1_000_000)));
            nodes.entry(node.to_owned()).or_default().push(Sample { at_ns, offset_us });
        }
    }
    nodes.values_mut().for_each(|samples| samples.sort_by_key(|s| s.at_ns));
    nodes
}

/// Writes the chart, if there is anything to show. `x` places a time.
pub(crate) fn write_chart(
    out: &mut String,
    history: &History,
    x: &dyn Fn(u64) -> f64,
    width: f64,
) -> std::fmt::Result {
    let nodes = samples(history);
    if nodes.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>Clocks</h2><p>How far each node's wall clock was off; the scale is logarithmic.</p>")?;
    writeln!(out, "<svg viewBox=\"0 0 {width} {HEIGHT}\" xmlns=\"http://www.w3.org/2000/svg\">")?;
    for (label, offset_us) in [
        ("+1 h", 3_600_000_000),
        ("+1 s", 1_000_000),
        ("0", 0),
        ("-1 s", -1_000_000),
        ("-1 h", -3_600_000_000),
    ] {
        let at = y(offset_us);
        writeln!(
            out,
            "<path class=\"phase\" d=\"M{LEFT} {at:.1}H{width}\"/><text x=\"4\" y=\"{at:.1}\">{label}</text>"
        )?;
    }
    for (i, (node, samples)) in nodes.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        for sample in samples {
            let (at, off) = (x(sample.at_ns), y(sample.offset_us));
            let ms = sample.offset_us as f64 / 1e3;
            write!(out, "<circle fill=\"{colour}\" cx=\"{at:.1}\" cy=\"{off:.1}\" r=\"2\">")?;
            writeln!(out, "<title>{node} at {} s: {ms:+.1} ms</title></circle>", seconds(sample.at_ns))?;
        }
        let label_x = LEFT + 10.0 + 40.0 * i as f64;
        writeln!(out, "<text fill=\"{colour}\" x=\"{label_x}\" y=\"{}\">{node}</text>", HEIGHT - 4.0)?;
    }
    writeln!(out, "</svg>")
}

/// Offsets are anything from milliseconds to hours, either way.
fn y(offset_us: i64) -> f64 {
    let ms = offset_us as f64 / 1e3;
    MIDDLE - ms.signum() * (1.0 + ms.abs()).log10() * DECADE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_placed_at_their_own_time_and_drawn() {
        let lines = [
            r#"{"index":0,"time":1000000000,"process":"nemesis","type":"info","f":"inject","value":{"fault":"clock-step","proved":true}}"#,
            r#"{"index":1,"time":4000000000,"process":"nemesis","type":"info","f":"clock-offset","value":{"node":"n2","offset_us":-60000000,"at_ms_after_inject":500}}"#,
        ];
        let history = History::parse(&(lines.join("\n") + "\n")).unwrap();
        let nodes = samples(&history);
        assert_eq!((nodes["n2"][0].at_ns, nodes["n2"][0].offset_us), (1_500_000_000, -60_000_000));
        let mut out = String::new();
        write_chart(&mut out, &history, &|ns| ns as f64 / 1e9, 1200.0).unwrap();
        assert!(out.contains("n2 at 1.500 s: -60000.0 ms") && out.contains("cx=\"1.5\""), "{out}");
        assert!(y(1_000_000) < y(0) && y(0) < y(-1_000_000));

        let mut nothing = String::new();
        write_chart(&mut nothing, &History::parse("").unwrap(), &|_| 0.0, 1200.0).unwrap();
        assert_eq!(nothing, "");
    }
}
