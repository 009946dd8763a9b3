//! Exit codes, the one table of them.

use std::io::IsTerminal;
use std::process::ExitCode;

use ordeal_core::Verdict;
use ordeal_report::Style;

/// How `ordeal` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The promise was kept, or the command did what it was asked.
    Valid = 0,
    /// A violation was found.
    Violation = 1,
    /// The command line, a plan or a file was wrong.
    Usage = 2,
    /// Undecided: unknown or vacuous.
    Undecided = 3,
    /// The harness itself failed: no sandbox, a full disk, a cluster that did not start.
    Harness = 4,
}

impl Exit {
    /// The exit code of a verdict; `expect_invalid` swaps success and violation.
    pub(crate) fn of(verdict: Verdict, expect_invalid: bool) -> Exit {
        match (verdict, expect_invalid) {
            (Verdict::Valid, false) | (Verdict::Invalid, true) => Exit::Valid,
            (Verdict::Invalid, false) | (Verdict::Valid, true) => Exit::Violation,
            (Verdict::Vacuous | Verdict::Unknown, _) => Exit::Undecided,
        }
    }

    /// The exit code of the same number.
    pub(crate) fn from_code(code: i32) -> Exit {
        [Exit::Valid, Exit::Violation, Exit::Usage, Exit::Undecided]
            .into_iter()
            .find(|exit| *exit as i32 == code)
            .unwrap_or(Exit::Harness)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// An error that is the user's to mend: exit code 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Ends a command because of what the user asked.
pub(crate) fn usage<T>(why: impl Into<String>) -> anyhow::Result<T> {
    Err(UsageError(why.into()).into())
}

/// Prints an error and says how to end.
pub(crate) fn report(error: &anyhow::Error) -> Exit {
    eprint(&format!("ordeal: {error:#}"));
    if error.chain().any(|cause| cause.is::<UsageError>()) { Exit::Usage } else { Exit::Harness }
}

/// Prints to standard output. A reader that went away (`| head`) is not an error; a verdict that cannot be
/// told is one, and ends the program.
pub(crate) fn print(text: &str) {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            eprint(&format!("ordeal: cannot write to standard output: {e}"));
            std::process::exit(Exit::Harness as i32);
        }
        Ok(()) | Err(_) => {}
    }
}

/// Prints a line to standard error.
pub(crate) fn eprint(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Colours, where standard output is a terminal that wants them.
pub(crate) fn style() -> Style {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    if wanted && std::io::stdout().is_terminal() { Style::Colour } else { Style::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expecting_a_violation_swaps_only_success_and_violation() {
        for (verdict, plain, expecting) in [
            (Verdict::Valid, Exit::Valid, Exit::Violation),
            (Verdict::Invalid, Exit::Violation, Exit::Valid),
            (Verdict::Unknown, Exit::Undecided, Exit::Undecided),
            (Verdict::Vacuous, Exit::Undecided, Exit::Undecided),
        ] {
            assert_eq!(Exit::of(verdict, false), plain);
            assert_eq!(Exit::of(verdict, true), expecting);
        }
    }
}
