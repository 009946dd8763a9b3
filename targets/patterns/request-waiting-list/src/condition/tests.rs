//! Votes stepped by hand and at random.

use super::*;

/// A few random bits; the sequence follows from the seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    /// Some of `0..n`, at least `least`, in any order.
    fn some(&mut self, n: usize, least: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for at in (1..n).rev() {
            all.swap(at, self.below(at + 1));
        }
        all.truncate(least + self.below(n - least + 1));
        all
    }
}

fn details(price: u64) -> Details {
    Details { price, volume: 1, counterparty: "p".parse().unwrap() }
}

fn voted(price: u64) -> TradeCopy {
    TradeCopy { vote: Some(details(price)), ..TradeCopy::default() }
}

fn votes(nodes: usize, prices: &[u64], bug: Option<Bug>) -> Option<Decision> {
    let mut tally = Tally::new(nodes, details(1), bug);
    prices.iter().enumerate().filter_map(|(node, price)| tally.take(node, voted(*price))).next()
}

#[test]
fn a_majority_of_the_same_details_confirms_and_a_full_split_rejects() {
    let confirmed = |price| Some(Decision::Confirmed(details(price)));
    assert_eq!(votes(5, &[1, 1], None), None);
    assert_eq!(votes(5, &[1, 1, 1], None), confirmed(1));
    assert_eq!(votes(5, &[1, 2, 1, 2], None), None);
    assert_eq!(votes(5, &[1, 2, 1, 2, 2], None), confirmed(2));
    assert_eq!(votes(5, &[1, 2, 3, 4], None), None, "rejected for certain, but a read could not tell");
    assert_eq!(votes(5, &[1, 2, 1, 2, 3], None), Some(Decision::Rejected));
    assert_eq!(votes(4, &[1, 2, 1, 2], None), Some(Decision::Rejected));
}

#[test]
fn a_node_counts_once_and_what_it_knows_counts_at_once() {
    let mut tally = Tally::new(5, details(1), None);
    for _ in 0..9 {
        assert_eq!(tally.take(3, voted(1)), None);
    }
    assert_eq!(tally.take(0, TradeCopy::default()), None, "it has not voted");
    let known = TradeCopy { decision: Some(Decision::Rejected), ..voted(1) };
    assert_eq!(tally.take(4, known), Some(Decision::Rejected));
}

#[test]
fn the_high_water_mark_is_every_settlement_node() {
    let mut mark = Condition::Kept(Mark::high_water(2, None));
    assert_eq!(mark.take(3, Confirmation::Kept), None);
    assert_eq!(mark.take(3, Confirmation::Kept), None, "again");
    assert_eq!(mark.heard(), (1, 2));
    assert_eq!(mark.take(4, Confirmation::Kept), Some(Outcome::Reached));
    let mut below = Condition::Kept(Mark::high_water(2, Some(Bug::BelowHighWaterMark)));
    assert_eq!(below.take(3, Confirmation::Kept), Some(Outcome::Reached));
}

#[test]
fn bugs_count_otherwise() {
    let confirmed = Some(Decision::Confirmed(details(1)));
    assert_eq!(votes(5, &[1], Some(Bug::FirstConfirmation)), confirmed);
    assert_eq!(votes(5, &[1, 2, 3], Some(Bug::MismatchCounted)), confirmed);
    assert_eq!(votes(5, &[1, 2], Some(Bug::MismatchRejects)), Some(Decision::Rejected));
    let mut twice = Tally::new(5, details(1), Some(Bug::CountedTwice));
    assert_eq!((twice.take(0, voted(1)), twice.take(1, voted(1))), (None, None));
    assert_eq!(twice.take(1, voted(1)), confirmed);
}

#[test]
fn a_look_tells_what_is_certain() {
    let seen = |copies: &[TradeCopy]| look(5, &copies.iter().cloned().enumerate().collect::<Vec<_>>());
    let none = TradeCopy::default;
    assert_eq!(seen(&[voted(1), voted(1)]), Look::TooFew);
    assert_eq!(seen(&[none(), none(), none()]), Look::Undecided { known: false });
    // The two that were not heard may have voted for it too.
    assert_eq!(seen(&[voted(1), none(), none()]), Look::Unclear(details(1)));
    assert_eq!(seen(&[voted(1), none(), none(), none()]), Look::Undecided { known: true });
    assert_eq!(seen(&[voted(1), voted(1), voted(1)]), Look::Decided(Decision::Confirmed(details(1))));
    assert_eq!(seen(&[voted(1), voted(2), voted(3), voted(4)]), Look::Unclear(details(4)));
    let knows = TradeCopy { decision: Some(Decision::Rejected), ..none() };
    assert_eq!(seen(&[none(), none(), knows]), Look::Decided(Decision::Rejected));
}

/// Coordinators with different details ask any nodes in any order, messages are lost and doubled, nodes learn what was
/// decided or do not, and in between somebody looks at some majority.
#[test]
fn whoever_counts_finds_the_same_and_no_look_forgets_a_decision() {
    let mut decisions = [0; 2];
    for seed in 0..600 {
        let mut draw = Draw(seed);
        let nodes = 3 + draw.below(6);
        let mut copies = vec![TradeCopy::default(); nodes];
        let proposals = 1 + draw.below(4);
        let mut tallies: Vec<Tally> =
            (0..proposals as u64).map(|p| Tally::new(nodes, details(p), None)).collect();
        let mut decided: Option<Decision> = None;
        for _ in 0..nodes * 8 {
            let (node, by) = (draw.below(nodes), draw.below(proposals));
            let copy = &mut copies[node];
            if copy.vote.is_none() && copy.decision.is_none() {
                copy.vote = Some(details(by as u64));
            }
            let found = if draw.below(4) == 0 { None } else { tallies[by].take(node, copy.clone()) };
            if let Some(found) = found {
                assert_eq!(*decided.get_or_insert_with(|| found.clone()), found, "seed {seed}");
                let told = draw.below(nodes);
                copies[told].decision = Some(found);
            }
            let heard = draw.some(nodes, majority(nodes));
            let heard: Vec<_> = heard.into_iter().map(|node| (node, copies[node].clone())).collect();
            match (look(nodes, &heard), &decided) {
                (Look::Decided(seen), _) => {
                    assert_eq!(*decided.get_or_insert_with(|| seen.clone()), seen, "seed {seed}");
                }
                (Look::Undecided { .. }, decided) => assert_eq!(*decided, None, "seed {seed}"),
                (Look::Unclear(_), _) => {}
                (Look::TooFew, _) => panic!("a majority is enough"),
            }
        }
        match decided {
            Some(Decision::Confirmed(_)) => decisions[0] += 1,
            Some(Decision::Rejected) => decisions[1] += 1,
            None => {}
        }
    }
    assert!(decisions[0] > 100 && decisions[1] > 30, "{decisions:?}");
}
