//! `ordeal node`: one node of a reference target, as an ordinary process.

use crate::args::NodeArgs;
use crate::exit::{Exit, usage};

pub(crate) fn main(args: &NodeArgs) -> anyhow::Result<Exit> {
    let reference = |entry: &&ordeal_targets::Entry| entry.node_command().is_some();
    let Some(entry) = ordeal_targets::find(&args.pattern).filter(reference) else {
        let known: Vec<_> = ordeal_targets::TARGETS.iter().filter(reference).map(|t| t.name).collect();
        return usage(format!("`{}` is no reference target; there are: {}", args.pattern, known.join(", ")));
    };
    // What a node says goes to its standard error, which the harness collects.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match entry.run_node(args.args.clone()) {
        None | Some(Ok(())) => Ok(Exit::Valid),
        // Wrong arguments, or a question for help, in clap's own words.
        Some(Err(error)) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => Err(error),
        },
    }
}
