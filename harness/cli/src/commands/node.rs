//! `ordeal node`: one node of a reference target, as an ordinary process.

use crate::args::NodeArgs;
use crate::exit::{Exit, usage};

pub(crate) fn main(args: &NodeArgs) -> anyhow::Result<Exit> {
    let node = ordeal_targets::find(&args.pattern).and_then(|entry| entry.node);
    let Some(node) = node else {
        let known: Vec<_> = ordeal_targets::TARGETS
            .iter()
            .filter(|t| t.node.is_some())
            .map(|t| t.name)
            .collect();
        return usage(format!(
            "`{}` is no reference target; there are: {}",
            args.pattern,
            known.join(", ")
        ));
    };
    node(args.args.clone())?;
    Ok(Exit::Valid)
}
