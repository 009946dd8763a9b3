//! Reading the arguments of plans, strictly, and the words that several faults take.

use nix::sys::signal::Signal;
use ordeal_core::Words;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads what a plan says; `expected` is what it should have said.
pub(crate) fn parse<T: DeserializeOwned>(args: &Value, expected: &str) -> Result<T, String> {
    T::deserialize(args).map_err(|why| wrong(&why.to_string(), expected, args))
}

/// What is said about arguments that can be read but make no sense.
pub(crate) fn wrong(why: &str, expected: &str, args: &Value) -> String {
    format!("{why}; expected {expected}, found {args}")
}

/// The signals that end a node.
const FATAL: [Signal; 6] =
    [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP, Signal::SIGABRT];
/// What [`Fatal::read`] reads.
pub(crate) const FATAL_WORDS: &str = "SIGKILL, SIGTERM, SIGINT, SIGQUIT, SIGHUP or SIGABRT";

/// A signal that ends a node, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Fatal(pub(crate) Signal);

impl Fatal {
    /// Takes the word that names one, if there is one.
    pub(crate) fn read(words: &mut Words) -> Option<&'static str> {
        words.take(|word| Some(Fatal::try_from(word.to_owned()).ok()?.0.as_str()))
    }
}

impl Default for Fatal {
    fn default() -> Self {
        Fatal(Signal::SIGKILL)
    }
}

impl TryFrom<String> for Fatal {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let named = FATAL.into_iter().find(|signal| signal.as_str() == name);
        named.map(Fatal).ok_or_else(|| format!("`{name}` is not {FATAL_WORDS}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn signals_are_those_that_end_a_node() {
        assert_eq!(parse(&json!("SIGTERM"), "a signal"), Ok(Fatal(Signal::SIGTERM)));
        for bad in [json!("SIGSTOP"), json!("TERM"), json!(15)] {
            let error = parse::<Fatal>(&bad, "a signal").unwrap_err();
            assert!(error.contains("expected a signal") && error.contains(&bad.to_string()), "{error}");
        }
        let mut words = Words::parse("n1, SIGINT");
        assert_eq!((Fatal::read(&mut words), Fatal::read(&mut words)), (Some("SIGINT"), None));
    }
}
