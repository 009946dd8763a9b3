//! All rows, each in a process of its own.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ordeal_simulator::suite::Row;

use crate::measure::Measured;

/// How long a row's process may take, with everything beside the judging, which has its own limit.
const LIMIT: Duration = Duration::from_secs(240);

/// Measures rows one after another. `start` says how this program is started again to measure a row:
/// there, it prints what [`child`](crate::child) returns.
pub fn run(rows: &[Row], start: impl Fn(&Row) -> Command, mut each: impl FnMut(&Measured)) -> Vec<Measured> {
    rows.iter()
        .map(|row| {
            let measured = one(row, start(row)).unwrap_or_else(|why| Measured::nothing(row, why));
            each(&measured);
            measured
        })
        .collect()
}

fn one(row: &Row, mut command: Command) -> Result<Measured, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {:?}: {e}", command.get_program()))?;
    let deadline = Instant::now() + LIMIT;
    // It says a line at its end, which a pipe holds.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err(format!("no end after {} s{}", LIMIT.as_secs(), kill(&mut child))),
            Err(e) => return Err(format!("{}: {e}{}", row.id, kill(&mut child))),
        }
    };
    let mut said = String::new();
    if let Some(mut out) = child.stdout.take() {
        out.read_to_string(&mut said).map_err(|e| e.to_string())?;
    }
    let measured = said.lines().last().and_then(|line| serde_json::from_str(line).ok());
    measured.ok_or_else(|| format!("its process ended with {status}"))
}

/// Ends a process; what to add to an error if that failed.
fn kill(child: &mut Child) -> String {
    let killed = child.kill().and_then(|()| child.wait());
    killed.map_or_else(|e| format!(" (and it cannot be ended: {e})"), |_| String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_says_nothing_is_no_verdict() {
        let row = Row::named("R-1k-c10").unwrap();
        let mut seen = 0;
        let measured = run(
            std::slice::from_ref(&row),
            |_| Command::new("false"),
            |measured| seen += usize::from(measured.verdict.is_none()),
        );
        assert_eq!((seen, measured.len()), (1, 1));
        assert!(measured[0].summary.contains("ended"), "{}", measured[0].summary);
        let missing = one(&row, Command::new("/nonexistent/program")).unwrap_err();
        assert!(missing.contains("/nonexistent/program"), "{missing}");
    }
}
