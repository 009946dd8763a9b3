//! The table.

use ordeal_core::Verdict;

use crate::measure::Measured;

/// How rows came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As expected, or with any verdict where none is.
    pub right: usize,
    /// With the opposite of what was expected.
    pub wrong: usize,
    /// Without an answer, though there is a judge.
    pub undecided: usize,
    /// Without a judge.
    pub not_judged: usize,
}

impl Tally {
    /// Counts rows.
    pub fn of(rows: &[Measured]) -> Self {
        let mut tally = Tally::default();
        for row in rows {
            *match outcome(row) {
                Outcome::Right => &mut tally.right,
                Outcome::Wrong => &mut tally.wrong,
                Outcome::Undecided => &mut tally.undecided,
                Outcome::NotJudged => &mut tally.not_judged,
            } += 1;
        }
        tally
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { right, wrong, undecided, not_judged } = self;
        write!(f, "{right} right, {wrong} wrong, {undecided} undecided, {not_judged} not judged")
    }
}

enum Outcome {
    Right,
    Wrong,
    Undecided,
    NotJudged,
}

fn outcome(row: &Measured) -> Outcome {
    match (row.verdict, row.expected) {
        (None, _) if row.summary == "not judged" => Outcome::NotJudged,
        (None | Some(Verdict::Unknown | Verdict::Vacuous), _) => Outcome::Undecided,
        (Some(verdict), Some(expected)) if verdict != expected => Outcome::Wrong,
        _ => Outcome::Right,
    }
}

/// The names of the columns.
pub fn header() -> String {
    format!(
        "{:<22} {:>10}  {:<8} {:<12} {:>12} {:>12} {:>9} {:>5}\n",
        "row", "operations", "expected", "verdict", "judging (ms)", "parsing (ms)", "peak (MB)", "runs"
    )
}

/// A row.
pub fn line(row: &Measured) -> String {
    let expected = row.expected.map_or("?", Verdict::as_str);
    let start = format!("{:<22} {:>10}  {expected:<8}", row.id, row.operations);
    let Some(verdict) = row.verdict else {
        return format!("{start} {}\n", row.summary);
    };
    let note = match outcome(row) {
        Outcome::Wrong => format!("  WRONG: {}", row.summary),
        Outcome::Undecided => format!("  {}", row.summary),
        // The peak says less then.
        _ if row.whole => "  (with the whole history in memory)".to_owned(),
        _ => String::new(),
    };
    format!(
        "{start} {:<12} {:>12.1} {:>12.1} {:>9.1} {:>5}{note}\n",
        verdict.as_str(),
        row.judging_ms,
        row.parsing_ms,
        row.peak_bytes as f64 / 1e6,
        row.runs
    )
}

#[cfg(test)]
mod tests {
    use ordeal_simulator::suite::Row;

    use super::*;

    #[test]
    fn wrong_undecided_and_missing_verdicts_are_told_apart() {
        let row = |id: &str, verdict| Measured {
            verdict,
            ..Measured::nothing(&Row::named(id).unwrap(), if verdict.is_none() { "not judged" } else { "so" })
        };
        let rows = [
            row("R-1k-c10", Some(Verdict::Valid)),
            row("R-1k-c10", Some(Verdict::Invalid)),
            row("R-10k-c10-bad", Some(Verdict::Valid)),
            row("R-10k-c10-bad", Some(Verdict::Unknown)),
            row("C-1k-c10-i0-lost", Some(Verdict::Invalid)),
            row("Q-1k-c10", None),
        ];
        let tally = Tally::of(&rows);
        assert_eq!(tally, Tally { right: 2, wrong: 2, undecided: 1, not_judged: 1 });
        assert_eq!(tally.to_string(), "2 right, 2 wrong, 1 undecided, 1 not judged");
        assert!(line(&rows[1]).contains("WRONG: so"));
        assert!(line(&rows[5]).ends_with("not judged\n"));
        assert_eq!(Tally::of(&[Measured { summary: "killed".to_owned(), ..rows[5].clone() }]).undecided, 1);
    }
}
