//! `ordeal show`: a recorded run, as text.

use ordeal_core::Judgement;
use ordeal_report::Judged;
use ordeal_runner::RunDir;

use crate::args::ShowArgs;
use crate::exit::{Exit, UsageError, print, style};
use crate::{judge, resolve};

pub(crate) fn main(args: &ShowArgs) -> anyhow::Result<Exit> {
    let dir = RunDir::open(&args.dir);
    let history = judge::read_history(&dir.history())?;
    if args.history {
        print(&ordeal_report::history(&history, args.key.as_deref()));
        return Ok(Exit::Valid);
    }
    let plan = resolve::read_plan(&dir.plan())?;
    let text = std::fs::read_to_string(dir.verdict()).map_err(|e| {
        let at = dir.path().display();
        UsageError(format!("{at}: no verdict ({e}); judge the run with `ordeal check {at}`"))
    })?;
    let judgement: Judgement = serde_json::from_str(&text)
        .map_err(|e| UsageError(format!("{}: not a verdict: {e}", dir.verdict().display())))?;
    let judged = Judged {
        dir: Some(dir.path()),
        plan: Some(&plan),
        history: &history,
        totals: None,
        judgement: &judgement,
    };
    print(&ordeal_report::text(&judged, style()));
    Ok(Exit::Valid)
}
