//! One self-contained HTML file: the verdict, the anomalies, and a timeline of every operation on every
//! node with the faults behind it. No script is loaded from anywhere, and it opens without a server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use ordeal_core::{Event, EventKind, Finding, History, Process};
use serde_json::Value;

use crate::{Judged, Totals, clocks, words};

/// Operations drawn at most; a longer run is drawn from its start, and says so.
const DRAWN: usize = 20_000;
const WIDTH: f64 = 1200.0;
const LANE_HEIGHT: f64 = 14.0;
/// Room for the names of nodes and faults.
pub(crate) const LEFT: f64 = 110.0;
/// Room for the name of a phase.
const LABEL_WIDTH: f64 = 50.0;
/// Where the row of the first kind of fault begins, and how high a row is.
const FAULTS_TOP: f64 = 16.0;
const FAULT_ROW: f64 = 12.0;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1240px;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}\
.valid{color:#1a7f37}.vacuous,.unknown{color:#9a6700}.invalid{color:#cf222e}\
table{border-collapse:collapse}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}\
pre{background:#f6f8fa;padding:.8rem;overflow-x:auto;font-size:13px}\
svg{width:100%;height:auto;font:11px system-ui,sans-serif}.lane{fill:#555}\
.ok{stroke:#1a7f37}.fail{stroke:#9a6700}.info{stroke:#8250df}.mark{fill:none;stroke:#cf222e;stroke-width:2}\
.fault{fill:#cf222e;fill-opacity:.05}.faultbar{fill:#cf222e;fill-opacity:.6}.faultname{fill:#cf222e}.phase{stroke:#999;stroke-dasharray:3 3}";

/// The report as HTML.
pub fn html(judged: &Judged<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out, judged);
    out
}

fn write_page(out: &mut String, judged: &Judged<'_>) -> std::fmt::Result {
    let verdict = judged.judgement.verdict.as_str();
    let title = judged.plan.map(words::command).unwrap_or_default();
    writeln!(out, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">")?;
    writeln!(out, "<meta name=\"viewport\" content=\"width=device-width\">")?;
    writeln!(out, "<title>{verdict}: {}</title><style>{STYLE}</style>", escape(&title))?;
    writeln!(out, "<h1><span class=\"{verdict}\">{}</span> {}</h1>", verdict.to_uppercase(), escape(&title))?;
    let Totals { ok, fail, info, .. } = words::totals(judged);
    write!(out, "<p>{} operations: {} ok, ", words::thousands(ok + fail + info), words::thousands(ok))?;
    write!(out, "{} failed, {} unknown.", words::thousands(fail), words::thousands(info))?;
    if let Some(plan) = judged.plan {
        write!(out, " {}, {} clients, seed {}.", words::nodes(plan), plan.concurrency, plan.seed)?;
    }
    writeln!(out, "</p><h2>Findings</h2><table>")?;
    for finding in &judged.judgement.findings {
        let (verdict, checker) = (finding.verdict.as_str(), escape(&finding.checker));
        let summary = escape(&finding.summary);
        writeln!(out, "<tr><td class=\"{verdict}\">{verdict}<td>{checker}<td>{summary}</tr>")?;
    }
    writeln!(out, "</table>")?;
    for finding in &judged.judgement.findings {
        write_anomalies(out, judged.history, finding)?;
    }
    write_timeline(out, judged)?;
    write_faults(out, judged.history)?;
    write_measurements(out, &judged.judgement.findings)
}

fn write_anomalies(out: &mut String, history: &History, finding: &Finding) -> std::fmt::Result {
    for anomaly in &finding.anomalies {
        let key = anomaly.key.as_ref().map(|k| format!(" ({k})")).unwrap_or_default();
        writeln!(out, "<h2 class=\"invalid\">{}{}</h2>", escape(&anomaly.name), escape(&key))?;
        writeln!(out, "<p>{}</p><pre>", escape(&anomaly.message).replace('\n', "<br>"))?;
        for index in &anomaly.events {
            if let Some(event) = history.event(*index) {
                writeln!(out, "{}", escape(&words::event(event)))?;
            }
        }
        writeln!(out, "</pre>")?;
        if !anomaly.details.is_null() {
            let details = serde_json::to_string_pretty(&anomaly.details).unwrap_or_default();
            writeln!(out, "<details><summary>details</summary><pre>{}</pre></details>", escape(&details))?;
        }
    }
    Ok(())
}

/// One drawn operation.
struct Bar<'h> {
    from: &'h Event,
    to: Option<&'h Event>,
    lane: usize,
}

fn write_timeline(out: &mut String, judged: &Judged<'_>) -> std::fmt::Result {
    let history = judged.history;
    let end = history.events.iter().map(|e| e.time).max().unwrap_or(1).max(1);
    let x = |time: u64| time as f64 / end as f64 * (WIDTH - LEFT - 10.0) + LEFT;
    let Ok(operations) = history.operations() else {
        return Ok(());
    };
    let nodes = lanes(history);
    let bars = operations.iter().take(DRAWN).map(|op| Bar {
        from: op.invoke,
        to: op.complete,
        lane: nodes.iter().position(|n| Some(n.as_str()) == op.invoke.node.as_deref()).unwrap_or(0),
    });
    let sublanes = 6;
    let lane_height = LANE_HEIGHT * f64::from(sublanes) / 2.0;
    let bands = fault_bands(history, end);
    let kinds: BTreeSet<&str> = bands.iter().map(|band| band.0).collect();
    let top = FAULTS_TOP + kinds.len() as f64 * FAULT_ROW + 8.0;
    let height = top + nodes.len() as f64 * lane_height + 20.0;
    writeln!(out, "<h2>Timeline</h2>")?;
    if operations.len() > DRAWN {
        writeln!(
            out,
            "<p>The first {} of {} operations.</p>",
            words::thousands(DRAWN as u64),
            operations.len()
        )?;
    }
    writeln!(out, "<svg viewBox=\"0 0 {WIDTH} {height}\" xmlns=\"http://www.w3.org/2000/svg\">")?;
    write_phases(out, history, &x, height)?;
    write_fault_bands(out, &bands, &kinds, &x, height)?;
    for (i, node) in nodes.iter().enumerate() {
        let y = top + 4.0 + i as f64 * lane_height + lane_height / 2.0;
        writeln!(out, "<text class=\"lane\" x=\"4\" y=\"{y:.1}\">{}</text>", escape(node))?;
    }
    let cited = judged.judgement.findings.iter().flat_map(|f| &f.anomalies).flat_map(|a| &a.events);
    let cited: std::collections::HashSet<u64> = cited.copied().collect();
    for bar in bars {
        let sublane = bar.from.process.client().unwrap_or(0) % u64::from(sublanes as u32);
        let y =
            top + bar.lane as f64 * lane_height + sublane as f64 * (lane_height - 6.0) / f64::from(sublanes);
        let (from, to) = (x(bar.from.time), x(bar.to.map_or(end, |e| e.time)));
        let to = to.max(from + 1.0);
        let kind = words::kind(bar.to.map_or(EventKind::Info, |e| e.kind));
        let name = escape(&words::event(bar.to.unwrap_or(bar.from)));
        write!(out, "<path class=\"{kind}\" d=\"M{from:.1} {y:.1}H{to:.1}\" stroke-width=\"3\">")?;
        writeln!(out, "<title>{name}</title></path>")?;
        if cited.contains(&bar.from.index) {
            writeln!(
                out,
                "<circle class=\"mark\" cx=\"{from:.1}\" cy=\"{y:.1}\" r=\"5\"><title>{name}</title></circle>"
            )?;
        }
    }
    writeln!(out, "</svg>")?;
    clocks::write_chart(out, history, &x, WIDTH)
}

fn lanes(history: &History) -> Vec<String> {
    let mut nodes: Vec<String> =
        history.events.iter().filter_map(|e| e.node.as_deref().map(str::to_owned)).collect();
    nodes.sort();
    nodes.dedup();
    nodes
}

/// The time in which each fault was seen in force: its kind, from, to.
fn fault_bands(history: &History, end: u64) -> Vec<(&str, u64, u64)> {
    let mut since: BTreeMap<&str, u64> = BTreeMap::new();
    let mut bands = Vec::new();
    for event in history.events.iter().filter(|e| matches!(e.process, Process::Named(_))) {
        match (&*event.f, event.kind, event.value["fault"].as_str()) {
            ("inject", EventKind::Info, Some(fault)) if event.value["proved"] == Value::Bool(true) => {
                since.insert(fault, event.time);
            }
            ("heal", EventKind::Invoke, Some(fault)) => {
                bands.extend(since.remove(fault).map(|from| (fault, from, event.time)));
            }
            _ => {}
        }
    }
    bands.extend(since.into_iter().map(|(fault, from)| (fault, from, end)));
    bands
}

/// Marks where phases began.
fn write_phases(
    out: &mut String,
    history: &History,
    x: &dyn Fn(u64) -> f64,
    height: f64,
) -> std::fmt::Result {
    let mut free_from = 0.0;
    let phases = history.events.iter().filter(|e| e.f == "phase" && matches!(e.process, Process::Named(_)));
    for event in phases {
        let at = x(event.time);
        let name = escape(event.value.as_str().unwrap_or(""));
        writeln!(out, "<path class=\"phase\" d=\"M{at:.1} 12V{height}\"><title>{name}</title></path>")?;
        // Short phases stand close together; the name of one that has no room is in its title.
        if at >= free_from {
            writeln!(out, "<text x=\"{:.1}\" y=\"10\">{name}</text>", at + 2.0)?;
            free_from = at + LABEL_WIDTH;
        }
    }
    Ok(())
}

/// A row for each kind of fault, with its name and a bar where it was in force, which shades all below.
fn write_fault_bands(
    out: &mut String,
    bands: &[(&str, u64, u64)],
    kinds: &BTreeSet<&str>,
    x: &dyn Fn(u64) -> f64,
    height: f64,
) -> std::fmt::Result {
    for (row, kind) in kinds.iter().enumerate() {
        let y = FAULTS_TOP + row as f64 * FAULT_ROW;
        let name = escape(kind);
        writeln!(out, "<text class=\"faultname\" x=\"4\" y=\"{:.1}\">{name}</text>", y + FAULT_ROW - 3.0)?;
        for (_, from, to) in bands.iter().filter(|band| band.0 == *kind) {
            let (from, to) = (x(*from), x(*to));
            let width = (to - from).max(1.0);
            for (class, bar) in [("fault", height - y), ("faultbar", FAULT_ROW - 2.0)] {
                write!(out, "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" ")?;
                writeln!(out, "height=\"{bar:.1}\"><title>{name}</title></rect>")?;
            }
        }
    }
    Ok(())
}

fn write_faults(out: &mut String, history: &History) -> std::fmt::Result {
    writeln!(out, "<h2>Faults, phases, deaths</h2><pre>")?;
    let harness = |e: &&Event| matches!(e.process, Process::Named(_)) && e.kind == EventKind::Info;
    for event in history.events.iter().filter(harness) {
        let value = escape(&event.value.to_string());
        writeln!(out, "{:>9} s  {:<14} {value}", words::seconds(event.time), escape(&event.f))?;
    }
    writeln!(out, "</pre>")
}

fn write_measurements(out: &mut String, findings: &[Finding]) -> std::fmt::Result {
    writeln!(out, "<h2>Measurements</h2>")?;
    for finding in findings.iter().filter(|f| !f.measurements.is_empty()) {
        let numbers = serde_json::to_string_pretty(&finding.measurements).unwrap_or_default();
        let checker = escape(&finding.checker);
        writeln!(out, "<details><summary>{checker}</summary><pre>{}</pre></details>", escape(&numbers))?;
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Judgement, Verdict};

    use super::*;

    #[test]
    fn what_systems_say_cannot_become_markup() {
        let line = r#"{"index":0,"time":1,"process":0,"type":"invoke","f":"write","value":"<script>","key":"a&b","node":"n1"}"#;
        let history = History::parse(&format!("{line}\n")).unwrap();
        let judgement = Judgement::of(vec![Finding::new("x", Verdict::Unknown, "<b>")]);
        let judged = Judged { dir: None, plan: None, history: &history, totals: None, judgement: &judgement };
        let page = html(&judged);
        assert!(!page.contains("<script>") && !page.contains("<b>"));
        assert!(page.contains("&lt;script&gt;"));
    }
}
