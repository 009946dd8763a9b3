//! `fd-limit`: nodes can open hardly any more files and connections than they have open: too many open
//! files (`EMFILE`), as after a leak.
//!
//! Mechanism: the limit on file descriptors, for each process such that `spare` numbers are free below it;
//! proof: see [`crate::limits`]. What is open stays open and can be used.
//! Args: [`whom`] and `"spare": 2`.

use ordeal_core::Words;

use crate::limits::{Resource, Sort, descriptors};

const SPARE_MAX: u64 = 1_000;

pub(crate) static SORT: Sort = Sort {
    name: "fd-limit",
    about: "let nodes open hardly any more files and connections than they have open now",
    resource: Resource::FileDescriptors,
    expected: r#"{"nodes": …, "spare": 0 to 1000}"#,
    words: "spare=2",
    key: "spare",
    most: SPARE_MAX,
    draw: |rng| rng.between(0, 8),
    take,
    limit: |pid, spare| Some(limit_with(&descriptors(pid)?, spare)),
};

fn take(words: &mut Words) -> Result<Option<u64>, String> {
    words.value("spare", "a number up to 1000", |text| text.parse().ok().filter(|&spare| spare <= SPARE_MAX))
}

/// The limit below which so many numbers are free. The kernel always gives out the lowest free number.
fn limit_with(open: &[u64], spare: u64) -> u64 {
    // Between two open ones lie free ones.
    let mut limit = spare;
    for _ in open.iter().enumerate().take_while(|&(before, &number)| number <= spare + before as u64) {
        limit += 1;
    }
    limit
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;

    use super::*;

    #[test]
    fn exactly_the_spare_numbers_are_free_below_the_limit() {
        assert_eq!(limit_with(&[0, 1, 2], 0), 3);
        assert_eq!(limit_with(&[0, 1, 2], 2), 5);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 0), 3);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 1), 4);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 3), 8);
        assert_eq!(limit_with(&[], 4), 4);
    }

    #[test]
    fn no_gap_is_miscounted() {
        let rng = &mut Rng::new(1);
        for _ in 0..1_000 {
            let open: Vec<u64> = (0..40).filter(|_| rng.chance(0.6)).collect();
            let spare = rng.below(9);
            let limit = limit_with(&open, spare);
            assert_eq!(limit - open.iter().filter(|&&n| n < limit).count() as u64, spare, "{open:?}");
        }
    }
}
