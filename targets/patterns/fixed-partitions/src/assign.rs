//! Which partition is an account's, and which node is a partition's: pure.
//!
//! The first never changes. The second changes by whole partitions, as few as balance needs.

/// The partition of an account, for ever: FNV-1a with 64 bits, which is defined by its bytes alone and, unlike the
/// standard library's hasher, is the same in every version of every program.
pub(crate) fn partition_of(account: &str, partitions: usize) -> usize {
    let hash = account.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % partitions.max(1) as u64) as usize
}

/// Which node each partition should be at, given where it should have been until now: `nodes` are all there are now, and
/// `current` names only them. The counts then differ by at most one, and as few partitions move as that allows.
pub(crate) fn assign(nodes: &[usize], current: &[usize]) -> Vec<usize> {
    let count_of = |node: usize| current.iter().filter(|&&owner| owner == node).count();
    let mut fullest_first: Vec<(usize, usize)> = nodes.iter().map(|&node| (node, count_of(node))).collect();
    // A stable sort: among equals the order of `nodes` decides, the same at every node.
    fullest_first.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let Some(each) = current.len().checked_div(nodes.len()) else { return current.to_vec() };
    let one_more = current.len() % nodes.len();
    // Those that have the most keep the most.
    let share = |place: usize| each + usize::from(place < one_more);
    let mut wanted = current.to_vec();
    let mut short: Vec<usize> = Vec::new();
    for (place, (node, count)) in fullest_first.iter().enumerate() {
        short.extend(std::iter::repeat_n(*node, share(place).saturating_sub(*count)));
    }
    for (place, (node, count)) in fullest_first.iter().enumerate() {
        let mut surplus = count.saturating_sub(share(place));
        for owner in wanted.iter_mut().filter(|owner| **owner == *node) {
            if surplus == 0 {
                break;
            }
            let Some(taker) = short.pop() else { break };
            *owner = taker;
            surplus -= 1;
        }
    }
    wanted
}

/// The first assignment: dealt out in turn.
pub(crate) fn deal(nodes: &[usize], partitions: usize) -> Vec<usize> {
    nodes.iter().copied().cycle().take(if nodes.is_empty() { 0 } else { partitions }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(nodes: &[usize], wanted: &[usize]) -> Vec<usize> {
        nodes.iter().map(|node| wanted.iter().filter(|owner| *owner == node).count()).collect()
    }

    #[test]
    fn the_partition_of_an_account_is_what_it_always_was() {
        // Values of the published FNV-1a: of no byte, of "a", and of "foobar".
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325_u64), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            for partitions in [1, 8, 1_000] {
                assert_eq!(partition_of(text, partitions), (hash % partitions as u64) as usize);
            }
        }
    }

    /// Any nodes, joining one after another or several at once, any number of partitions.
    #[test]
    fn counts_differ_by_one_at_most_and_no_partition_moves_that_need_not() {
        for partitions in [0, 1, 2, 7, 8, 9, 64, 1_000] {
            for first in 1..=5 {
                for joining in 1..=4 {
                    let mut nodes: Vec<usize> = (0..first).collect();
                    let mut wanted = deal(&nodes, partitions);
                    for _ in 0..3 {
                        nodes.extend(nodes.len()..nodes.len() + joining);
                        let before = wanted;
                        wanted = assign(&nodes, &before);
                        let moved = before.iter().zip(&wanted).filter(|(was, is)| was != is).count();
                        let counts = counts(&nodes, &wanted);
                        let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
                        assert!(spread <= 1, "{partitions} {nodes:?} {counts:?}");
                        // What the new nodes have has moved, and nothing else.
                        let new: usize = counts[nodes.len() - joining..].iter().sum();
                        assert_eq!(moved, new);
                        assert!(new <= joining * (partitions / nodes.len() + 1));
                        if joining == 1 {
                            assert_eq!(new, partitions / nodes.len());
                        }
                        assert_eq!(assign(&nodes, &wanted), wanted, "what is balanced stays");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_uneven_is_evened_out_with_the_fewest_moves() {
        // n0 has six of eight.
        let wanted = assign(&[0, 1, 2], &[0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(counts(&[0, 1, 2], &wanted), [3, 3, 2]);
    }
}
