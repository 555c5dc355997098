//! What a server's documents say, borrowed from where they lie. Judges nothing but whether it is the protocol's JSON.

use super::{GapReason, HubError, Json};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One document: a reply, a push, or, with nothing in it, a ping.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document<'a> {
    pub(super) id: u32,
    #[serde(borrow)]
    pub(super) push: Option<Push<'a>>,
    #[serde(borrow)]
    pub(super) error: Option<Refused<'a>>,
    #[serde(borrow)]
    pub(super) connect: Option<Welcome<'a>>,
    #[serde(borrow)]
    pub(super) subscribe: Option<Standing<'a>>,
    #[serde(borrow)]
    pub(super) publish: Option<Published<'a>>,
    pub(super) refresh: Option<Term>,
    pub(super) sub_refresh: Option<Term>,
    #[serde(borrow)]
    pub(super) presence: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) presence_stats: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) history: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) rpc: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused<'a> {
    code: u32,
    #[serde(borrow)]
    message: Cow<'a, str>,
    temporary: bool,
}

/// The result of `connect`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Welcome<'a> {
    #[serde(borrow)]
    pub(super) client: Cow<'a, str>,
    /// Seconds between pings; zero where there are none.
    pub(super) ping: u32,
    pub(super) pong: bool,
    #[serde(borrow)]
    pub(super) session: Cow<'a, str>,
    pub(super) resumed: bool,
    pub(super) expires: bool,
    pub(super) ttl: u32,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) subs: BTreeMap<Cow<'a, str>, Standing<'a>>,
}

/// How a subscription stands: the result of `subscribe`, and the same told unasked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Standing<'a> {
    pub(super) expires: bool,
    pub(super) ttl: u32,
    pub(super) recoverable: bool,
    pub(super) positioned: bool,
    #[serde(borrow)]
    pub(super) epoch: Cow<'a, str>,
    pub(super) offset: u64,
    #[serde(borrow)]
    pub(super) publications: Vec<Publication<'a>>,
    pub(super) recovered: bool,
    #[serde(borrow)]
    pub(super) gap: Option<Gap<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Gap<'a> {
    pub(super) from: u64,
    pub(super) to: u64,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Publication<'a> {
    /// Zero where it is in no history.
    pub(super) offset: u64,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) tags: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Published<'a> {
    pub(super) offset: u64,
    #[serde(borrow)]
    pub(super) epoch: Cow<'a, str>,
}

/// For how long a token is good.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Term {
    pub(super) expires: bool,
    pub(super) ttl: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Push<'a> {
    #[serde(borrow)]
    pub(super) channel: Cow<'a, str>,
    #[serde(borrow, rename = "pub")]
    pub(super) publication: Option<Publication<'a>>,
    #[serde(borrow)]
    pub(super) join: Option<Someone<'a>>,
    #[serde(borrow)]
    pub(super) leave: Option<Someone<'a>>,
    #[serde(borrow)]
    pub(super) subscribe: Option<Standing<'a>>,
    #[serde(borrow)]
    pub(super) unsubscribe: Option<Notice<'a>>,
    #[serde(borrow)]
    pub(super) message: Option<Message<'a>>,
    #[serde(borrow)]
    pub(super) disconnect: Option<Notice<'a>>,
    pub(super) refresh: Option<Term>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Someone<'a> {
    #[serde(borrow)]
    pub(super) info: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message<'a> {
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
}

/// That something ends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Notice<'a> {
    pub(super) code: u32,
    #[serde(borrow)]
    reason: Cow<'a, str>,
}

/// The document that `text` holds; `None` where it is none of the protocol's.
pub(super) fn read(text: &str) -> Option<Document<'_>> {
    // Serde would take a list of values in the order of our fields as well.
    let is_object = text.trim_start().starts_with('{');
    serde_json::from_str(text).ok().filter(|_| is_object)
}

impl<'a> Document<'a> {
    /// The result of a request by this method.
    pub(super) fn result(&self, method: &str) -> Option<&'a RawValue> {
        match method {
            "presence" => self.presence,
            "presence_stats" => self.presence_stats,
            "history" => self.history,
            _ => self.rpc,
        }
    }

    /// Whether there is nothing in it that means anything: a ping.
    pub(super) fn is_ping(&self) -> bool {
        self.id == 0 && self.push.is_none()
    }
}

impl Refused<'_> {
    pub(super) fn error(&self) -> HubError {
        HubError { code: self.code, message: cut(&self.message), is_temporary: self.temporary || is_passing(self.code) }
    }
}

/// Codes that are temporary whether or not the server says so: internal error, too many requests.
fn is_passing(code: u32) -> bool {
    matches!(code, 100 | 111)
}

impl Gap<'_> {
    pub(super) fn reason(&self) -> GapReason {
        match self.reason.as_ref() {
            "history_trimmed" => GapReason::HistoryTrimmed,
            "epoch_changed" => GapReason::EpochChanged,
            _ => GapReason::Unknown,
        }
    }
}

impl Notice<'_> {
    pub(super) fn words(&self) -> String {
        cut(&self.reason)
    }
}

/// An optional piece of JSON.
pub(super) fn taken(raw: Option<&RawValue>) -> Option<Json> {
    raw.map(|raw| Json::taken(Some(raw)))
}

/// As many words as fit into a close frame.
const MAX_WORDS: usize = 123;

fn cut(words: &str) -> String {
    let fits = |&(at, character): &(usize, char)| at + character.len_utf8() <= MAX_WORDS;
    words.char_indices().take_while(fits).map(|(_, character)| character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_document_is_a_ping_and_so_is_one_of_things_unknown() {
        assert!(read("{}").unwrap().is_ping());
        assert!(read(r#" {"new":{"a":[1]}} "#).unwrap().is_ping());
        assert!(!read(r#"{"id":1}"#).unwrap().is_ping());
        assert!(!read(r#"{"push":{}}"#).unwrap().is_ping());
    }

    #[test]
    fn what_is_not_the_protocols_json_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "hello",
            "{",
            "{} {}",
            r#"{"id":-1}"#,
            r#"{"id":4294967296}"#,
            r#"{"id":"1"}"#,
            r#"{"id":1,"id":2}"#,
            r#"{"push":{"pub":{"offset":1.5}}}"#,
            r#"{"push":[]{}"#,
            r#"{"connect":{"subs":7}}"#,
        ] {
            assert!(read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn escapes_and_strange_payloads_come_through() {
        let text =
            r#"{"push":{"channel":"a\u00fc\n","pub":{"offset":18446744073709551615,"data":[1e400, {"a":null}]}}}"#;
        let push = read(text).unwrap().push.unwrap();
        let publication = push.publication.unwrap();
        assert_eq!((push.channel.as_ref(), publication.offset), ("aü\n", u64::MAX));
        assert_eq!(publication.data.unwrap().get(), r#"[1e400, {"a":null}]"#);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(read(&format!(r#"{{"push":{{"pub":{{"data":{deep}}}}}}}"#)).is_some());
        assert!(read(&format!(r#"{{"unknown":{deep}}}"#)).is_some());
        assert!(read(&deep).is_none());
    }

    #[test]
    fn a_servers_words_are_cut_at_a_character() {
        let words = format!("{}ü", "x".repeat(122));
        assert_eq!((cut(&words).len(), cut("short").as_str()), (122, "short"));
    }
}
