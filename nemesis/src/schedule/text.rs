//! The textual form of a schedule: what people write behind `--faults`.
//!
//! ```text
//! partition, kill                                         drawn from the seed over the whole load
//! all, -disk                                              every kind that a system must survive, but disks
//! kill(majority) every 5s for 1s from 10s until 40s       again and again
//! partition(primary, one-way) at 3s, 12s for 2s; clock    at these times; and clocks are drawn besides
//! kill(n2) at 8s until end                                it stays down
//! ```
//!
//! Clauses are separated by `;`. One without a time is a list of names, each with or without words in
//! brackets; one with a time is a single fault.

use std::collections::BTreeSet;

use ordeal_core::Words;
use ordeal_core::words::time_us;

use crate::{Group, Kind, Severity, all, find};

/// How long a fault at a given time lasts if nothing is said.
const FOR_MS: u64 = 2_000;
/// More injections than this are a slip of the pen.
const STEPS_MAX: u64 = 100_000;

/// One fault that was asked for.
#[derive(Clone, Debug)]
pub struct Clause {
    /// Its kind.
    pub kind: &'static Kind,
    /// What stood in brackets.
    pub words: Words,
    /// When.
    pub when: When,
    /// Whether it was named itself, and not by a group or `all`: then it is an error if it cannot be had.
    pub by_name: bool,
}

/// When a fault is injected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Whenever the seed says.
    Drawn,
    /// At these times from the start of the load.
    At {
        /// Milliseconds each.
        at_ms: Vec<u64>,
        /// `None`: until the end of the load.
        for_ms: Option<u64>,
    },
    /// Again and again.
    Every {
        /// From one to the next.
        every_ms: u64,
        /// How long each lasts.
        for_ms: u64,
        /// The first.
        from_ms: u64,
        /// None begins after this; `None`: the end of the load.
        until_ms: Option<u64>,
    },
}

/// Reads a schedule.
///
/// # Errors
/// What is not understood, and what is expected.
pub fn parse(text: &str) -> Result<Vec<Clause>, String> {
    let mut clauses: Vec<Clause> = Vec::new();
    let mut without: BTreeSet<&str> = BTreeSet::new();
    for part in split(text, ';')?.into_iter().filter(|part| !part.is_empty()) {
        let Some((item, time)) = timing(part)? else {
            for item in split(part, ',')?.into_iter().filter(|item| !item.is_empty()) {
                match item.strip_prefix('-') {
                    Some(name) => without.extend(named(name.trim())?.iter().map(|kind| kind.name)),
                    None => clauses.extend(drawn(item)?),
                }
            }
            continue;
        };
        if split(item, ',')?.len() > 1 {
            return Err(format!("`{part}`: only one fault in a clause with a time; separate clauses by `;`"));
        }
        let (name, words) = brackets(item)?;
        let kind = find(name).ok_or_else(|| unknown(name))?;
        clauses.push(Clause { kind, words, when: time, by_name: true });
    }
    // What has a time of its own is meant.
    clauses.retain(|clause| clause.when != When::Drawn || !without.contains(clause.kind.name));
    // `all, kill` has one kill; `kill(n1), kill(n2)` would have two at a time.
    let mut once: Vec<Clause> = Vec::new();
    for clause in clauses {
        let same = |other: &&mut Clause| {
            other.kind.name == clause.kind.name && other.when == When::Drawn && clause.when == When::Drawn
        };
        match once.iter_mut().find(same) {
            None => once.push(clause),
            Some(other) if other.words == clause.words => other.by_name |= clause.by_name,
            Some(other) if other.words.is_empty() && !other.by_name => *other = clause,
            Some(_) => return Err(format!("`{}` stands there twice", clause.kind.name)),
        }
    }
    Ok(once)
}

/// The kinds that a name stands for.
fn named(name: &str) -> Result<Vec<&'static Kind>, String> {
    if let Some(kind) = find(name) {
        return Ok(vec![kind]);
    }
    let group = Group::ALL.iter().find(|group| group.name() == name);
    let kinds: Vec<&Kind> = match (name, group) {
        ("none", _) => Vec::new(),
        ("all", _) => all().iter().collect(),
        (_, Some(group)) => all().iter().filter(|kind| kind.group == *group).collect(),
        (_, None) => return Err(unknown(name)),
    };
    Ok(kinds.into_iter().filter(|kind| kind.severity == Severity::Survivable).collect())
}

fn unknown(name: &str) -> String {
    let kinds: Vec<_> = all().iter().map(|kind| kind.name).collect();
    let groups: Vec<_> = Group::ALL.iter().map(|group| group.name()).collect();
    let (kinds, groups) = (kinds.join(", "), groups.join(", "));
    format!("there is no fault `{name}`; there are: {kinds}; the groups {groups}; and all, none")
}

fn drawn(item: &str) -> Result<Vec<Clause>, String> {
    let (name, words) = brackets(item)?;
    let kinds = named(name)?;
    let by_name = find(name).is_some();
    if !by_name && !words.is_empty() {
        return Err(format!("`{name}` stands for several faults and takes nothing in brackets"));
    }
    let clause = |kind| Clause { kind, words: words.clone(), when: When::Drawn, by_name };
    Ok(kinds.into_iter().map(clause).collect())
}

/// A name, and the words in brackets behind it.
fn brackets(item: &str) -> Result<(&str, Words), String> {
    let item = item.trim();
    let Some((name, rest)) = item.split_once('(') else {
        return match item.contains(char::is_whitespace) {
            true => {
                Err(format!("`{item}`: expected a fault, with `at` or `every` behind it if it has a time"))
            }
            false => Ok((item, Words::default())),
        };
    };
    let words = rest.strip_suffix(')').ok_or_else(|| format!("`{item}` does not end with its bracket"))?;
    Ok((name.trim(), Words::parse(words)))
}

/// Splits where no bracket is open.
fn split(text: &str, at: char) -> Result<Vec<&str>, String> {
    let (mut parts, mut begin, mut open) = (Vec::new(), 0, 0_i32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ if c == at && open == 0 => {
                parts.push(text[begin..i].trim());
                begin = i + c.len_utf8();
            }
            _ => {}
        }
        if !(0..=1).contains(&open) {
            return Err(format!("`{text}`: brackets do not match"));
        }
    }
    if open != 0 {
        return Err(format!("`{text}`: a bracket is not closed"));
    }
    parts.push(text[begin..].trim());
    Ok(parts)
}

/// Splits a clause into the fault and its time; `None` if it has none.
fn timing(part: &str) -> Result<Option<(&str, When)>, String> {
    let after_brackets = part.rfind(')').map_or(0, |at| at + 1);
    let begin = [" at ", " every "].iter().filter_map(|word| part[after_brackets..].find(word)).min();
    let Some(begin) = begin else { return Ok(None) };
    let (item, time) = part.split_at(after_brackets + begin);
    let mut said = Said::default();
    let mut words = time.split([' ', ',']).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let mut times = Vec::new();
        while let Some(next) = words.peek().filter(|next| !KEYWORDS.contains(next)) {
            times.push(*next);
            words.next();
        }
        said.take(word, &times).map_err(|why| format!("`{part}`: {why}"))?;
    }
    said.when().map(|when| Some((item.trim(), when))).map_err(|why| format!("`{part}`: {why}"))
}

const KEYWORDS: [&str; 5] = ["at", "every", "for", "from", "until"];
const EXPECTED: &str =
    "expected `at 3s, 12s [for 2s | until end]` or `every 5s [for 2s] [from 1s] [until 30s]`";

/// What a clause says about time.
#[derive(Default)]
struct Said {
    at_ms: Vec<u64>,
    every_ms: Option<u64>,
    for_ms: Option<u64>,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    to_the_end: bool,
}

impl Said {
    fn take(&mut self, keyword: &str, times: &[&str]) -> Result<(), String> {
        if keyword == "until" && times == ["end"] {
            self.to_the_end = true;
            return Ok(());
        }
        let read = |time: &&str| time_us(time).map(|us| us / 1_000).ok_or_else(|| EXPECTED.to_owned());
        let times = times.iter().map(read).collect::<Result<Vec<u64>, _>>()?;
        let slot = match keyword {
            "at" if !times.is_empty() && self.at_ms.is_empty() => {
                self.at_ms = times;
                return Ok(());
            }
            "every" => &mut self.every_ms,
            "for" => &mut self.for_ms,
            "from" => &mut self.from_ms,
            "until" => &mut self.until_ms,
            _ => return Err(EXPECTED.to_owned()),
        };
        match times[..] {
            [time] if slot.is_none() => *slot = Some(time),
            _ => return Err(EXPECTED.to_owned()),
        }
        Ok(())
    }

    fn when(self) -> Result<When, String> {
        if self.for_ms == Some(0) || self.every_ms == Some(0) {
            return Err("a time of nothing".to_owned());
        }
        match self {
            Said { every_ms: None, from_ms: None, until_ms: None, mut at_ms, for_ms, to_the_end, .. }
                if !(at_ms.is_empty() || to_the_end && for_ms.is_some()) =>
            {
                at_ms.sort_unstable();
                let for_ms = if to_the_end { None } else { Some(for_ms.unwrap_or(FOR_MS)) };
                Ok(When::At { at_ms, for_ms })
            }
            Said { every_ms: Some(every_ms), at_ms, for_ms, from_ms, until_ms, .. } if at_ms.is_empty() => {
                let for_ms = for_ms.unwrap_or((every_ms / 2).max(1));
                if for_ms >= every_ms {
                    return Err("each would begin before the last one has ended".to_owned());
                }
                Ok(When::Every { every_ms, for_ms, from_ms: from_ms.unwrap_or(every_ms / 2), until_ms })
            }
            _ => Err(EXPECTED.to_owned()),
        }
    }
}

impl When {
    /// When each injection begins and how long it lasts, in a load of `duration_ms`; none for
    /// [`When::Drawn`]. What would last beyond the load is cut short.
    ///
    /// # Errors
    /// When one would begin after the load's end, or there are absurdly many.
    pub fn times(&self, duration_ms: u64) -> Result<Vec<(u64, u64)>, String> {
        let times: Vec<(u64, u64)> = match self {
            When::Drawn => Vec::new(),
            When::At { at_ms, for_ms } => at_ms
                .iter()
                .map(|&at| (at, for_ms.unwrap_or_else(|| duration_ms.saturating_sub(at))))
                .collect(),
            When::Every { every_ms, for_ms, from_ms, until_ms } => {
                let until = until_ms.unwrap_or(u64::MAX).min(duration_ms.saturating_sub(1));
                if until.saturating_sub(*from_ms) / every_ms > STEPS_MAX {
                    return Err(format!("more than {STEPS_MAX} injections"));
                }
                let begins = (0..).map(|i| from_ms + i * every_ms).take_while(|at| *at <= until);
                begins.map(|at| (at, *for_ms)).collect()
            }
        };
        if let Some((at, _)) = times.iter().find(|(at, _)| *at >= duration_ms) {
            return Err(format!("{at} ms is not before the end of the load, {duration_ms} ms"));
        }
        if times.is_empty() && *self != When::Drawn {
            return Err(format!("it never comes in a load of {duration_ms} ms"));
        }
        let within = |(at, length): (u64, u64)| (at, length.min(duration_ms - at).max(1));
        Ok(times.into_iter().map(within).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<&'static str> {
        parse(text).unwrap().iter().map(|clause| clause.kind.name).collect()
    }

    #[test]
    fn lists_groups_and_exceptions_are_read() {
        assert_eq!(names("partition, kill"), ["partition", "kill"]);
        assert_eq!(names("none"), Vec::<&str>::new());
        assert!(names("all").len() >= 3 && names("all").contains(&"pause"));
        assert!(!names("all, -process").contains(&"kill") && names("all, -process").contains(&"partition"));
        assert_eq!(names("process, -process; kill at 3s"), ["kill"]);
        assert_eq!(names("kill, kill"), ["kill"]);
        assert_eq!(names("all, kill"), names("all"));
        let clause = &parse("all, kill(majority)").unwrap()[0];
        assert!(clause.by_name && clause.words == Words::parse("majority"), "the precise one wins");
    }

    #[test]
    fn times_are_read() {
        let clauses = parse(
            "partition(primary, one-way) every 5s for 2s; kill(1) at 12s; pause at 1s, 500ms until end",
        )
        .unwrap();
        assert_eq!(clauses[0].words, Words::parse("primary,one-way"));
        assert_eq!(
            clauses[0].when,
            When::Every { every_ms: 5_000, for_ms: 2_000, from_ms: 2_500, until_ms: None }
        );
        assert_eq!(clauses[1].when, When::At { at_ms: vec![12_000], for_ms: Some(2_000) });
        assert_eq!(clauses[2].when, When::At { at_ms: vec![500, 1_000], for_ms: None });
        assert_eq!(
            parse("kill every 4s from 1s until 10s").unwrap()[0].when,
            When::Every { every_ms: 4_000, for_ms: 2_000, from_ms: 1_000, until_ms: Some(10_000) }
        );
    }

    #[test]
    fn times_become_steps_within_the_load() {
        let times = |text: &str, duration_ms| parse(text).unwrap()[0].when.times(duration_ms);
        assert_eq!(
            times("kill every 5s for 2s", 14_000),
            Ok(vec![(2_500, 2_000), (7_500, 2_000), (12_500, 1_500)])
        );
        assert_eq!(times("kill at 12s until end", 20_000), Ok(vec![(12_000, 8_000)]));
        assert_eq!(times("kill", 20_000), Ok(vec![]));
        assert!(times("kill at 20s", 20_000).is_err());
        assert!(times("kill every 9s from 30s", 20_000).is_err());
        assert!(times("kill every 2ms for 1ms", 3_600_000).is_err());
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, why) in [
            ("explode", "no fault `explode`"),
            ("all(n1)", "several faults"),
            ("kill(n1", "bracket"),
            ("kill)n1(", "brackets"),
            ("kill n1", "at"),
            ("kill at noon", "expected `at"),
            ("kill at 3s every 5s", "expected"),
            ("kill every 2s for 3s", "before the last one has ended"),
            ("kill at 3s for 0ms", "nothing"),
            ("kill(n1), kill(n2)", "twice"),
            ("kill, pause at 3s", "only one fault"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
