//! Which links a fault of links hits: drawn at planning time, resolved when it is injected.
//!
//! In a plan, behind `"links"`: `"all"` (every link between nodes), `{"nodes": [0], "direction": "both"}`
//! (the links of these nodes with the other nodes), `{"pairs": [[0, 1]]}` (from, to), `"clients"` or
//! `{"clients": [0, 2], "direction": "to"}` (the links of clients with these nodes), `{"primary": "from"}`
//! (like `nodes`, of whoever is primary then). A direction is seen from the named nodes.

use ordeal_core::{Cluster, End, Rng, Words};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ends::{Links, between_nodes, with_clients};
use crate::whom;

const EXPECTED: &str = r#"expected "all", "clients", {"nodes": [0], "direction": "both", "from" or "to"}, {"pairs": [[0, 1]]}, {"clients": [0, 2], "direction": …} or {"primary": "both", "from" or "to"}"#;
/// What [`read`] reads.
pub(crate) const WORDS: &str = "which links: node names (n1, n3), a number of nodes, one, minority, majority or primary, each with from or to for one direction; n1>n2 or n1-n2 for single links; all; clients, also with node names";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    #[default]
    Both,
    From,
    To,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Which {
    Word(Word),
    Nodes(Nodes),
    Pairs(Pairs),
    Clients(Clients),
    Primary(Primary),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    All,
    Clients,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nodes {
    nodes: Vec<usize>,
    #[serde(default)]
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pairs {
    pairs: Vec<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clients {
    clients: Vec<usize>,
    #[serde(default)]
    direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Primary {
    primary: Direction,
}

/// The links that are meant now; at least one. With them, what else is to be told: who is primary.
pub(crate) async fn resolve(which: &Value, cluster: &dyn Cluster) -> Result<(Links, Value), String> {
    let parsed = Which::deserialize(which).map_err(|_| format!("{EXPECTED}, found {which}"))?;
    let mut told = json!({});
    let primaries = match parsed {
        Which::Primary(_) => {
            let primaries = whom::primaries(cluster).await?;
            match primaries.guessed {
                true => told["primary_unknown"] = json!(true),
                false => told["primaries"] = json!(primaries.nodes),
            }
            primaries.nodes
        }
        _ => Vec::new(),
    };
    let links = links(&parsed, &primaries, cluster.spec().nodes.len());
    Ok((links.map_err(|why| format!("{why}; {EXPECTED}, found {which}"))?, told))
}

fn links(which: &Which, primaries: &[usize], nodes: usize) -> Result<Links, String> {
    let links: Links = match which {
        Which::Word(Word::All) => between_nodes(nodes).collect(),
        Which::Word(Word::Clients) => with_clients(0..nodes).collect(),
        Which::Nodes(Nodes { nodes: these, direction }) => of_nodes(these, *direction, nodes)?,
        Which::Primary(Primary { primary }) => of_nodes(primaries, *primary, nodes)?,
        Which::Clients(Clients { clients, direction }) => {
            let these = whom::checked(clients, nodes)?;
            with_clients(these).filter(|(from, _)| goes(*direction, *from != End::Clients)).collect()
        }
        Which::Pairs(Pairs { pairs }) => {
            for &(from, to) in pairs {
                whom::checked(&[from, to], nodes)?;
                if from == to {
                    return Err(format!("node {from} has no link to itself"));
                }
            }
            pairs.iter().map(|&(from, to)| (End::Node(from), End::Node(to))).collect()
        }
    };
    if links.is_empty() { Err(format!("there is no such link among {nodes} nodes")) } else { Ok(links) }
}

fn of_nodes(these: &[usize], direction: Direction, nodes: usize) -> Result<Links, String> {
    let these = whom::checked(these, nodes)?;
    let named = |end| matches!(end, End::Node(node) if these.contains(&node));
    let meant = |&(from, to): &(End, End)| match direction {
        Direction::Both => named(from) || named(to),
        Direction::From => named(from),
        Direction::To => named(to),
    };
    Ok(between_nodes(nodes).filter(meant).collect())
}

/// Whether a link is meant that leaves the named node, or enters it.
fn goes(direction: Direction, leaves: bool) -> bool {
    match direction {
        Direction::Both => true,
        Direction::From => leaves,
        Direction::To => !leaves,
    }
}

/// Draws mostly all links, or those of one node; now and then some with clients, or a single one.
pub(crate) fn draw(rng: &mut Rng, nodes: usize, has_primary: bool, with_clients: bool) -> Value {
    let node = rng.below(nodes as u64) as usize;
    let direction = json!(*rng.pick(&[Direction::Both, Direction::Both, Direction::From, Direction::To]));
    if nodes < 2 {
        return json!({ "clients": [node], "direction": direction });
    }
    let mut choices = vec!["all", "all", "all", "one", "one", "one", "pair"];
    choices.extend(with_clients.then_some("clients"));
    if has_primary {
        choices.extend(["primary", "primary"]);
    }
    match *rng.pick(&choices) {
        "one" => json!({ "nodes": [node], "direction": direction }),
        "clients" => json!({ "clients": [node], "direction": direction }),
        "primary" => json!({ "primary": direction }),
        "pair" => {
            let other = (node + rng.between(1, nodes as u64 - 1) as usize) % nodes;
            json!({ "pairs": [[node, other]] })
        }
        _ => json!("all"),
    }
}

/// Takes the words that say which links, if there are any. The answer is what stands behind `"links"`.
pub(crate) fn read(
    words: &mut Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
) -> Result<Option<Value>, String> {
    let pairs = read_pairs(words, nodes)?;
    if !pairs.is_empty() {
        return Ok(Some(json!({ "pairs": pairs })));
    }
    let direction = match (words.flag("from"), words.flag("to")) {
        (true, false) => Some(Direction::From),
        (false, true) => Some(Direction::To),
        (true, true) => Some(Direction::Both),
        (false, false) => None,
    };
    let clients = words.flag("clients");
    let whom = whom::read(words, rng, nodes, has_primary)?;
    let which = match (whom, clients) {
        (None, false) if direction.is_none() => return Ok(None),
        (None, false) => return Err(format!("from or to whom? expected {WORDS}")),
        (None, true) if direction.is_none() => return Ok(Some(json!("clients"))),
        (None, true) => json!({ "clients": (0..nodes).collect::<Vec<_>>() }),
        (Some(Value::String(word)), _) if word == "last-acknowledged" => {
            return Err(format!("`{word}` does not say which links; expected {WORDS}"));
        }
        (Some(Value::String(word)), false) if word == "primary" => {
            return Ok(Some(json!({ "primary": direction.unwrap_or_default() })));
        }
        (Some(Value::String(_)), true) => {
            return Err("the links of clients are those with all nodes, or with named ones".to_owned());
        }
        (Some(Value::String(_)), false) if direction.is_some() => {
            return Err("all links go both ways".to_owned());
        }
        (Some(word @ Value::String(_)), false) => return Ok(Some(word)),
        (Some(these), true) => json!({ "clients": these }),
        (Some(these), false) => json!({ "nodes": these }),
    };
    let mut which = which;
    which["direction"] = json!(direction.unwrap_or_default());
    Ok(Some(which))
}

/// Takes all of `n1>n2` and `n1-n2`.
pub(crate) fn read_pairs(words: &mut Words, nodes: usize) -> Result<Vec<(usize, usize)>, String> {
    let node = |text: &str| text.trim().strip_prefix('n')?.parse::<usize>().ok();
    let mut pairs = Vec::new();
    while let Some((from, to, both)) = words.take(|word| {
        let both = word.contains('-');
        let (from, to) = word.split_once(if both { '-' } else { '>' })?;
        Some((node(from)?, node(to)?, both))
    }) {
        let index = |number: usize| number.checked_sub(1).ok_or("nodes are n1, n2, …");
        let (from, to) = (index(from)?, index(to)?);
        whom::checked(&[from, to], nodes)?;
        pairs.push((from, to));
        if both {
            pairs.push((to, from));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(which: &Value, nodes: usize) -> Result<usize, String> {
        let parsed = Which::deserialize(which).map_err(|e| e.to_string())?;
        links(&parsed, &[1], nodes).map(|links| links.len())
    }

    #[test]
    fn each_way_of_saying_it_means_its_links() {
        for (which, links) in [
            (json!("all"), 20),
            (json!("clients"), 10),
            (json!({"nodes": [0]}), 8),
            (json!({"nodes": [0], "direction": "from"}), 4),
            (json!({"nodes": [0, 1], "direction": "to"}), 8),
            (json!({"nodes": [0, 1, 2, 3, 4]}), 20),
            (json!({"pairs": [[0, 1], [1, 0], [0, 1]]}), 2),
            (json!({"clients": [0, 2], "direction": "both"}), 4),
            (json!({"clients": [0, 2], "direction": "to"}), 2),
            (json!({"primary": "both"}), 8),
        ] {
            assert_eq!(count(&which, 5), Ok(links), "{which}");
        }
        let to = Which::deserialize(json!({"clients": [3], "direction": "to"})).unwrap();
        assert_eq!(links(&to, &[], 5), Ok(Links::from([(End::Clients, End::Node(3))])));
        for bad in [
            json!("some"),
            json!({"nodes": [5]}),
            json!({"nodes": []}),
            json!({"pairs": []}),
            json!({"pairs": [[1, 1]]}),
            json!({"nodes": [0], "pairs": [[0, 1]]}),
            json!({"nodes": [0], "direction": "up"}),
            json!({"primary": [0]}),
        ] {
            assert!(count(&bad, 5).is_err(), "{bad}");
        }
        assert!(count(&json!("all"), 1).is_err(), "one node has no links with nodes");
    }

    #[test]
    fn what_is_drawn_can_be_resolved() {
        for nodes in 1..=7 {
            for seed in 0..200 {
                let which = draw(&mut Rng::new(seed), nodes, seed % 2 == 0, true);
                assert!(count(&which, nodes.max(2)).is_ok(), "{which}");
                assert!(seed % 2 == 0 || which["primary"].is_null(), "{which}");
            }
        }
    }

    #[test]
    fn the_links_people_name_are_the_links_it_hits() {
        let read = |text: &str| {
            let mut words = Words::parse(text);
            let which = read(&mut words, &mut Rng::new(1), 5, true)?;
            words.finish("no more").map(|()| which)
        };
        for (text, which) in [
            ("n1, n3", json!({"nodes": [0, 2], "direction": "both"})),
            ("n1, from", json!({"nodes": [0], "direction": "from"})),
            ("primary, to", json!({"primary": "to"})),
            ("primary", json!({"primary": "both"})),
            ("all", json!("all")),
            ("clients", json!("clients")),
            ("clients, n2, to", json!({"clients": [1], "direction": "to"})),
            ("clients, from", json!({"clients": [0, 1, 2, 3, 4], "direction": "from"})),
            ("n1>n2, n3-n1", json!({"pairs": [[0, 1], [2, 0], [0, 2]]})),
        ] {
            assert_eq!(read(text), Ok(Some(which)), "{text}");
        }
        assert_eq!(read(""), Ok(None));
        for bad in
            ["from", "n6", "n1>n6", "n0-n1", "all, to", "clients, primary", "last-acknowledged", "n1>x"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
