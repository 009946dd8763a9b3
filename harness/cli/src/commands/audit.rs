//! `ordeal audit`: every target as it is and with each planted bug, each run an `ordeal run` of its own, and a table
//! of what was caught, missed, or falsely accused.
//!
//! What is done is in the audit's directory, so that an audit that was interrupted goes on where it stood.

mod outcome;
mod subject;
mod table;

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::outcome::{Outcome, Ran};
use self::subject::{Subject, subjects};
use crate::args::AuditArgs;
use crate::exit::{Exit, UsageError, eprint, print, usage};
use crate::progress::Counted;
use crate::resolve::this_program;
use crate::signals;

pub(crate) fn main(args: &AuditArgs) -> anyhow::Result<Exit> {
    let subjects = subjects(args)?;
    if let Some(file) = &args.table {
        table::has_place(file)?;
    }
    let dir = directory(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let progress = Counted::start(subjects.len());
    let audited = runtime.block_on(audit_all(args, &dir, subjects, &progress));
    progress.finish();
    let (mut rows, interrupted) = audited?;
    rows.sort_by_key(|(subject, _)| subject.place);
    let table = table::markdown(args, &rows);
    fs::write(dir.join("table.md"), &table).with_context(|| dir.display().to_string())?;
    print(&table);
    if let Some(file) = &args.table {
        table::put_into(file, &table)?;
    }
    if interrupted {
        eprint(&format!("ordeal: interrupted; go on with --out {}", dir.display()));
        return Ok(Exit::Undecided);
    }
    Ok(table::exit(&rows))
}

/// The directory of the audit, with the settings that all its runs have in common.
fn directory(args: &AuditArgs) -> anyhow::Result<PathBuf> {
    let dir = args.out.clone().unwrap_or_else(|| {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        Path::new("results").join("audit").join(time)
    });
    fs::create_dir_all(&dir).map_err(|e| UsageError(format!("{}: {e}", dir.display())))?;
    let file = dir.join("audit.json");
    // Runs of sound targets are named by the place of their faults among these.
    let settings =
        json!({ "for_ms": args.duration.as_millis() as u64, "faults": args.faults, "build": build()? });
    match fs::read_to_string(&file) {
        Ok(before) => {
            let known: Value = serde_json::from_str(&before).unwrap_or_default();
            let dir = dir.display();
            if known["for_ms"] != settings["for_ms"] || known["faults"] != settings["faults"] {
                let before = before.trim();
                return usage(format!("{dir} holds runs of other settings, {before}: use another --out"));
            }
            if known["build"] != settings["build"] {
                return usage(format!("{dir} holds runs of another build of ordeal: use another --out"));
            }
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fs::write(&file, format!("{settings}\n")).with_context(|| file.display().to_string())?;
        }
        Err(e) => return usage(format!("{}: {e}", file.display())),
    }
    eprint(&format!("ordeal: audit in {}", dir.display()));
    Ok(dir)
}

/// What tells this build of the program from others.
fn build() -> anyhow::Result<String> {
    let mut program = BufReader::with_capacity(1 << 20, fs::File::open(this_program()?)?);
    let mut hasher = DefaultHasher::new();
    loop {
        let bytes = program.fill_buf().context("cannot read this program")?;
        if bytes.is_empty() {
            return Ok(format!("{:016x}", hasher.finish()));
        }
        hasher.write(bytes);
        let read = bytes.len();
        program.consume(read);
    }
}

/// A subject with the runs that there were of it.
type Row = (Subject, Vec<Ran>);

/// Runs all subjects, so many at a time; answers too whether it was interrupted.
async fn audit_all(
    args: &AuditArgs,
    dir: &Path,
    subjects: Vec<Subject>,
    progress: &Counted,
) -> anyhow::Result<(Vec<Row>, bool)> {
    let places = Arc::new(Semaphore::new(args.jobs.into()));
    let interrupt = signals::interrupted(on_signal)?;
    let mut running = JoinSet::new();
    for subject in subjects {
        let audit = Audit { runs: args.runs, for_ms: args.duration.as_millis(), dir: dir.to_owned() };
        let (places, interrupt, progress) = (Arc::clone(&places), interrupt.clone(), progress.clone());
        running.spawn(async move {
            let place = places.acquire().await;
            let mut runs = Vec::new();
            for seed in 1..=u64::from(audit.runs) {
                if *interrupt.borrow() || place.is_err() {
                    break;
                }
                let ran = audit.run(&subject, seed, interrupt.clone()).await?;
                progress.say(&format!("{subject}, seed {seed}: {}", ran.words()));
                let enough = ran.outcome == Outcome::Caught || matches!(ran.outcome, Outcome::NotRun(_));
                runs.push(ran);
                if enough {
                    break;
                }
            }
            progress.advance();
            Ok::<Row, anyhow::Error>((subject, runs))
        });
    }
    let mut rows = Vec::new();
    while let Some(joined) = running.join_next().await {
        rows.push(joined.context("an audit panicked")??);
    }
    Ok((rows, *interrupt.borrow()))
}

/// The runs are told to stop, and said to be, once.
fn on_signal(again: bool) {
    if !again {
        eprint("ordeal: interrupted; the runs heal and stop");
    }
}

/// What all runs of an audit have in common.
struct Audit {
    runs: u32,
    for_ms: u128,
    dir: PathBuf,
}

impl Audit {
    /// Runs a subject, unless that was done before.
    async fn run(
        &self,
        subject: &Subject,
        seed: u64,
        mut interrupt: watch::Receiver<bool>,
    ) -> anyhow::Result<Ran> {
        let name = format!("{}-{seed}", subject.name);
        // A run that was cut short keeps its directory: what is on disk is never overwritten.
        let tries = (1_u32..).map(|n| if n == 1 { name.clone() } else { format!("{name}.{n}") });
        let mut free = String::new();
        for name in tries {
            let run = self.dir.join(&name);
            match outcome::read(&run, subject) {
                Some(ran) => return Ok(ran),
                None if run.exists() => {}
                None => {
                    free = name;
                    break;
                }
            }
        }
        let (run, said) = (self.dir.join(&free), self.dir.join(format!("{free}.log")));
        let log = fs::File::create(&said).with_context(|| said.display().to_string())?;
        let mut child = Command::new(this_program()?)
            .args(subject.arguments())
            .args(["--for", &format!("{}ms", self.for_ms), "--seed", &seed.to_string(), "--out"])
            .arg(&run)
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Not interrupted by the terminal: told by this process, once.
            .process_group(0)
            // If the audit ends with an error, its runs end with it.
            .kill_on_drop(true)
            .spawn()
            .context("cannot start this program")?;
        let pid = child.id().map(|pid| Pid::from_raw(pid as i32));
        let asked_to_stop = async { drop(interrupt.wait_for(|stop| *stop).await) };
        tokio::select! {
            ended = child.wait() => drop(ended?),
            () = asked_to_stop => {
                if let Some(pid) = pid {
                    // An error means that it has just ended.
                    let _ = kill(pid, Signal::SIGTERM);
                }
                child.wait().await?;
            }
        }
        Ok(outcome::read(&run, subject).unwrap_or_else(|| outcome::not_run(&run, &said)))
    }
}
