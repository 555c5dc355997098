//! One HTTP/1.1 request with a body, over TCP or TLS, and its answer. It waits, for a bounded time; it follows no
//! redirection and keeps no connection.

use super::Failure;
use crate::net::{TlsInside, tls_client_config, tls_server_name};
use crate::wire::http::{Body, BodyDecoder, BodyLength};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Where to send a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    tls: bool,
    /// As the URL has it.
    authority: String,
    /// Without brackets.
    host: String,
    port: u16,
    /// What stands before every path; without a slash at its end.
    prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let refuse = |mend: &str| Err(format!("`{url}` is no address: {mend}"));
        let (tls, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return refuse("begin with http:// or https://"),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['?', '#', '@', '\\']) {
            return refuse("write host, port and path alone, as in http://127.0.0.1:8000");
        }
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let default = if tls { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (authority, Some(default)),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match (port.filter(|port| *port > 0), bare.unwrap_or(host)) {
            (None, _) => refuse("the port is a number from 1 to 65535"),
            (_, "") => refuse("name a host"),
            (_, host) if bare.is_none() && host.contains(':') => refuse("put an IPv6 address in brackets"),
            (Some(port), host) => {
                let prefix = prefix.trim_end_matches('/').to_owned();
                Ok(Self { tls, authority: authority.to_owned(), host: host.to_owned(), port, prefix })
            }
        }
    }
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// From the first look-up to the last byte.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read, head and body.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
const MAX_FIELDS: usize = 64;

/// Sends JSON and waits for the answer. Fields must be such as HTTP can carry.
pub(super) fn post(
    target: &Target,
    path: &str,
    fields: &[(&str, &str)],
    body: &[u8],
    ca: Option<&Path>,
) -> Result<Answer, Failure> {
    // What is wrong with a file of authorities is told before anybody is dialled.
    let tls = target.tls.then(|| tls_client_config(ca, TlsInside::Http)).transpose().map_err(usage)?;
    let failed = |error: io::Error| Failure::Running(format!("{}: {}", target.authority, words(&error)));
    let stream = Patient::dial(target).map_err(failed)?;
    let request = request(target, path, fields, body);
    let answer = match tls {
        None => exchange(stream, &request),
        Some(config) => {
            let name = tls_server_name(&target.host).map_err(usage)?;
            let session = ClientConnection::new(config, name).map_err(|error| failed(io::Error::other(error)))?;
            exchange(StreamOwned::new(session, stream), &request)
        }
    };
    answer.map_err(failed)
}

fn usage(error: impl ToString) -> Failure {
    Failure::Usage(vec![error.to_string()])
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        // A socket's time-out has the name of another kind here.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("no answer within {} s", PATIENCE.as_secs()),
        _ => error.to_string(),
    }
}

fn request(target: &Target, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let Target { authority, prefix, .. } = target;
    let mut head = format!(
        "POST {prefix}{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in fields {
        head.extend([name, ": ", value, "\r\n"]);
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The answer ends where its framing says; that the connection ends too is asked for, but not relied on.
fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Answer> {
    // Who refuses a request before all of it has come may close, and its answer can still be read.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    let mut bytes = Vec::new();
    let ended = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes);
    match parse(&bytes, ended.is_ok()) {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(sent.err().or(ended.err()).unwrap_or_else(|| broken("the connection ended before its answer"))),
        Err(why) => Err(broken(why)),
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

/// The answer in all that came; `None` where it is cut short.
fn parse(bytes: &[u8], has_ended: bool) -> Result<Option<Answer>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("what answers there does not speak HTTP/1"),
    };
    let status = head.code.unwrap_or_default();
    let rest = bytes.get(length..).unwrap_or_default();
    let body = match framing(head.headers)? {
        BodyLength::None => has_ended.then(|| rest.to_vec()),
        framed => decode(framed, rest)?,
    };
    Ok(body.map(|body| Answer { status, body }))
}

/// How the body ends; [`BodyLength::None`]: with the connection (RFC 9112, section 6.3).
fn framing(fields: &[httparse::Header<'_>]) -> Result<BodyLength, &'static str> {
    let value = |name: &str| fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
    match (value("Transfer-Encoding"), value("Content-Length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
        (Some(_), _) => Err("the answer is in a transfer coding that is not known"),
        (None, None) => Ok(BodyLength::None),
        (None, Some(digits)) => {
            let length = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
            length.map(BodyLength::Length).ok_or("the answer's length is no number")
        }
    }
}

fn decode(length: BodyLength, mut bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    const WRONG: &str = "the answer is too long, or breaks off its chunks";
    let mut decoder = BodyDecoder::new(length, MAX_ANSWER_BYTES).map_err(|_| WRONG)?;
    let mut body = Vec::new();
    loop {
        match decoder.decode(&mut bytes).map_err(|_| WRONG)? {
            Body::Data(data) => body.extend_from_slice(data),
            Body::NeedMore => return Ok(None),
            Body::End => return Ok(Some(body)),
        }
    }
}

/// A stream that gives up at one moment, however slowly its peer drips.
struct Patient {
    stream: TcpStream,
    until: Instant,
}

impl Patient {
    fn dial(target: &Target) -> io::Result<Self> {
        let until = now() + PATIENCE;
        let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
        for address in (target.host.as_str(), target.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left(until)?) {
                Ok(stream) => return Ok(Self { stream, until }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.until)?))?;
        self.stream.read(bytes)
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket takes no time-out of zero.
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[expect(clippy::disallowed_methods, reason = "how long a person is kept waiting")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn addresses_read_with_port_path_and_brackets() {
        for (url, host, port, prefix) in [
            ("http://127.0.0.1:8000", "127.0.0.1", 8000, ""),
            ("http://localhost/", "localhost", 80, ""),
            ("https://example.org/tide/gate/", "example.org", 443, "/tide/gate"),
            ("http://[::1]:1", "::1", 1, ""),
            ("https://[::1]", "::1", 443, ""),
        ] {
            let target: Target = url.parse().unwrap();
            assert_eq!((target.host.as_str(), target.port, target.prefix.as_str()), (host, port, prefix), "{url}");
            assert_eq!(target.tls, url.starts_with("https"));
        }
    }

    #[test]
    fn wrong_addresses_say_the_mend() {
        for (url, word) in [
            ("127.0.0.1:8000", "begin with http://"),
            ("ws://127.0.0.1", "begin with http://"),
            ("http://", "name a host"),
            ("http://:80", "name a host"),
            ("http://a:0", "65535"),
            ("http://a:b", "65535"),
            ("http://::1:80", "brackets"),
            ("http://a/?b", "host, port and path"),
            ("http://user@a", "host, port and path"),
            ("http://a\r\nb", "host, port and path"),
        ] {
            let told = url.parse::<Target>().unwrap_err();
            assert!(told.contains(word) && told.contains(url), "{told}");
        }
    }

    /// The status and body of an answer, whole and at every cut, where only `None` may come.
    #[track_caller]
    fn check(answer: &str, expected: Result<(u16, &str), &str>) {
        let told = parse(answer.as_bytes(), true);
        match expected {
            Err(part) => assert!(told.unwrap_err().contains(part)),
            Ok((status, body)) => {
                assert_eq!(told.unwrap(), Some(Answer { status, body: body.into() }));
                for cut in 0..answer.len() {
                    assert_eq!(parse(&answer.as_bytes()[..cut], false).unwrap(), None, "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn answers_end_by_length_by_chunks_or_with_the_connection() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Ok((200, "{}")));
        check("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", Ok((204, "")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", Ok((200, "{}")));
        check("HTTP/1.0 503 Busy\r\n\r\nfull", Ok((503, "full")));
    }

    #[test]
    fn answers_that_cannot_be_understood_say_why() {
        check("SSH-2.0-OpenSSH\r\n", Err("does not speak HTTP"));
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Err("no number"));
        check("HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n", Err("too long"));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Err("transfer coding"));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", Err("breaks off"));
    }

    /// Posts to a server that reads the request's end and answers; gives what both saw.
    fn met(answer: &str) -> (Result<Answer, Failure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target: Target = format!("http://{}/base", listener.local_addr().unwrap()).parse().unwrap();
        thread::scope(|scope| {
            let server = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let (mut request, mut part) = (Vec::new(), [0; 1024]);
                while !request.ends_with(b"{\"a\":1}") {
                    let count = stream.read(&mut part).unwrap();
                    assert!(count > 0, "the request came whole");
                    request.extend_from_slice(&part[..count]);
                }
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(request).unwrap()
            });
            let answer = post(&target, "/api/publish", &[("X-API-Key", "k")], b"{\"a\":1}", None);
            (answer, server.join().unwrap())
        })
    }

    #[test]
    fn a_request_is_sent_whole_and_its_answer_read() {
        let (answer, request) = met("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        assert_eq!(answer.unwrap(), Answer { status: 200, body: b"{}".to_vec() });
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines[0], "POST /base/api/publish HTTP/1.1");
        assert!(lines[1].starts_with("Host: 127.0.0.1:"));
        assert_eq!(
            lines[2..],
            ["Content-Type: application/json", "Content-Length: 7", "Connection: close", "X-API-Key: k"]
        );
        assert_eq!(body, "{\"a\":1}");
    }

    #[test]
    fn a_server_that_is_away_or_breaks_off_is_told_with_its_address() {
        let (answer, _) = met("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}");
        match answer {
            Err(Failure::Running(why)) => assert!(why.contains("ended before its answer"), "{why}"),
            other => panic!("expected a failure, got {other:?}"),
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        match post(&format!("http://{free}").parse().unwrap(), "/", &[], b"", None) {
            Err(Failure::Running(why)) => assert!(why.contains(&free.to_string()) && why.contains("refused"), "{why}"),
            other => panic!("expected a failure, got {other:?}"),
        }
    }
}
