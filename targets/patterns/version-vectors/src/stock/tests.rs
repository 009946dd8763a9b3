//! Warehouses stepped by hand and at random, against a model that remembers every update.

use super::*;
use crate::rule::{Priority, Rule, rule_of};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A few random bits; the sequence follows from the seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// An update as the model remembers it: what it had seen, and what it did.
#[derive(Clone)]
struct Done {
    dot: Dot,
    seen: Vector,
    delta: i64,
    counted: Option<i64>,
}

/// A warehouse: its state, and all stock-takes that it knows.
#[derive(Clone, Default)]
struct Site {
    stock: Stock,
    log: Vec<StockTake>,
}

impl Site {
    fn next(&self, name: &str) -> Dot {
        Dot { warehouse: name.to_owned(), number: self.stock.vector.get(name) + 1 }
    }

    fn move_by(&mut self, name: &str, delta: i64) {
        self.stock.move_by(name, self.next(name).number, delta);
    }

    fn count(&mut self, name: &str, counted: i64) -> StockTake {
        let take = self.stock.count(self.next(name), sku(), counted, 0);
        self.log.push(take.clone());
        take
    }

    fn pull(&mut self, other: &Site) {
        let news = other.stock.news(sku(), &self.stock.vector, other.log.clone());
        self.log.extend(self.stock.merge(news, None));
    }

    fn level(&self, rule: &Rule) -> i64 {
        rule.level(&self.stock, None)
    }
}

fn sku() -> Id {
    "sku".parse().unwrap()
}

fn priority() -> Rule {
    Rule::Priority { warehouse: "b".to_owned() }
}

fn merged(a: &Site, b: &Site) -> Site {
    let mut a = a.clone();
    a.pull(b);
    a
}

/// A random history of three warehouses, and every update in it.
fn history(seed: u64, steps: u64) -> (Vec<Site>, Vec<Done>) {
    let mut draw = Draw(seed);
    let mut sites = vec![Site::default(); NAMES.len()];
    let mut done = Vec::new();
    for _ in 0..steps {
        let at = draw.below(3) as usize;
        let (site, name) = (&mut sites[at], NAMES[at]);
        let dot = site.next(name);
        let amount = draw.below(41) as i64 - 20;
        let seen = site.stock.vector.clone();
        match draw.below(10) {
            0..=4 => {
                site.move_by(name, amount);
                done.push(Done { dot, seen, delta: amount, counted: None });
            }
            5..=6 => {
                site.count(name, amount + 20);
                done.push(Done { dot, seen, delta: 0, counted: Some(amount + 20) });
            }
            _ => {
                let other = sites[draw.below(3) as usize].clone();
                sites[at].pull(&other);
            }
        }
    }
    (sites, done)
}

/// The level by the definition: no state, just the updates that the vector contains.
fn level_by_definition(seen: &Vector, done: &[Done], rule: &Rule) -> i64 {
    let known: Vec<&Done> = done.iter().filter(|update| seen.contains(&update.dot)).collect();
    let takes = known.iter().filter(|update| update.counted.is_some());
    let in_force = takes
        .filter(|take| !known.iter().any(|other| other.counted.is_some() && other.seen.contains(&take.dot)));
    let level = |take: &Done| {
        let unseen = known.iter().filter(|update| !take.seen.contains(&update.dot));
        take.counted.unwrap_or(0) + unseen.map(|update| update.delta).sum::<i64>()
    };
    let levels: Vec<(&str, i64)> = in_force.map(|take| (take.dot.warehouse.as_str(), level(take))).collect();
    if let Rule::Priority { warehouse } = rule
        && let Some((_, level)) = levels.iter().find(|(name, _)| name == warehouse)
    {
        return *level;
    }
    let lowest = levels.iter().map(|(_, level)| *level).min();
    lowest.unwrap_or_else(|| known.iter().map(|update| update.delta).sum())
}

#[test]
fn merging_is_commutative_associative_and_idempotent() {
    for seed in 0..400 {
        let (sites, _) = history(seed, 30);
        let [a, b, c] = &sites[..] else { panic!() };
        assert_eq!(merged(a, a).stock, a.stock);
        let ab = merged(a, b);
        assert_eq!(ab.stock, merged(b, a).stock);
        assert_eq!(merged(&ab, b).stock, ab.stock);
        assert_eq!(merged(&ab, c).stock, merged(a, &merged(b, c)).stock);
    }
}

#[test]
fn states_and_levels_are_what_the_updates_make_them() {
    for seed in 0..400 {
        let (sites, done) = history(seed, 40);
        for site in &sites {
            for rule in [Rule::Merge, priority()] {
                assert_eq!(site.level(&rule), level_by_definition(&site.stock.vector, &done, &rule));
            }
            for (at, one) in site.log.iter().enumerate() {
                let update = |take: &StockTake| done.iter().find(|done| done.dot == take.dot).unwrap();
                let known = conflicts(one, &site.log[..at], None);
                for other in &site.log[..at] {
                    let neither =
                        !update(one).seen.contains(&other.dot) && !update(other).seen.contains(&one.dot);
                    assert_eq!(known.contains(&other.dot), neither);
                }
            }
        }
    }
}

#[test]
fn movements_while_cut_off_add_up_and_a_count_takes_in_only_what_it_had_seen() {
    let (mut a, mut b) = (Site::default(), Site::default());
    a.move_by("a", 10);
    b.pull(&a);
    b.move_by("b", -4);
    a.count("a", 7);
    a.move_by("a", 1);
    b.pull(&a);
    a.pull(&b);
    assert_eq!((a.level(&Rule::Merge), b.level(&Rule::Merge)), (4, 4), "7 were counted, + 1 - 4");
}

#[test]
fn concurrent_counts_stay_until_somebody_counts_who_has_seen_them() {
    let (mut a, mut b) = (Site::default(), Site::default());
    let (one, other) = (a.count("a", 7), b.count("b", 9));
    b.pull(&a);
    a.pull(&b);
    assert_eq!(a.stock.siblings(), [one.clone(), other.clone()]);
    assert_eq!(conflicts(&one, &[other], None).len(), 1);
    assert_eq!((a.level(&Rule::Merge), a.level(&priority())), (7, 9));
    let settled = b.count("b", 8);
    a.pull(&b);
    assert_eq!((a.stock.siblings(), a.level(&priority())), (&[settled][..], 8));
}

#[test]
fn each_defect_does_what_it_says() {
    let (mut a, mut b) = (Site::default(), Site::default());
    a.move_by("a", 10);
    b.pull(&a);
    a.move_by("a", -3);
    a.count("a", 5);
    a.move_by("a", 1);
    b.move_by("b", 2);
    b.count("b", 50);
    let merge = |bug| {
        let mut stock = b.stock.clone();
        stock.merge(a.stock.news(sku(), &stock.vector, a.log.clone()), Some(bug));
        stock
    };
    let right = merged(&b, &a).stock;
    for bug in [
        Bug::LastWriterWins,
        Bug::VectorNotMerged,
        Bug::MergeByMaximum,
        Bug::SiblingDropped,
        Bug::CountWipesMovements,
    ] {
        assert_ne!(merge(bug), right, "{bug:?}");
    }
    assert_ne!(Rule::Merge.level(&right, Some(Bug::MaximumInsteadOfSum)), Rule::Merge.level(&right, None));
    assert_ne!(priority().level(&right, Some(Bug::PriorityIgnored)), priority().level(&right, None));
    let (first, mut second) = (a.log[0].clone(), b.clone());
    second.pull(&a);
    let later = second.count("b", 1);
    assert_eq!(conflicts(&later, std::slice::from_ref(&first), None), []);
    assert_eq!(conflicts(&later, &[first], Some(Bug::ConflictOnEveryCount)).len(), 1);
}

#[test]
fn rules_go_by_the_beginning_of_the_name() {
    let priorities: Vec<Priority> = vec!["p=b".parse().unwrap()];
    assert_eq!(rule_of(&"p1".parse().unwrap(), &priorities), priority());
    assert_eq!(rule_of(&"m1".parse().unwrap(), &priorities), Rule::Merge);
    assert!("p".parse::<Priority>().is_err() && "p=".parse::<Priority>().is_err());
}
