//! Partitions that come and go in steps: which links are cut at each.

use ordeal_core::End;

use crate::ends::{Link, Links};

/// Nodes fall out in this order: a link is cut as soon as one of its nodes is out. The last step is all.
pub(crate) fn falling(cuts: &Links, turns: &[usize]) -> Vec<(usize, Links)> {
    let steps = (1..=turns.len()).map(|out| {
        let out = &turns[..out];
        (out[out.len() - 1], cuts.iter().copied().filter(|link| touches(*link, out)).collect())
    });
    changes(steps, &Links::new())
}

/// Nodes come back in this order: a link is whole again when no node of it is out. The last step is none.
pub(crate) fn rising(cuts: &Links, back: &[usize]) -> Vec<(usize, Links)> {
    let steps = (1..=back.len()).map(|returned| {
        let out = &back[returned..];
        (back[returned - 1], cuts.iter().copied().filter(|link| touches(*link, out)).collect())
    });
    changes(steps, cuts)
}

fn touches((from, to): Link, nodes: &[usize]) -> bool {
    [from, to].iter().any(|end| matches!(end, End::Node(node) if nodes.contains(node)))
}

/// The steps at which anything changes, each with the node whose turn it was.
fn changes(steps: impl Iterator<Item = (usize, Links)>, begin: &Links) -> Vec<(usize, Links)> {
    let mut before = begin.clone();
    let mut changes = Vec::new();
    for (node, cuts) in steps {
        if cuts != before {
            before.clone_from(&cuts);
            changes.push((node, cuts));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ends::between_nodes;

    #[test]
    fn nodes_fall_one_by_one_and_come_back_in_another_order() {
        let one: Links = between_nodes(4)
            .filter(|(a, b)| [a, b].contains(&&End::Node(1)))
            .chain([(End::Clients, End::Node(1))])
            .collect();
        let falling = falling(&one, &[0, 3, 1, 2]);
        assert_eq!(
            falling.iter().map(|(node, cuts)| (*node, cuts.len())).collect::<Vec<_>>(),
            [(0, 2), (3, 4), (1, 7)]
        );
        let rising = rising(&one, &[1, 2, 0, 3]);
        let sizes: Vec<_> = rising.iter().map(|(node, cuts)| (*node, cuts.len())).collect();
        assert_eq!(sizes, [(1, 6), (2, 4), (0, 2), (3, 0)]);
    }
}
