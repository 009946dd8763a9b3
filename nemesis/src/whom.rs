//! Whom a fault of whole nodes hits: drawn at planning time, resolved when it is injected.
//!
//! In a plan: `{"nodes": [0, 2]}`, `{"nodes": "all"}`, `{"nodes": "primary"}` or
//! `{"nodes": "last-acknowledged"}`. As people write it: `n1`, `n1, n3`, a number of nodes, `one`,
//! `minority`, `majority`, `all`, `primary` or `last-acknowledged`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ordeal_core::{Cluster, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest wait for a primary.
const ELECTION_MS_MAX: u64 = 1_000;
/// Between two questions who is primary.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

const EXPECTED: &str =
    r#"expected {"nodes": [0, 2]}, {"nodes": "all"}, {"nodes": "primary"} or {"nodes": "last-acknowledged"}"#;
/// What [`read`] reads.
pub(crate) const WORDS: &str = "whom: node names (n1, n3), a number of nodes, one, minority, majority, all, primary or last-acknowledged";

#[derive(Deserialize)]
struct Args {
    nodes: Nodes,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Nodes {
    These(Vec<usize>),
    Word(Word),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    All,
    Primary,
    LastAcknowledged,
}

/// Draws one node, a minority, a majority, all, or the primary. Sizes that would mean the same in a
/// small cluster are drawn once.
pub(crate) fn draw(rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
    let majority = nodes / 2 + 1;
    // Nothing tests what is really on the disks as well as the death of everybody at once.
    let mut choices = vec!["all", "all", "last-acknowledged"];
    if nodes > 1 {
        choices.push("one");
    }
    if nodes - majority > 1 {
        choices.push("minority");
    }
    if majority < nodes {
        choices.push("majority");
    }
    if has_primary {
        choices.push("primary");
    }
    let count = match *rng.pick(&choices) {
        "one" => 1,
        "minority" => rng.between(2, (nodes - majority) as u64) as usize,
        "majority" => majority,
        word => return json!({ "nodes": word }),
    };
    json!({ "nodes": some(rng, nodes, count) })
}

/// Takes the words that say whom, if there are any. The answer is what stands behind `"nodes"` in a plan.
pub(crate) fn read(
    words: &mut Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
) -> Result<Option<Value>, String> {
    let mut named = Vec::new();
    while let Some(number) = words.take(|word| word.strip_prefix('n')?.parse::<usize>().ok()) {
        let index = number.checked_sub(1).ok_or("nodes are n1, n2, …")?;
        named.push(index);
    }
    if !named.is_empty() {
        return checked(&named, nodes).map(|these| Some(json!(these)));
    }
    for word in ["all", "primary", "last-acknowledged"] {
        if words.flag(word) {
            return match word == "primary" && !has_primary {
                true => Err("the target cannot say which node is primary".to_owned()),
                false => Ok(Some(json!(word))),
            };
        }
    }
    Ok(read_count(words, nodes)?.map(|count| json!(some(rng, nodes, count))))
}

/// Takes the words that say whom into the arguments, and refuses whatever is left then. `others`: what else
/// could have been said.
pub(crate) fn finish(
    mut words: Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
    mut args: Value,
    others: &str,
) -> Result<Value, String> {
    if let Some(whom) = read(&mut words, rng, nodes, has_primary)? {
        args["nodes"] = whom;
    }
    let expected = if others.is_empty() { WORDS.to_owned() } else { format!("{others}, and {WORDS}") };
    words.finish(&expected).map(|()| args)
}

/// Takes the word that says how many nodes, if there is one.
pub(crate) fn read_count(words: &mut Words, nodes: usize) -> Result<Option<usize>, String> {
    let majority = nodes / 2 + 1;
    let sizes = [("one", 1), ("minority", (nodes - majority).max(1)), ("majority", majority)];
    let size = sizes.into_iter().find(|(word, _)| words.flag(word)).map(|(_, size)| size);
    let Some(count) = size.or_else(|| words.take(|word| word.parse().ok())) else {
        return Ok(None);
    };
    match (1..=nodes).contains(&count) {
        true => Ok(Some(count)),
        false => Err(format!("there are 1 to {nodes} nodes to choose from, not {count}")),
    }
}

/// Draws `count` different nodes, in ascending order.
pub(crate) fn some(rng: &mut Rng, nodes: usize, count: usize) -> Vec<usize> {
    let mut drawn: Vec<usize> = (0..nodes).collect();
    rng.shuffle(&mut drawn);
    drawn.truncate(count);
    drawn.sort_unstable();
    drawn
}

/// The nodes that are meant now, in ascending order; at least one. In the place of one that has not joined yet
/// stands one that was there from the beginning.
pub(crate) async fn resolve(args: &Value, cluster: &dyn Cluster) -> Result<Vec<usize>, String> {
    let count = cluster.spec().nodes.len();
    let parsed = Args::deserialize(args).map_err(|_| format!("{EXPECTED}, found {args}"))?;
    match parsed.nodes {
        Nodes::These(nodes) => {
            let nodes = checked(&nodes, count).map_err(|why| format!("{why}; {EXPECTED}, found {args}"))?;
            Ok(nodes
                .into_iter()
                .map(|node| cluster.spec().stand_in(node, cluster.joined()))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect())
        }
        Nodes::Word(Word::All) => Ok((0..cluster.joined()).collect()),
        Nodes::Word(Word::Primary) => Ok(primaries(cluster).await?.nodes),
        // Before the first write any node will do.
        Nodes::Word(Word::LastAcknowledged) => Ok(vec![cluster.last_acknowledged().unwrap_or(0)]),
    }
}

/// Whom to take for the primary.
#[derive(Default)]
pub(crate) struct Primaries {
    pub(crate) nodes: Vec<usize>,
    /// Nobody held itself to be primary.
    pub(crate) guessed: bool,
}

/// The nodes that hold themselves to be primary; at least one. While none does, an election is under way:
/// this waits for its end, and after [`ELECTION_MS_MAX`] takes the first node, so that the fault bites.
pub(crate) async fn primaries(cluster: &dyn Cluster) -> Result<Primaries, String> {
    let deadline = Instant::now() + Duration::from_millis(ELECTION_MS_MAX);
    loop {
        let nodes = cluster.primaries().await.ok_or("the target cannot say which node is primary")?;
        if !nodes.is_empty() {
            let nodes = checked(&nodes, cluster.spec().nodes.len())?;
            return Ok(Primaries { nodes, guessed: false });
        }
        if Instant::now() >= deadline {
            return Ok(Primaries { nodes: vec![0], guessed: true });
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

/// The nodes in ascending order, each once, if there are any and all exist.
pub(crate) fn checked(nodes: &[usize], count: usize) -> Result<Vec<usize>, String> {
    if let Some(node) = nodes.iter().find(|&&node| node >= count) {
        return Err(format!("there is no node {node}: the nodes are 0 to {}", count.saturating_sub(1)));
    }
    if nodes.is_empty() {
        return Err("no node is named".to_owned());
    }
    Ok(nodes.iter().copied().collect::<BTreeSet<_>>().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_can_be_drawn_and_nobody_else() {
        for nodes in 1..=7 {
            let mut sizes = BTreeSet::new();
            let mut words = BTreeSet::new();
            for seed in 0..500 {
                let args = draw(&mut Rng::new(seed), nodes, seed % 2 == 0);
                match Args::deserialize(&args).unwrap().nodes {
                    Nodes::These(these) => {
                        assert_eq!(checked(&these, nodes).unwrap(), these, "sorted and distinct");
                        sizes.insert(these.len());
                    }
                    Nodes::Word(Word::All) => _ = words.insert("all"),
                    Nodes::Word(Word::Primary) => {
                        assert_eq!(seed % 2, 0, "only drawn if there is one");
                        words.insert("primary");
                    }
                    Nodes::Word(Word::LastAcknowledged) => _ = words.insert("last-acknowledged"),
                }
            }
            let expected: BTreeSet<usize> = (1..nodes).filter(|&size| size <= nodes / 2 + 1).collect();
            // A tie of an even cluster is neither minority nor majority.
            let expected = expected.into_iter().filter(|&size| size == 1 || 2 * size != nodes).collect();
            assert_eq!(sizes, expected, "{nodes} nodes");
            assert_eq!(words, BTreeSet::from(["all", "last-acknowledged", "primary"]), "{nodes} nodes");
        }
    }

    #[test]
    fn whom_people_name_is_whom_it_hits() {
        let read = |text: &str| {
            let mut words = Words::parse(text);
            read(&mut words, &mut Rng::new(1), 5, false).map(|whom| (whom, words.is_empty()))
        };
        assert_eq!(read("n1, n3"), Ok((Some(json!([0, 2])), true)));
        assert_eq!(read("all"), Ok((Some(json!("all")), true)));
        assert_eq!(read("one-way, last-acknowledged"), Ok((Some(json!("last-acknowledged")), false)));
        assert_eq!(read("100ms"), Ok((None, false)));
        for (text, count) in [("one", 1), ("2", 2), ("minority", 2), ("majority", 3)] {
            assert_eq!(read(text).unwrap().0.unwrap().as_array().unwrap().len(), count, "{text}");
        }
        for bad in ["n6", "n0", "6", "0", "primary"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nodes_named_by_hand_are_checked() {
        assert_eq!(checked(&[2, 0, 2], 3), Ok(vec![0, 2]));
        assert!(checked(&[3], 3).unwrap_err().contains("0 to 2"));
        assert!(checked(&[], 3).is_err());
        for bad in [json!({}), json!({"nodes": "some"}), json!({"nodes": [-1]}), json!(7)] {
            assert!(Args::deserialize(&bad).is_err(), "{bad}");
        }
    }
}
