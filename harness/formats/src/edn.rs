//! A streaming reader of EDN, the notation of Clojure, as far as histories use it.
//!
//! Everything becomes JSON: `nil` is null, keywords, symbols and characters are text (a keyword without
//! its colon), lists, vectors and sets are arrays, the keys of maps are text. A tag is dropped and its form
//! kept, as for `#jepsen.history.Op{…}`. A whole number that fits no machine word, or that is written as
//! a ratio, becomes its text, so that different numbers stay different.

use serde_json::{Map, Value};

use crate::json::{float, whole};
use crate::source::{LONGEST, Source};
use crate::{MAX_DEPTH, ReadError};

/// A reader of forms.
pub(crate) struct Edn {
    source: Source,
    token: Vec<u8>,
}

type Read<T> = Result<T, ReadError>;

impl Edn {
    pub(crate) fn new(source: Source) -> Self {
        Edn { source, token: Vec::new() }
    }

    pub(crate) fn line_number(&self) -> u64 {
        self.source.line_number()
    }

    pub(crate) fn wrong<T>(&self, why: impl Into<String>) -> Read<T> {
        Err(ReadError::new(self.source.line_number(), why))
    }

    /// The file ended too early.
    fn cut<T>(&self, within: &str) -> Read<T> {
        self.wrong(format!("the file ends within {within}"))
    }

    fn deeper(&self, depth: usize) -> Read<usize> {
        match depth < MAX_DEPTH {
            true => Ok(depth + 1),
            false => self.wrong("expected forms nested at most 128 deep"),
        }
    }

    /// Whether the file ends before this line does. Passes over the rest of the line.
    pub(crate) fn is_last_line(&mut self) -> bool {
        loop {
            match self.source.next() {
                Ok(None) => return true,
                Ok(Some(b'\n')) | Err(_) => return false,
                Ok(Some(_)) => {}
            }
        }
    }

    /// Takes white space, commas, comments and discarded forms; the byte that follows.
    pub(crate) fn skip_blank(&mut self, depth: usize) -> Read<Option<u8>> {
        loop {
            match self.source.peek()? {
                Some(b' ' | b',' | b'\t' | b'\r' | b'\n' | 0x0c) => self.source.skip(),
                Some(b';') => self.comment()?,
                Some(b'#') => match self.source.peek_at(1)? {
                    Some(b'!') => self.comment()?,
                    Some(b'_') => {
                        self.source.skip();
                        self.source.skip();
                        let depth = self.deeper(depth)?;
                        self.form(depth)?;
                    }
                    _ => return Ok(Some(b'#')),
                },
                other => return Ok(other),
            }
        }
    }

    fn comment(&mut self) -> Read<()> {
        let line = self.source.line_number();
        self.token.clear();
        while let Some(byte) = self.source.next()? {
            if byte == b'\n' {
                break;
            }
            self.push(byte)?;
        }
        match std::str::from_utf8(&self.token) {
            Ok(_) => Ok(()),
            Err(_) => Err(ReadError::new(line, "not UTF-8")),
        }
    }

    fn push(&mut self, byte: u8) -> Read<()> {
        if self.token.len() >= LONGEST {
            return self.wrong("longer than 1 GiB");
        }
        self.token.push(byte);
        Ok(())
    }

    /// Takes a byte that was peeked.
    pub(crate) fn take(&mut self) {
        self.source.skip();
    }

    /// What is in `token` as text.
    fn text(&self) -> Read<&str> {
        match std::str::from_utf8(&self.token) {
            Ok(text) => Ok(text),
            Err(_) => self.wrong("not UTF-8"),
        }
    }

    /// Reads up to the next delimiter.
    fn read_token(&mut self) -> Read<()> {
        while let Some(byte) = self.source.peek()? {
            let ends = byte.is_ascii_whitespace() || b",;()[]{}\"".contains(&byte);
            if ends {
                break;
            }
            self.source.skip();
            self.push(byte)?;
        }
        Ok(())
    }

    /// Reads a keyword, which the next byte begins, without its colon.
    pub(crate) fn keyword(&mut self) -> Read<&str> {
        self.token.clear();
        self.read_token()?;
        let text = self.text()?.trim_start_matches(':');
        match text.is_empty() {
            true => self.wrong("expected a keyword after `:`"),
            false => Ok(text),
        }
    }

    /// Passes over tags and metadata before a form, and white space; the byte with which it begins.
    pub(crate) fn untagged(&mut self, mut depth: usize) -> Read<Option<u8>> {
        loop {
            match self.skip_blank(depth)? {
                Some(b'^') => {
                    self.source.skip();
                    self.form(depth)?;
                }
                Some(b'\'' | b'`' | b'~' | b'@') => self.source.skip(),
                Some(b'#') => match self.source.peek_at(1)? {
                    Some(b'{' | b'"' | b'#') => return Ok(Some(b'#')),
                    Some(b'^' | b'\'') => self.source.skip(),
                    Some(b':' | b'a'..=b'z' | b'A'..=b'Z') => {
                        self.source.skip();
                        self.token.clear();
                        self.read_token()?;
                        self.text()?;
                    }
                    _ => return self.wrong("expected a set, a tag or `#_` after `#`"),
                },
                other => return Ok(other),
            }
            depth = self.deeper(depth)?;
        }
    }

    /// Reads one form.
    pub(crate) fn form(&mut self, depth: usize) -> Read<Value> {
        let depth = self.deeper(depth)?;
        let Some(first) = self.untagged(depth)? else { return self.cut("a form") };
        match first {
            b'(' | b'[' => self.items(depth, if first == b'(' { b')' } else { b']' }),
            b'#' => {
                self.source.skip();
                match self.source.peek()? {
                    Some(b'{') => self.items(depth, b'}'),
                    Some(b'"') => self.string(),
                    _ => {
                        self.token.clear();
                        self.read_token()?;
                        Ok(Value::String(self.text()?.to_owned()))
                    }
                }
            }
            b'{' => {
                let mut map = Map::new();
                self.map(depth, |edn, key| {
                    map.insert(key, edn.form(depth)?);
                    Ok(())
                })?;
                Ok(Value::Object(map))
            }
            b'"' => self.string(),
            b':' => Ok(Value::String(self.keyword()?.to_owned())),
            b'\\' => self.character(),
            b')' | b']' | b'}' => {
                let found = char::from(first);
                self.wrong(format!("expected a form, not `{found}`"))
            }
            _ => self.atom(),
        }
    }

    /// At an opening bracket.
    fn items(&mut self, depth: usize, close: u8) -> Read<Value> {
        self.source.skip();
        let mut items = Vec::new();
        loop {
            match self.skip_blank(depth)? {
                None => return self.cut("a collection"),
                Some(byte) if byte == close => break,
                Some(_) => items.push(self.form(depth)?),
            }
        }
        self.source.skip();
        Ok(Value::Array(items))
    }

    /// At a brace: reads a map; `value` reads what belongs to each key.
    pub(crate) fn map(
        &mut self,
        depth: usize,
        mut value: impl FnMut(&mut Self, String) -> Read<()>,
    ) -> Read<()> {
        self.source.skip();
        loop {
            match self.skip_blank(depth)? {
                None => return self.cut("a map"),
                Some(b'}') => break,
                Some(b':') => {
                    let key = self.keyword()?.to_owned();
                    value(self, key)?;
                }
                Some(_) => {
                    let key = match self.form(depth)? {
                        Value::String(text) => text,
                        other => other.to_string(),
                    };
                    value(self, key)?;
                }
            }
        }
        self.source.skip();
        Ok(())
    }

    /// At a quotation mark.
    fn string(&mut self) -> Read<Value> {
        self.source.skip();
        self.token.clear();
        loop {
            match self.source.next()? {
                None => return self.cut("a string"),
                Some(b'"') => return Ok(Value::String(self.text()?.to_owned())),
                Some(b'\\') => {
                    let c = self.escape()?;
                    let mut utf8 = [0; 4];
                    self.token.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                }
                Some(byte) => self.push(byte)?,
            }
        }
    }

    /// Behind a backslash in a string.
    fn escape(&mut self) -> Read<char> {
        Ok(match self.source.next()? {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(c @ (b'"' | b'\\' | b'\'')) => char::from(c),
            Some(b'u') => {
                let unit = self.hex()?;
                if !(0xd800..0xe000).contains(&unit) {
                    return char::from_u32(unit).map_or_else(|| self.wrong("expected a character"), Ok);
                }
                let pair = (self.source.next()?, self.source.next()?) == (Some(b'\\'), Some(b'u'));
                let low = if pair && unit < 0xdc00 { self.hex()? } else { 0 };
                if !(0xdc00..0xe000).contains(&low) {
                    return self.wrong("expected the other half of a surrogate pair");
                }
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).map_or_else(|| self.wrong("expected a character"), Ok);
            }
            Some(digit @ b'0'..=b'7') => {
                let mut code = u32::from(digit - b'0');
                while let Some(digit @ b'0'..=b'7') = self.source.peek()? {
                    if code >= 0o40 {
                        break;
                    }
                    self.source.skip();
                    code = code * 8 + u32::from(digit - b'0');
                }
                return char::from_u32(code).map_or_else(|| self.wrong("expected a character"), Ok);
            }
            None => return self.cut("a string"),
            Some(_) => return self.wrong("expected an escape such as \\n in a string"),
        })
    }

    fn hex(&mut self) -> Read<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let Some(byte) = self.source.next()? else { return self.cut("a string") };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return self.wrong("expected four hexadecimal digits after \\u");
            };
            unit = unit * 16 + digit;
        }
        Ok(unit)
    }

    /// At a backslash: `\a`, `\newline`, `\u0041`, `\o101`.
    fn character(&mut self) -> Read<Value> {
        self.source.skip();
        self.token.clear();
        match self.source.next()? {
            None => return self.cut("a character"),
            Some(byte) => self.push(byte)?,
        }
        self.read_token()?;
        let text = self.text()?;
        let code = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        let one = match text {
            "newline" => Some('\n'),
            "space" => Some(' '),
            "tab" => Some('\t'),
            "return" => Some('\r'),
            "backspace" => Some('\u{8}'),
            "formfeed" => Some('\u{c}'),
            _ => {
                let mut chars = text.chars();
                match (chars.next(), chars.as_str()) {
                    (Some(only), "") => Some(only),
                    (Some('u'), digits) if digits.len() == 4 => code(digits, 16),
                    (Some('o'), digits) if digits.len() <= 3 => code(digits, 8),
                    _ => None,
                }
            }
        };
        match one {
            Some(c) => Ok(Value::String(c.to_string())),
            None => {
                let found = text.to_owned();
                self.wrong(format!("expected a character, not `\\{found}`"))
            }
        }
    }

    /// A number or a symbol.
    fn atom(&mut self) -> Read<Value> {
        self.token.clear();
        self.read_token()?;
        let text = self.text()?;
        let number = text.trim_start_matches(['+', '-']);
        if !(number.starts_with(|c: char| c.is_ascii_digit()) && text.len() - number.len() <= 1) {
            return Ok(match text {
                "nil" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "" => return self.wrong("expected a form"),
                symbol => Value::String(symbol.to_owned()),
            });
        }
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if digits(number) {
            return Ok(whole(text));
        }
        if let Some(big) = number.strip_suffix('N').filter(|big| digits(big)) {
            let sign = &text[..text.len() - number.len()];
            return Ok(whole(&format!("{sign}{big}")));
        }
        if number.split_once('/').is_some_and(|(above, below)| digits(above) && digits(below)) {
            return Ok(Value::String(text.to_owned()));
        }
        let decimal = text.strip_suffix('M').unwrap_or(text);
        if number.bytes().all(|b| b.is_ascii_digit() || b".eE+-M".contains(&b))
            && decimal.parse::<f64>().is_ok()
        {
            // Decimals with a suffix have any precision; their text keeps it.
            return Ok(if decimal == text { float(text) } else { Value::String(decimal.to_owned()) });
        }
        let found = text.to_owned();
        self.wrong(format!("expected a number, not `{found}`"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn forms(text: &str) -> Result<Vec<Value>, ReadError> {
        let source = Source::open(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())))?;
        let mut edn = Edn::new(source);
        let mut forms = Vec::new();
        while edn.skip_blank(0)?.is_some() {
            forms.push(edn.form(0)?);
        }
        Ok(forms)
    }

    #[test]
    fn every_kind_of_form_becomes_json() {
        for (text, expected) in [
            ("nil true false", json!([null, true, false])),
            ("1 -2 +3 12N 18446744073709551615", json!([1, -2, 3, 12, 18_446_744_073_709_551_615_u64])),
            (
                "123456789012345678901N -123456789012345678901",
                json!(["123456789012345678901", "-123456789012345678901"]),
            ),
            ("1.5 -2e3 1/3 2.50M ##Inf", json!([1.5, -2000.0, "1/3", "2.50", "#Inf"])),
            (r#""a\"\\\n\u00e9\101" "é""#, json!(["a\"\\\né\u{41}", "é"])),
            (r"\a \newline \u0041 \( \é \o101", json!(["a", "\n", "A", "(", "é", "A"])),
            (":a :b/c d/e + - -x", json!(["a", "b/c", "d/e", "+", "-", "-x"])),
            ("(1 2) [3 [4]] #{5}", json!([[1, 2], [3, [4]], [5]])),
            (
                r#"{:a 1, "b" 2 3 4 nil 5 [1] 6 x 7}"#,
                json!([{"a": 1, "b": 2, "3": 4, "null": 5, "[1]": 6, "x": 7}]),
            ),
            ("#jepsen.history.Op{:a 1} #inst \"2024\" #a #b 3", json!([{"a": 1}, "2024", 3])),
            ("#:ns{:a 1} #'v 'q #\"re\"", json!([{"a": 1}, "v", "q", "re"])),
            ("[1 #_2 #_ #_ 3 4 5] #_6", json!([[1, 5]])),
            ("; comment [\n1 ;x\n #!y\n^:m ^{:k v} [2]", json!([1, [2]])),
        ] {
            assert_eq!(Value::Array(forms(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn malformed_forms_are_errors_with_their_line() {
        for text in [
            "]",
            "1x",
            "[1}",
            "{:a}",
            "\"\\q\"",
            "\\nonsense",
            "#(",
            "\"\\u12x\"",
            ":",
            "1.2.3",
            "--1x #",
            "\"\\ud800x\"",
            "{:a 1 :b}",
            "#_",
            "^",
            "[}",
            "12NN",
            "1/",
            "\\u00zz",
        ] {
            let error = forms(&format!("\n{text}")).unwrap_err();
            assert!(error.line == 2 && !error.why.is_empty(), "{text}: {error}");
        }
        for text in ["[1", "{:a 1", "\"abc", "#{1", "{:a", "\\"] {
            assert!(forms(text).unwrap_err().why.contains("the file ends within"), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded_in_every_way() {
        for opening in ["[", "(", "#{", "{:a ", "#_", "^", "#x ", "'", "{[", "#_ [", "^[", "{#_"] {
            let error = forms(&opening.repeat(50_000)).unwrap_err();
            assert!(error.why.contains("128 deep"), "{opening}: {error}");
        }
        assert!(forms(&("[".repeat(60) + &"]".repeat(60))).is_ok());
    }
}
