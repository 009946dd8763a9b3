//! A small JSON parser that works on one line or one element at a time.
//!
//! Unlike `serde_json` it loses nothing that a verdict may depend on: a whole number that fits no machine
//! word becomes the text of its digits, where a float could make two different numbers equal. And the
//! readers of lines take their fields from it without building a tree first.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use crate::MAX_DEPTH;

/// Text that is being read, and how far.
#[derive(Clone, Debug)]
pub(crate) struct Json<'t> {
    text: &'t str,
    at: usize,
}

/// What was expected, and where.
pub(crate) type Why = String;

impl<'t> Json<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Json { text, at: 0 }
    }

    fn bytes(&self) -> &'t [u8] {
        self.text.as_bytes()
    }

    fn wrong<T>(&self, expected: &str) -> Result<T, Why> {
        let column = 1 + self.text.get(..self.at).map_or(self.at, |read| read.chars().count());
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => Err(format!("expected {expected} at column {column}, not {c:?}")),
            None => Err(format!("expected {expected} at column {column}, but the text ends there")),
        }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes().get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str) -> bool {
        let there = self.bytes()[self.at..].starts_with(word.as_bytes());
        if there {
            self.at += word.len();
        }
        there
    }

    /// Reads an object; `field` reads the value of each of its fields.
    pub(crate) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, Cow<'t, str>) -> Result<(), Why>,
    ) -> Result<(), Why> {
        if !self.take(b'{') {
            return self.wrong("an object");
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.wrong("the name of a field");
            }
            let name = self.string()?;
            if !self.take(b':') {
                return self.wrong("`:`");
            }
            field(self, name)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return self.wrong("`,` or `}`");
            }
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), Why> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("the end of the line"),
        }
    }

    /// Reads a string.
    pub(crate) fn text(&mut self) -> Result<Cow<'t, str>, Why> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => self.wrong("a string"),
        }
    }

    /// Reads a whole number that is not negative.
    pub(crate) fn unsigned(&mut self) -> Result<u64, Why> {
        let Some(b'0'..=b'9') = self.peek() else { return self.wrong("a whole number") };
        let from = self.at;
        let number = self.number()?;
        match number.as_u64() {
            Some(n) if !self.bytes()[from..self.at].contains(&b'.') => Ok(n),
            _ => {
                self.at = from;
                self.wrong("a whole number below 2^64")
            }
        }
    }

    /// Reads any value.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Value, Why> {
        if depth > MAX_DEPTH {
            return self.wrong("values nested at most 128 deep");
        }
        match self.peek() {
            Some(b'"') => Ok(Value::String(self.string()?.into_owned())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') if self.word("null") => Ok(Value::Null),
            Some(b't') if self.word("true") => Ok(Value::Bool(true)),
            Some(b'f') if self.word("false") => Ok(Value::Bool(false)),
            Some(b'[') => self.array(depth),
            Some(b'{') => {
                let mut map = Map::new();
                self.object(|json, name| {
                    map.insert(name.into_owned(), json.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::Object(map))
            }
            _ => self.wrong("a value"),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Why> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return self.wrong("`,` or `]`");
            }
        }
    }

    /// At a sign or a digit.
    fn number(&mut self) -> Result<Value, Why> {
        let bytes = self.bytes();
        let from = self.at;
        let negative = bytes.get(from) == Some(&b'-');
        self.at += usize::from(negative);
        let (mut magnitude, first) = (0_u64, self.at);
        while let Some(digit @ b'0'..=b'9') = bytes.get(self.at) {
            magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - first;
        if digits == 0 || (digits > 1 && bytes[first] == b'0') {
            self.at = first;
            return self.wrong("a number");
        }
        if matches!(bytes.get(self.at), Some(b'.' | b'e' | b'E')) {
            return self.float(from);
        }
        // Nineteen digits always fit into 64 bits, of which one may be needed for the sign.
        if digits < 19 {
            let n = magnitude as i64;
            return Ok(Value::from(if negative { -n } else { n }));
        }
        Ok(whole(&self.text[from..self.at]))
    }

    fn float(&mut self, from: usize) -> Result<Value, Why> {
        let bytes = self.bytes();
        let digits = |at: &mut usize| {
            let first = *at;
            while matches!(bytes.get(*at), Some(b'0'..=b'9')) {
                *at += 1;
            }
            *at > first
        };
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if !digits(&mut self.at) {
                return self.wrong("a digit");
            }
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if !digits(&mut self.at) {
                return self.wrong("a digit");
            }
        }
        Ok(float(&self.text[from..self.at]))
    }

    /// At a quotation mark.
    fn string(&mut self) -> Result<Cow<'t, str>, Why> {
        self.at += 1;
        let from = self.at;
        let bytes = self.bytes();
        let Some(len) = bytes[from..].iter().position(|&b| b == b'"' || b == b'\\' || b < b' ') else {
            self.at = bytes.len();
            return self.wrong("the end of a string");
        };
        self.at += len;
        let plain = &self.text[from..self.at];
        if bytes[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            let from = self.at;
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                Some(0..b' ') => return self.wrong("no control character in a string"),
                None => return self.wrong("the end of a string"),
                Some(_) => {
                    let special = |&b: &u8| b == b'"' || b == b'\\' || b < b' ';
                    let len = bytes[from..].iter().position(special).unwrap_or(bytes.len() - from);
                    text.push_str(&self.text[from..from + len]);
                    self.at += len;
                }
            }
        }
    }

    /// Behind a backslash.
    fn escape(&mut self) -> Result<char, Why> {
        let simple = match self.bytes().get(self.at) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(&c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex()?;
                if !(0xdc00..0xe000).contains(&unit) {
                    if !(0xd800..0xdc00).contains(&unit) {
                        return char::from_u32(unit).map_or_else(|| self.wrong("a character"), Ok);
                    }
                    if self.word("\\u") {
                        let low = self.hex()?;
                        if (0xdc00..0xe000).contains(&low) {
                            let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                            return char::from_u32(code).map_or_else(|| self.wrong("a character"), Ok);
                        }
                    }
                }
                return self.wrong("the other half of a surrogate pair");
            }
            _ => return self.wrong("an escape such as \\n"),
        };
        self.at += 1;
        Ok(simple)
    }

    fn hex(&mut self) -> Result<u32, Why> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|d| u32::from_str_radix(d, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.wrong("four hexadecimal digits"),
        }
    }
}

/// A whole number of any length; its digits as text if no machine word holds it.
pub(crate) fn whole(digits: &str) -> Value {
    match (digits.parse::<i64>(), digits.parse::<u64>()) {
        (Ok(n), _) => n.into(),
        (_, Ok(n)) => n.into(),
        _ => Value::String(digits.trim_start_matches('+').to_owned()),
    }
}

/// A number with a fraction or an exponent; as text if it is too large for a float.
pub(crate) fn float(text: &str) -> Value {
    let number = text.parse::<f64>().ok().and_then(Number::from_f64);
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Value, String> {
        let mut json = Json::new(text);
        let value = json.value(0)?;
        json.end().map(|()| value)
    }

    #[test]
    fn agrees_with_serde_on_ordinary_json() {
        for text in [
            "null",
            " true ",
            "[1, -2,3.5, 1e3,\"a\\u00e9\\n\\ud83d\\ude00\", {}]",
            r#"{"a": [ ], "b": {"c": -1, "d": "\"\\\/"}}"#,
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "0.1",
            "-1.5E-7",
        ] {
            assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
        for text in [
            "",
            "[1,]",
            "{\"a\":}",
            "01",
            "-",
            "1.",
            "1e",
            "\"\\x\"",
            "\"",
            "\"\\ud800\"",
            "\"\\u12\"",
            "{\"a\":1,}",
            "[1 2]",
            "nul",
            "1 2",
            "\"a\nb\"",
            "+1",
            "\"\\u+123\"",
            "{1:2}",
            "\"\\udc00\"",
        ] {
            assert!(parse(text).is_err() && serde_json::from_str::<Value>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn huge_numbers_stay_different() {
        let (a, b) = ("123456789012345678901234567890", "123456789012345678901234567891");
        assert_eq!(parse(a).unwrap(), json!(a));
        assert_ne!(parse(a).unwrap(), parse(b).unwrap());
        assert_eq!(parse("1e999").unwrap(), json!("1e999"));
    }

    #[test]
    fn nesting_is_bounded_and_errors_say_where() {
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("128 deep"));
        let fine = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&fine).is_ok());
        assert_eq!(parse("[1,é]").unwrap_err(), "expected a value at column 4, not 'é'");
        assert_eq!(parse("[1").unwrap_err(), "expected `,` or `]` at column 3, but the text ends there");
        assert!(Json::new("1.0").unsigned().is_err() && Json::new("-1").unsigned().is_err());
        assert!(Json::new("18446744073709551616").unsigned().is_err());
        assert_eq!(Json::new("18446744073709551615").unsigned(), Ok(u64::MAX));
    }
}
