//! The verdict on a terminal.

use std::fmt::Write;

use ordeal_core::{Anomaly, Event, Finding, History, Verdict};

use crate::{Judged, Totals, words};

/// How text is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// No colours: a file, a pipe, or `NO_COLOR`.
    Plain,
    /// ANSI colours.
    Colour,
}

/// Anomalies and events shown of each finding; the rest is in `verdict.json`.
const ANOMALIES: usize = 3;
const EVENTS: usize = 12;
/// Where messages are broken.
const LINE_CHARS: usize = 100;

impl Style {
    fn paint(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Valid => "32",
            Verdict::Vacuous | Verdict::Unknown => "33",
            Verdict::Invalid => "31",
        };
        match self {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("\x1b[1;{code}m{text}\x1b[0m"),
        }
    }
}

/// The whole verdict as text, ending with a newline.
pub fn text(judged: &Judged<'_>, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, judged, style);
    out
}

fn write_all(out: &mut String, judged: &Judged<'_>, style: Style) -> std::fmt::Result {
    let verdict = judged.judgement.verdict;
    write!(out, "{}", style.paint(verdict, &verdict.as_str().to_uppercase()))?;
    if let Some(plan) = judged.plan {
        write!(out, "  {}  (seed {})", words::command(plan), plan.seed)?;
    }
    writeln!(out, "\n")?;
    write_overview(out, judged)?;
    let mut findings: Vec<&Finding> = judged.judgement.findings.iter().collect();
    findings.sort_by_key(|f| std::cmp::Reverse(f.verdict));
    for finding in findings {
        write_finding(out, judged, finding, style)?;
    }
    if let Some(cut) = &judged.history.truncated {
        writeln!(
            out,
            "  the history's last line was cut off and is left out: {}",
            &words::shorten(&cut.as_str().into())
        )?;
    }
    if let Some(dir) = judged.dir {
        let dir = dir.display();
        writeln!(out, "\n  everything  {dir}/")?;
        writeln!(out, "  report      {dir}/report.html")?;
        writeln!(out, "  again       ordeal run --plan {dir}/plan.json")?;
    }
    Ok(())
}

fn write_overview(out: &mut String, judged: &Judged<'_>) -> std::fmt::Result {
    let Totals { ok, fail, info, time_ns_max } = words::totals(judged);
    write!(out, "  {} operations", words::thousands(ok + fail + info))?;
    write!(
        out,
        ": {} ok, {} failed, {} unknown",
        words::thousands(ok),
        words::thousands(fail),
        words::thousands(info)
    )?;
    if judged.totals.is_none() || time_ns_max > 0 {
        write!(out, "; {} s", words::seconds(time_ns_max))?;
    }
    if let Some(plan) = judged.plan {
        write!(out, ", {}, {} clients", words::nodes(plan), plan.concurrency)?;
    }
    writeln!(out)?;
    let faults = words::faults(judged.history);
    if !faults.is_empty() {
        let each = faults.iter().map(|(name, (all, proved))| format!("{name} {all} ({proved} proved)"));
        writeln!(out, "  faults: {}", each.collect::<Vec<_>>().join(", "))?;
    }
    writeln!(out)
}

fn write_finding(out: &mut String, judged: &Judged<'_>, finding: &Finding, style: Style) -> std::fmt::Result {
    let verdict = format!("{:<8}", finding.verdict.as_str());
    writeln!(
        out,
        "  {} {:<26} {}",
        style.paint(finding.verdict, &verdict),
        finding.checker,
        finding.summary
    )?;
    for anomaly in finding.anomalies.iter().take(ANOMALIES) {
        write_anomaly(out, judged, anomaly)?;
    }
    if finding.anomalies.len() > ANOMALIES {
        let place = if judged.dir.is_some() { "in verdict.json" } else { "with --json" };
        writeln!(out, "      … and {} more {place}", finding.anomalies.len() - ANOMALIES)?;
    }
    Ok(())
}

fn write_anomaly(out: &mut String, judged: &Judged<'_>, anomaly: &Anomaly) -> std::fmt::Result {
    let key = anomaly.key.as_ref().map(|k| format!(" ({k})")).unwrap_or_default();
    writeln!(out, "\n      {}{key}", anomaly.name)?;
    for line in anomaly.message.lines().flat_map(wrap) {
        writeln!(out, "      {line}")?;
    }
    for &index in anomaly.events.iter().take(EVENTS) {
        if let Some(event) = judged.history.event(index) {
            writeln!(out, "        {}", words::event(event))?;
        }
    }
    if anomaly.events.len() > EVENTS {
        writeln!(out, "        … and {} more events", anomaly.events.len() - EVENTS)?;
    }
    writeln!(out)
}

/// Breaks a line between words.
fn wrap(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().filter(|last| last.chars().count() + word.chars().count() < LINE_CHARS);
        match last {
            Some(last) if last.is_empty() => last.push_str(word),
            Some(last) => last.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A history as text, a line an event; with a key, only the events about it and those of the harness.
pub fn history(history: &History, key: Option<&str>) -> String {
    let about = |event: &&Event| match (key, &event.key) {
        (Some(wanted), Some(key)) => key.to_string() == wanted,
        (Some(_), None) | (None, _) => true,
    };
    history.events.iter().filter(about).map(|event| words::event(event) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use ordeal_core::{History, Judgement};

    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_nothing_is_lost() {
        let text = "word ".repeat(100) + &"x".repeat(300);
        let lines = wrap(&text);
        assert_eq!(lines.join(" "), text);
        assert!(lines.iter().all(|l| l.len() <= LINE_CHARS || !l.contains(' ')));
    }

    #[test]
    fn the_gravest_finding_comes_first_and_events_are_cited() {
        let line = r#"{"index":7,"time":1500000000,"process":3,"type":"ok","f":"read","value":[1,2],"key":"p1","node":"n2"}"#;
        let history = History::parse(&format!("{line}\n")).unwrap();
        let mut bad = Finding::new("linearizable(register)", Verdict::Invalid, "1 of 2 keys");
        bad.anomalies.push(Anomaly {
            name: "nonlinearizable".to_owned(),
            message: "the read cannot be placed".to_owned(),
            key: Some(ordeal_core::Key::Text("p1".to_owned())),
            events: vec![7],
            details: serde_json::Value::Null,
        });
        let judgement = Judgement::of(vec![Finding::new("stats", Verdict::Valid, "fine"), bad]);
        let judged = Judged { dir: None, plan: None, history: &history, totals: None, judgement: &judgement };
        let text = text(&judged, Style::Plain);
        assert!(text.starts_with("INVALID"));
        assert!(text.find("nonlinearizable").unwrap() < text.find("stats").unwrap());
        assert!(text.contains("#7     1.500 s  client 3 at n2  ok     read p1 [1,2]"), "{text}");
    }
}
