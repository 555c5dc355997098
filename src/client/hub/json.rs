//! A piece of JSON as it stands in a message: checked to be one document, never taken apart.

use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;

/// One JSON document as text, on a single line.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Json(Box<RawValue>);

/// A text is not one JSON document: what is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotJson(String);

impl Json {
    /// The document that `text` holds. White space around it is left out; line ends inside, which can only be white
    /// space too, become blanks.
    pub fn parse(text: impl Into<String>) -> Result<Self, NotJson> {
        let mut text = text.into();
        if text.contains(LINE_ENDS) {
            text = text.replace(LINE_ENDS, " ");
        }
        RawValue::from_string(text).map(Self).map_err(|error| NotJson(error.to_string()))
    }

    /// A string that holds `text`.
    pub fn string(text: &str) -> Self {
        Self(serde_json::value::to_raw_value(text).expect("a string is JSON"))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// What a message holds here; nothing is null.
    pub(super) fn taken(raw: Option<&RawValue>) -> Self {
        raw.map_or_else(|| Self(RawValue::NULL.to_owned()), |raw| Self(raw.to_owned()))
    }
}

const LINE_ENDS: [char; 2] = ['\n', '\r'];

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {}", self.0)
    }
}

impl std::error::Error for NotJson {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_its_text_on_one_line() {
        for (text, expected) in [
            (r#"{"a": 1.50}"#, r#"{"a": 1.50}"#),
            (" [1]\n", "[1]"),
            ("{\r\n \"a\":\n1}", "{   \"a\": 1}"),
            (r#""a\nb""#, r#""a\nb""#),
            ("null", "null"),
        ] {
            assert_eq!(Json::parse(text).unwrap().as_str(), expected);
        }
        assert_eq!(Json::string("a\n\"b\"").as_str(), r#""a\n\"b\"""#);
    }

    #[test]
    fn what_is_not_one_document_is_refused() {
        for text in ["", "  ", "hello", "{} {}", "{\"a\":}", "1,2", "\"a"] {
            assert!(Json::parse(text).is_err(), "{text}");
        }
        assert!(Json::parse("\"a\u{1}\"").is_err());
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(Json::parse(deep.as_str()).unwrap().as_str(), deep);
    }
}
