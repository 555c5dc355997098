//! HTTP answers, read as strictly as RFC 9112 lets a server write them.

use std::str::from_utf8;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The answer at the front of `bytes` and its length, or `None` while its tail is on the way. One to a HEAD
    /// request announces a body and has none.
    pub fn parse(bytes: &[u8], to_head: bool) -> Option<(Self, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = from_utf8(&bytes[..end]).expect("a head in ASCII");
        let mut lines = head.split("\r\n");
        let status = status(lines.next().unwrap());
        let fields = lines.map(field).collect();
        let mut answer = Self { status, fields, body: Vec::new() };
        let len = if to_head { 0 } else { answer.announced() };
        answer.body = bytes.get(end + 4..end + 4 + len)?.to_vec();
        Some((answer, end + 4 + len))
    }

    /// A field that may stand there once.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice in {self:?}");
        value
    }

    pub fn closes(&self) -> bool {
        let options = self.field("Connection").unwrap_or_default().split(',');
        options.into_iter().any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    fn announced(&self) -> usize {
        assert_eq!(self.field("Transfer-Encoding"), None);
        let len = self.field("Content-Length");
        // RFC 9110, 8.6: none where there can be no body.
        assert_eq!(len.is_some(), self.status >= 200 && self.status != 204, "{self:?}");
        len.map_or(0, |len| len.parse().unwrap())
    }
}

fn status(line: &str) -> u16 {
    let (status, reason) = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' ')).expect(line);
    assert!(status.len() == 3 && is_text(reason), "{line:?}");
    status.parse().unwrap()
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').expect(line);
    assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{line:?}");
    assert!(is_text(value), "{line:?}");
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

fn is_text(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}
