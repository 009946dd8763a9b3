//! Measures judges over the [suite](ordeal_simulator::suite).
//!
//! Each row is judged in a process of its own, so that its peak of memory is its own: a program that wants
//! to measure calls [`run`], which starts that program again for each row; there it calls [`child`]. The
//! history is simulated while it is judged and never in memory as a whole, unless the judge asks for it,
//! and only the judge's own time counts. What is printed is up to the program.

mod measure;
mod process;
mod table;

pub use measure::{Measured, child};
pub use process::run;
pub use table::{Tally, header, line};

use ordeal_core::Checker;

/// The judge of the model of this name, if there is one.
pub type Judges = fn(&str) -> Option<Box<dyn Checker>>;

/// Whether a name fits a pattern in which `*` stands for anything.
pub fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let mut ends = (0..=name.len()).filter(|&i| name.is_char_boundary(i));
            ends.any(|skipped| fits(rest, &name[skipped..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, expected) in [
            ("R-1k-c10", "R-1k-c10", true),
            ("R-*", "R-1k-c10", true),
            ("R-*", "XR-1k", false),
            ("*-bad", "R-10k-c10-bad", true),
            ("*-10k-*", "R-10k-c10", true),
            ("*-10k-*", "R-100k-c10", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
