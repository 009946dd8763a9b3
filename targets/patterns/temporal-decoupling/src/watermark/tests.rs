use super::*;

const WINDOW_MS: u64 = 100;

fn id(name: &str) -> Id {
    name.parse().unwrap()
}

fn saw(watermark: &mut Watermark, source: &str, timestamp: u64) -> u64 {
    watermark.saw(&id(source), timestamp, WINDOW_MS, SOURCES_NEEDED);
    watermark.at()
}

#[test]
fn one_source_alone_moves_nothing_however_far_it_is_ahead() {
    let mut watermark = Watermark::default();
    assert_eq!(saw(&mut watermark, "s1", 1_000_000), 0);
    watermark.passed(1_000_000, WINDOW_MS, SOURCES_NEEDED);
    assert_eq!(watermark.at(), 0);
    assert_eq!(saw(&mut watermark, "s2", 500), 400);
    assert_eq!(saw(&mut watermark, "s1", 9_000_000), 400);
    assert_eq!(saw(&mut watermark, "s3", 700), 600);
}

#[test]
fn time_that_passes_counts_from_the_agreed_moment() {
    let mut watermark = Watermark::default();
    saw(&mut watermark, "s1", 500);
    saw(&mut watermark, "s2", 500);
    watermark.passed(250, WINDOW_MS, SOURCES_NEEDED);
    assert_eq!(watermark.at(), 650);
    // Shorter, as another leader measured it.
    watermark.passed(50, WINDOW_MS, SOURCES_NEEDED);
    assert_eq!(watermark.at(), 650);
    assert_eq!(saw(&mut watermark, "s2", 700), 650, "it never goes back");
}

#[test]
fn it_never_goes_back_and_is_never_ahead_of_two_sources() {
    let mut draws = crate::machine::tests::Draws::new(7);
    for _ in 0..100 {
        let mut watermark = Watermark::default();
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for _ in 0..50 {
            let (source, timestamp, before) = (draws.below(4), draws.below(2_000), watermark.at());
            let mark = seen.entry(source).or_default();
            *mark = timestamp.max(*mark);
            let now = saw(&mut watermark, &format!("s{source}"), timestamp);
            let ahead = seen.values().filter(|mark| **mark >= now + WINDOW_MS).count();
            assert!(now >= before && (now == 0 || ahead >= SOURCES_NEEDED));
        }
    }
}
