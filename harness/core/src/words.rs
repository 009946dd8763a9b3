//! The words in brackets behind a fault's name, as people write them: `delay(100ms, jitter=20ms, n1)`.

use crate::Rng;

/// Words that are taken one by one; what nobody takes is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    left: Vec<String>,
}

impl Words {
    /// Splits at commas.
    pub fn parse(text: &str) -> Self {
        let words = text.split(',').map(|word| word.trim().to_owned());
        Words { left: words.filter(|word| !word.is_empty()).collect() }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// Takes this word if it is there.
    pub fn flag(&mut self, name: &str) -> bool {
        self.take(|word| (word == name).then_some(())).is_some()
    }

    /// Takes the first word that can be read.
    pub fn take<T>(&mut self, mut read: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let (at, value) = self.left.iter().enumerate().find_map(|(at, word)| Some((at, read(word)?)))?;
        self.left.remove(at);
        Some(value)
    }

    /// Takes `key=value`, and reads the value.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn value<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let found = self.take(|word| {
            let (name, value) = word.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        });
        let Some(text) = found else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| format!("`{key}={text}`: expected {expected}"))
    }

    /// Refuses whatever is left.
    ///
    /// # Errors
    /// The first word that nobody took, and what the fault takes.
    pub fn finish(self, expected: &str) -> Result<(), String> {
        match self.left.first() {
            None => Ok(()),
            Some(word) => Err(format!("`{word}` is not understood; expected {expected}")),
        }
    }
}

/// Reads a length of time without a sign, `250us`, `100ms`, `1.5s`, `2m` or `3h`, in microseconds.
pub fn time_us(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(digits);
    let unit_us = match unit {
        "us" => 1.0,
        "ms" => 1_000.0,
        "s" => 1_000_000.0,
        "m" => 60_000_000.0,
        "h" => 3_600_000_000.0,
        _ => return None,
    };
    let us = number.parse::<f64>().ok()? * unit_us;
    // A year: far beyond any use, far below what overflows.
    (us <= 3.2e13).then_some(us.round() as u64)
}

/// Reads a share, `25%` or `0.25`, as 0 to 1.
pub fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None if text.contains('.') => text.parse::<f64>().ok()?,
        None => return None,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// Draws a whole number whose logarithm is spread evenly: small ones come as often as large ones.
pub fn log_between(rng: &mut Rng, least: u64, most: u64) -> u64 {
    let (low, high) = ((least.max(1) as f64).ln(), (most.max(1) as f64).ln());
    let part = rng.below(1 << 32) as f64 / (1_u64 << 32) as f64;
    ((low + (high - low) * part).exp().round() as u64).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_once_and_what_is_left_is_refused() {
        let mut words = Words::parse("n1, 100ms, jitter = 20ms, one-way");
        assert!(words.flag("one-way") && !words.flag("one-way"));
        assert_eq!(words.value("jitter", "a time", time_us), Ok(Some(20_000)));
        assert_eq!(words.take(time_us), Some(100_000));
        assert_eq!(words.value("path", "a path", |p| Some(p.to_owned())), Ok(None));
        assert!(words.clone().finish("nodes").unwrap_err().contains("`n1`"));
        assert!(words.flag("n1") && words.is_empty());
        assert_eq!(words.finish("nodes"), Ok(()));
        let error = Words::parse("chance=often").value("chance", "a share", share).unwrap_err();
        assert!(error.contains("chance=often") && error.contains("a share"), "{error}");
    }

    #[test]
    fn times_and_shares_are_read_strictly() {
        assert_eq!(time_us("250us"), Some(250));
        assert_eq!(time_us("1.5s"), Some(1_500_000));
        for bad in ["", "5", "s", "-1s", "1 s", "1d", "99999999999h", "..s"] {
            assert_eq!(time_us(bad), None, "{bad}");
        }
        assert_eq!(share("25%"), Some(0.25));
        assert_eq!(share("0.5"), Some(0.5));
        for bad in ["1", "101%", "-1%", "1.5", "half", "%"] {
            assert_eq!(share(bad), None, "{bad}");
        }
    }

    #[test]
    fn small_and_large_are_drawn_alike() {
        let rng = &mut Rng::new(1);
        let drawn: Vec<u64> = (0..1_000).map(|_| log_between(rng, 10, 1_000)).collect();
        let small = drawn.iter().filter(|n| **n < 100).count();
        assert!((400..600).contains(&small), "{small}");
        assert!(drawn.iter().all(|n| (10..=1_000).contains(n)));
        assert_eq!(log_between(rng, 7, 7), 7);
    }
}
