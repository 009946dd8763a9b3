//! Who there is, and who is asked for how often.

use ordeal_core::{Plan, Rng};

use super::REGIONS;

/// Customers for each key of the plan.
const CUSTOMERS_PER_KEY: u64 = 4;
/// How much of the load is for the first region.
const HOT: f64 = 0.64;
/// Within a region the n-th most wanted customer is asked for as often as the first one divided by n to this power (Zipf).
/// No single one is so wanted that the load could not be even.
const ZIPF: f64 = 0.5;

/// The customer of this number, `region/id`. Every second one is of the hot region.
fn name(n: u64) -> String {
    let others = REGIONS.len() as u64 - 1;
    let region = if n.is_multiple_of(2) { 0 } else { 1 + (n / 2) % others };
    format!("{}/c{n:03}", REGIONS[region as usize])
}

/// All customers, with the share of the load that is for each. Neighbours are not equally wanted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Customers(pub(super) Vec<(String, f64)>);

impl Customers {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut rng = Rng::fork(plan.seed, "customers");
        let mut names: Vec<String> = (0..plan.keys.max(1) * CUSTOMERS_PER_KEY).map(name).collect();
        rng.shuffle(&mut names);
        let mut customers = Vec::new();
        for region in REGIONS {
            let of_region = names.iter().filter(|name| name.starts_with(&format!("{region}/")));
            let ranked: Vec<(&String, f64)> =
                of_region.zip(1..).map(|(name, rank)| (name, f64::from(rank).powf(-ZIPF))).collect();
            let sum: f64 = ranked.iter().map(|(_, weight)| weight).sum();
            let others = (REGIONS.len() - 1) as f64;
            let share = if region == REGIONS[0] { HOT } else { (1.0 - HOT) / others };
            customers.extend(ranked.into_iter().map(|(name, weight)| (name.clone(), share * weight / sum)));
        }
        Customers(customers)
    }

    /// One of them, by chance.
    pub(super) fn draw(&self, rng: &mut Rng) -> String {
        let mut left = rng.below(1 << 32) as f64 / (1_u64 << 32) as f64;
        for (name, share) in &self.0 {
            left -= share;
            if left < 0.0 {
                return name.clone();
            }
        }
        self.0.last().map_or_else(String::new, |(name, _)| name.clone())
    }

    /// So many of them, each as often as its share, and evenly spread: no chance, so that what it leads to can be judged.
    pub(super) fn evenly(&self, count: usize) -> Vec<String> {
        let mut due = vec![0.0; self.0.len()];
        let next = |_| {
            due.iter_mut().zip(&self.0).for_each(|(due, (_, share))| *due += share);
            let most = (0..due.len()).max_by(|a, b| due[*a].total_cmp(&due[*b])).unwrap_or(0);
            due[most] -= 1.0;
            self.0[most].0.clone()
        };
        (0..count).map(next).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_load_is_skewed_and_can_be_even() {
        let plan = Plan { keys: 20, seed: 3, ..Plan::nothing("telecom", "memory") };
        let customers = Customers::of(&plan);
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for name in customers.evenly(2_000) {
            *asked.entry(name).or_default() += 1;
        }
        let hot: usize = asked.iter().filter(|(name, _)| name.starts_with("r1/")).map(|(_, n)| n).sum();
        assert!((hot as f64 / 2_000.0 - HOT).abs() < 0.02, "{hot}");
        assert!(asked.values().all(|n| *n < 200), "one alone is a tenth of the load");
        let mut rng = Rng::new(1);
        let drawn = (0..2_000).filter(|_| customers.draw(&mut rng).starts_with("r1/")).count();
        assert!((drawn as f64 / 2_000.0 - HOT).abs() < 0.05, "{drawn}");
        assert!((customers.0.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
