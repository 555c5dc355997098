//! A strict reader of what the gateway answers to HTTP requests.

use httparse::{EMPTY_HEADER, Header, Response, Status};

/// What the answer to a request for WebSocket says about compression.
#[derive(Debug, Clone, Copy)]
pub struct Agreed {
    /// The server compresses each message by itself.
    pub server_alone: bool,
    /// The client does.
    pub client_alone: bool,
}

/// What was agreed on, and the bytes that follow.
pub type Opened<'b> = (Option<Agreed>, &'b [u8]);

/// How many answers there are, and behind one that opens a WebSocket what follows.
///
/// # Panics
/// Where something is no whole answer, or stands behind an answer that was to be the last.
pub fn read_responses(mut sent: &[u8], may_be_head: bool) -> (usize, Option<Opened<'_>>) {
    let mut count = 0;
    let mut is_over = false;
    while !sent.is_empty() {
        assert!(!is_over, "behind the last answer: {}", sent.escape_ascii());
        count += 1;
        let mut fields = [EMPTY_HEADER; 20];
        let mut response = Response::new(&mut fields);
        let Ok(Status::Complete(len)) = response.parse(sent) else { panic!("no answer: {}", sent.escape_ascii()) };
        let body = &sent[len..];
        match response.code {
            Some(100) => sent = body,
            Some(101) => return (count, Some((agreed(response.headers), body))),
            _ => {
                let closes = field(response.headers, "connection").expect("it is always said");
                is_over = closes.split(", ").any(|option| option == "close");
                sent = behind(response.headers, body, may_be_head);
            }
        }
    }
    (count, None)
}

fn field<'b>(fields: &[Header<'b>], name: &str) -> Option<&'b str> {
    let mut found = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let value = found.next()?.value;
    assert!(found.next().is_none(), "{name} twice");
    Some(std::str::from_utf8(value).expect("what we write is text"))
}

/// What follows the body, which an answer to HEAD does not have.
fn behind<'b>(fields: &[Header<'_>], body: &'b [u8], may_be_head: bool) -> &'b [u8] {
    let len: usize = field(fields, "content-length").expect("every answer has a body").parse().expect("a number");
    if may_be_head && (body.is_empty() || body.starts_with(b"HTTP/1.1 ")) {
        return body;
    }
    body.get(len..).unwrap_or_else(|| panic!("not {len} bytes: {}", body.escape_ascii()))
}

fn agreed(fields: &[Header<'_>]) -> Option<Agreed> {
    assert_eq!(field(fields, "sec-websocket-accept").map(str::len), Some(28));
    let extensions = field(fields, "sec-websocket-extensions")?;
    assert!(extensions.starts_with("permessage-deflate"));
    let has = |param| extensions.split("; ").any(|each| each == param);
    Some(Agreed { server_alone: has("server_no_context_takeover"), client_alone: has("client_no_context_takeover") })
}
