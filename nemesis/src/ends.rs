//! Links by their two ends, as faults hold them and as histories name them.

use std::collections::BTreeSet;

use ordeal_core::End;
use serde_json::{Value, json};

/// A directed link: from, to.
pub(crate) type Link = (End, End);
/// Some directed links.
pub(crate) type Links = BTreeSet<Link>;

/// All directed links between so many nodes.
pub(crate) fn between_nodes(nodes: usize) -> impl Iterator<Item = Link> {
    let others = move |from| (0..nodes).filter(move |&to| to != from);
    (0..nodes).flat_map(move |from| others(from).map(move |to| (End::Node(from), End::Node(to))))
}

/// All directed links between clients and these nodes.
pub(crate) fn with_clients(nodes: impl IntoIterator<Item = usize>) -> impl Iterator<Item = Link> {
    let both = |node| [(End::Clients, End::Node(node)), (End::Node(node), End::Clients)];
    nodes.into_iter().flat_map(both)
}

/// All directed links of a cluster of so many nodes.
pub(crate) fn all(nodes: usize) -> impl Iterator<Item = Link> {
    between_nodes(nodes).chain(with_clients(0..nodes))
}

/// Whether one of these links has somebody at both ends: the first so many nodes are there, and clients always are.
pub(crate) fn in_use(links: &Links, there: usize) -> bool {
    let is_there = |end: &End| matches!(end, End::Clients) || matches!(end, End::Node(node) if *node < there);
    links.iter().any(|(from, to)| is_there(from) && is_there(to))
}

/// How a history names a link: `[0, 2]`, `["clients", 1]`.
pub(crate) fn name((from, to): Link) -> Value {
    let end = |end| match end {
        End::Node(node) => json!(node),
        End::Clients => json!("clients"),
    };
    json!([end(from), end(to)])
}

/// [`name`] of each.
pub(crate) fn names<'a>(links: impl IntoIterator<Item = &'a Link>) -> Value {
    links.into_iter().map(|&link| name(link)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_there_once_and_has_a_name() {
        let links: Links = all(3).collect();
        assert_eq!((links.len(), all(3).count()), (12, 12));
        assert_eq!(name((End::Node(0), End::Node(2))), json!([0, 2]));
        assert_eq!(names(&links)[11], json!(["clients", 2]));
        let to_n3 = Links::from([(End::Node(0), End::Node(2)), (End::Clients, End::Node(2))]);
        assert!(in_use(&to_n3, 3) && !in_use(&to_n3, 2) && !in_use(&Links::new(), 3));
    }
}
