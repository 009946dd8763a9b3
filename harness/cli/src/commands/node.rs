//! `ordeal node`: one node of a reference target, as an ordinary process.

use crate::args::NodeArgs;
use crate::exit::{Exit, usage};

pub(crate) fn main(args: &NodeArgs) -> anyhow::Result<Exit> {
    let node = ordeal_targets::find(&args.pattern).and_then(|entry| entry.node);
    let Some(node) = node else {
        let known: Vec<_> =
            ordeal_targets::TARGETS.iter().filter(|t| t.node.is_some()).map(|t| t.name).collect();
        return usage(format!("`{}` is no reference target; there are: {}", args.pattern, known.join(", ")));
    };
    // What a node says goes to its standard error, which the harness collects.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match node(args.args.clone()) {
        Ok(()) => Ok(Exit::Valid),
        // Wrong arguments, or a question for help, in clap's own words.
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => Err(error),
        },
    }
}
