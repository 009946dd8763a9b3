//! The table of an audit.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Context;

use super::Row;
use super::outcome::{Outcome, Ran};
use crate::args::AuditArgs;
use crate::exit::{Exit, UsageError, usage};

/// Between these marks a file has the table of the last audit.
const BEGIN: &str = "<!-- audit: begin -->";
const END: &str = "<!-- audit: end -->";

/// The outcomes of all rows together.
#[derive(Default)]
struct Sum {
    sound: usize,
    caught: usize,
    missed: usize,
    accused: usize,
    undecided: usize,
}

impl Sum {
    fn of(rows: &[Row]) -> Sum {
        let mut sum = Sum::default();
        for (subject, runs) in rows {
            let any = |outcome: &Outcome| runs.iter().any(|ran| ran.outcome == *outcome);
            let all = |outcome: &Outcome| !runs.is_empty() && runs.iter().all(|ran| ran.outcome == *outcome);
            let place = match subject.bug {
                None if any(&Outcome::Accused) => &mut sum.accused,
                None if all(&Outcome::Sound) => &mut sum.sound,
                Some(_) if any(&Outcome::Caught) => &mut sum.caught,
                Some(_) if any(&Outcome::Missed) || any(&Outcome::CaughtOtherwise) => &mut sum.missed,
                _ => &mut sum.undecided,
            };
            *place += 1;
        }
        sum
    }
}

/// How the command ends: a bug that was missed and a target that was falsely accused are both failures.
pub(super) fn exit(rows: &[Row]) -> Exit {
    let sum = Sum::of(rows);
    match (sum.missed + sum.accused, sum.undecided) {
        (0, 0) => Exit::Valid,
        (0, _) => Exit::Undecided,
        _ => Exit::Violation,
    }
}

/// All rows as Markdown.
pub(super) fn markdown(args: &AuditArgs, rows: &[Row]) -> String {
    let mut out = String::new();
    let sum = Sum::of(rows);
    let _ = writeln!(
        out,
        "{} sound targets valid, {} falsely accused; {} bugs caught, {} missed; {} undecided. Runs of {} s; a sound \
         target {} times, a bug until it was caught.\n",
        sum.sound,
        sum.accused,
        sum.caught,
        sum.missed,
        sum.undecided,
        args.duration.as_secs_f64(),
        args.runs,
    );
    out.push_str(
        "| target | bug | faults | outcome | anomalies | found after, s |\n|---|---|---|---|---|---|\n",
    );
    for (subject, runs) in rows {
        let bug = subject.bug.map_or_else(|| "–".to_owned(), |bug| format!("`{}`", bug.name));
        let faults = subject.faults.as_ref().map_or_else(|| "default".to_owned(), |f| format!("`{f}`"));
        let last = runs.last();
        let anomalies = last.map_or_else(String::new, |ran| {
            let names: Vec<String> = ran.anomalies.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        });
        let after = last.and_then(|ran| ran.found_after_s).map_or_else(String::new, |s| format!("{s:.1}"));
        let _ = writeln!(
            out,
            "| `{}` | {bug} | {faults} | {} | {anomalies} | {after} |",
            subject.target.name,
            outcomes(runs)
        );
    }
    out
}

/// How often each outcome came, e.g. `3 valid`, or `missed, caught`.
fn outcomes(runs: &[Ran]) -> String {
    let word = |ran: &Ran| match &ran.outcome {
        Outcome::Sound => "valid".to_owned(),
        Outcome::Caught => "caught".to_owned(),
        Outcome::Missed => "missed".to_owned(),
        Outcome::CaughtOtherwise => "caught otherwise".to_owned(),
        Outcome::Accused => "falsely accused".to_owned(),
        Outcome::Undecided => "undecided".to_owned(),
        Outcome::NotRun(why) => format!("not run: {}", why.replace('|', "/")),
    };
    let words: Vec<String> = runs.iter().map(word).collect();
    match words.first() {
        None => "not run".to_owned(),
        Some(first) if words.len() > 1 && words.iter().all(|word| word == first) => {
            format!("{} {first}", words.len())
        }
        Some(_) => words.join(", "),
    }
}

/// Refuses a file that has no place for the table, before anything is run.
pub(super) fn has_place(file: &Path) -> anyhow::Result<()> {
    with_table(file, "").map(drop)
}

/// Puts the table between the marks of a file.
pub(super) fn put_into(file: &Path, table: &str) -> anyhow::Result<()> {
    fs::write(file, with_table(file, table)?).with_context(|| file.display().to_string())
}

fn with_table(file: &Path, table: &str) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).map_err(|e| UsageError(format!("--table: {}: {e}", file.display())))?;
    match replaced(&text, table) {
        Some(text) => Ok(text),
        None => usage(format!("--table: {} has no lines `{BEGIN}` and `{END}`", file.display())),
    }
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_the_one_before_and_nothing_else() {
        let text = format!("above\n{BEGIN}\nold\n{END}\nbelow\n");
        let new = replaced(&text, "| new |\n").unwrap_or_default();
        assert_eq!(new, format!("above\n{BEGIN}\n\n| new |\n\n{END}\nbelow\n"));
        assert_eq!(replaced(&new, "| new |\n"), Some(new.clone()));
        assert_eq!(replaced("no marks", "x"), None);
    }

    #[test]
    fn equal_outcomes_are_counted() {
        let ran = |outcome| Ran { outcome, anomalies: Vec::new(), found_after_s: None };
        assert_eq!(outcomes(&[ran(Outcome::Sound), ran(Outcome::Sound)]), "2 valid");
        assert_eq!(outcomes(&[ran(Outcome::Missed), ran(Outcome::Caught)]), "missed, caught");
        assert_eq!(outcomes(&[]), "not run");
    }
}
