//! A whole connection on a gateway that echoes: requests, sound or nearly so, the last one for WebSocket, and frames
//! behind it. What it answers is the same under any cut, strictly in order, and what a plain reading of the stream asks for.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use std::io::{self, ErrorKind, IoSlice};
use tidegate::apps::Echo;
use tidegate::config::{Deflate, HeartbeatForms, Settings};
use tidegate::connection::{Broken, Door, Encryption, FrameRules, ListenWire};
use tidegate::gateway::{ConnId, Gateway, Peer, Seed, Taken};
use tidegate::timer::Time;
use tidegate::wire::http::find_end;
use tidegate::wire::websocket::{CloseFrame, InflateError, Sender};
use tidegate::wire::{Detected, Kind, Wire, detect};
use tidegate_fuzz::client::{Edit, Frame};
use tidegate_fuzz::cuts::{SINGLE, WHOLE, next_random, pieces};
use tidegate_fuzz::deflate::{History, Message, read_alone};
use tidegate_fuzz::frames::{Event, read, read_server};
use tidegate_fuzz::responses::{Agreed, read_responses};

/// A byte of options, two for the cuts, one for the number of edits and for what is asked before; then the edits, then
/// the frames.
#[derive(Debug)]
struct Script {
    options: u8,
    seed: u16,
    before: u8,
    edits: Vec<Edit>,
    frames: Vec<Frame>,
}

const REQUESTS: [&str; 2] = [
    "GET /chat?room=1 HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "GET / HTTP/1.1\r\nHost: localhost:8000\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
     Origin: http://localhost:8000\r\nSec-WebSocket-Version: 13\r\nUser-Agent: Mozilla/5.0\r\n\
     Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Protocol: chat\r\n",
];
/// Requests that may stand before the one for WebSocket.
const BEFORE: [&str; 6] = [
    "",
    "GET /health HTTP/1.1\r\nHost: h\r\n\r\n",
    "HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n\r\nGET http://h/health?a HTTP/1.1\r\nHost: h\r\n\r\n",
];
const OFFERS: [&str; 4] = [
    "",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9; client_no_context_takeover\r\n",
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover, permessage-deflate\r\n",
];
const PROXY: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n";

const MAX_MESSAGE: usize = 1000;
const MAX_FRAGMENTS: u32 = 5;
const MAX_BODY: usize = 2000;
/// Over what one head, one body or one message takes in buffers of powers of two, the old one and the new.
const MAX_HELD: usize = 64 << 10;

impl<'a> Arbitrary<'a> for Script {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let (options, seed, more) = (u8::arbitrary(u)?, u16::arbitrary(u)?, u8::arbitrary(u)?);
        let edits = (0..more & 3).map(|_| u.arbitrary()).collect::<Result<_>>()?;
        let mut frames = Vec::new();
        while !u.is_empty() {
            frames.push(u.arbitrary()?);
        }
        Ok(Self { options, seed, before: more >> 2, edits, frames })
    }
}

impl Script {
    fn settings(&self) -> Settings {
        Settings {
            heartbeat_answers: HeartbeatForms::NONE,
            max_message_bytes: MAX_MESSAGE,
            max_message_fragments: MAX_FRAGMENTS,
            max_http_body_bytes: MAX_BODY,
            deflate: [Deflate::On, Deflate::Takeover, Deflate::On, Deflate::Off][usize::from(self.options & 3)],
            deflate_min_bytes: 16,
            // Nobody is slow here: whole, all echoes leave in one write, and in pieces they leave in many.
            write_queue_soft_bytes: 64 << 20,
            write_queue_hard_bytes: 64 << 20,
            ..Settings::default()
        }
    }

    fn door(&self) -> Door {
        let is_fixed = self.options & 4 == 0;
        let wire = if is_fixed { ListenWire::Fixed(Wire::WebSocket) } else { ListenWire::Auto };
        Door { wire, http: true, encryption: Encryption::None, proxy: self.options & 8 != 0, local: false }
    }

    fn request(&self) -> Vec<u8> {
        let fields = OFFERS[usize::from(self.options >> 4 & 3)];
        let before = BEFORE[usize::from(self.before) % BEFORE.len()];
        let request = format!("{before}{}{fields}\r\n", REQUESTS[usize::from(self.options >> 6 & 1)]);
        self.edits.iter().fold(request.into_bytes(), |request, edit| edit.apply(request))
    }
}

fuzz_target!(|script: Script| {
    let frames: Vec<u8> = script.frames.iter().flat_map(Frame::bytes).collect();
    let request = script.request();
    // Where an edit moves the end of a request it is still known for the first one.
    let whole_len = script.edits.is_empty().then_some(request.len());
    let stream = [request, frames].concat();
    let front = if script.door().proxy { PROXY } else { b"" };
    let sent = serve(&script, &[front, &stream].concat(), WHOLE, false);
    for (seed, is_slow) in [(SINGLE, false), (script.seed, script.options & 0x80 != 0)] {
        let other = serve(&script, &[front, &stream].concat(), seed, is_slow);
        let shown = || format!("{}\nwhole: {}\ncut by {seed}: {}", esc(&stream), esc(&sent), esc(&other));
        assert!(sent == other, "{}", shown());
    }
    if script.door().wire != ListenWire::Auto || detect(&stream) == Some(Detected::Http) {
        check_answers(&stream, whole_len, &sent);
    }
});

fn esc(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// What a gateway sends to a client that sends `stream` in pieces, and then closes.
fn serve(script: &Script, stream: &[u8], seed: u16, is_slow: bool) -> Vec<u8> {
    let (now, peer) = (Time::from_millis(1000), Peer::Tcp(([127, 0, 0, 1], 9).into()));
    let settings = script.settings();
    let mut gateway = Gateway::new(Echo, settings, Seed { jitter: 1, ids: 2 }, now).expect("sound settings");
    let id = gateway.handle_accepted(peer, script.door(), now).expect("there is room");
    let (mut out, mut room) = (Vec::new(), u64::from(seed));
    for piece in pieces(stream, seed) {
        assert_eq!(
            gateway.handle_bytes(id, &mut piece.to_vec(), now, |_| Err(std::io::ErrorKind::WouldBlock.into())),
            Taken::All
        );
        flush(&mut gateway, id, now, &mut out, is_slow.then_some(&mut room));
        let held = gateway.held();
        assert!(held.lent <= MAX_HELD + held.queued && (is_slow || held.queued == 0), "{held:?}");
    }
    flush(&mut gateway, id, now, &mut out, None);
    assert_eq!(gateway.pending_bytes(id), 0);
    gateway.handle_peer_closed(id, now);
    flush(&mut gateway, id, now, &mut Vec::new(), None);
    while gateway.poll_gone().is_some() {}
    let held = gateway.held();
    assert_eq!((gateway.connection_count(), held.queued, held.lent, gateway.table_sizes()), (0, 0, 0, [0; 4]));
    assert_eq!(gateway.counters().handler_panics, 0);
    out
}

/// As the reactor does it: for the connection that was served, and for whoever is on the list.
fn flush(gateway: &mut Gateway<Echo>, id: ConnId, now: Time, out: &mut Vec<u8>, mut room: Option<&mut u64>) {
    let mut write = |slices: &[IoSlice<'_>]| {
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        let before = out.len();
        match room.as_deref_mut().map(|state| (next_random(state) % 300) as usize) {
            Some(len) if len < 100 => return Err(io::Error::from(ErrorKind::WouldBlock)),
            Some(len) => out.extend(bytes.take(len)),
            None => out.extend(bytes),
        }
        Ok(out.len() - before)
    };
    let mut next = Some((id, gateway.flush(id, now, &mut write)));
    while let Some((id, outcome)) = next {
        if outcome.shut_down {
            gateway.handle_shut_down(id);
        }
        next = gateway.flush_next(now, |_, slices| write(slices));
    }
}

/// Answers to requests, and behind one that opens a WebSocket its frames, which answer those behind `whole_len` bytes of
/// requests.
fn check_answers(stream: &[u8], whole_len: Option<usize>, sent: &[u8]) {
    let may_be_head = stream.windows(5).any(|bytes| bytes == b"HEAD ");
    let (count, opened) = read_responses(sent, may_be_head);
    assert!(opened.is_some() || whole_len.is_none(), "a sound request is answered: {}", esc(sent));
    let Some((agreed, sent)) = opened else { return };
    let mut frames = read_server(sent, agreed.is_some());
    inflate_all(&mut frames, agreed);
    check_close(&frames);
    if let Some(len) = whole_len.or_else(|| find_end(stream, 0).filter(|_| count == 1)) {
        check_echoes(&stream[len..], &frames, agreed);
    }
}

/// Takes the compression off what the server sent.
fn inflate_all(frames: &mut [Event], agreed: Option<Agreed>) {
    let mut history = History::default();
    for event in frames {
        if let Event::Message { kind, compressed: compressed @ true, bytes } = event {
            let alone = agreed.is_some_and(|agreed| agreed.server_alone);
            let message = if alone { read_alone(bytes) } else { history.read(bytes) };
            message.check(Ok(&message.bytes), MAX_MESSAGE);
            assert!(*kind != Kind::Text || std::str::from_utf8(&message.bytes).is_ok());
            (*compressed, *bytes) = (false, message.bytes);
        }
    }
}

/// At most one close frame, with a body that may be sent, and nothing behind it.
fn check_close(frames: &[Event]) {
    for (at, event) in frames.iter().enumerate() {
        if let Event::Close(body) = event {
            assert!(CloseFrame::parse(body).is_ok() && at == frames.len() - 1, "{frames:?}");
        }
    }
}

/// What the server has to say to one thing that the client says.
enum Answer {
    Nothing,
    Says(Event),
    /// Its last word: a close frame with one of these codes, or without any.
    Closes(Vec<Option<u16>>),
}

fn check_echoes(stream: &[u8], frames: &[Event], agreed: Option<Agreed>) {
    let rules = FrameRules {
        sender: Sender::Client,
        compression: agreed.is_some(),
        max_message_bytes: MAX_MESSAGE,
        max_fragments: MAX_FRAGMENTS,
    };
    let (said, end) = read(stream, &rules);
    let (mut frames, mut history) = (frames.iter(), History::default());
    let end = end.err().map_or(Answer::Nothing, |broken| Answer::Closes(vec![Some(code(broken))]));
    let answers = said.into_iter().map(|event| answer(event, agreed, &mut history)).chain([end]);
    for answer in answers {
        match answer {
            Answer::Nothing => {}
            Answer::Says(event) => assert_eq!(frames.next(), Some(&event), "{}", esc(stream)),
            Answer::Closes(codes) => {
                let Some(Event::Close(body)) = frames.next() else { panic!("it must close: {}", esc(stream)) };
                let code = body.first_chunk().map(|code| u16::from_be_bytes(*code));
                assert!(codes.contains(&code), "{code:?}, not one of {codes:?}: {}", esc(stream));
                break;
            }
        }
    }
    assert_eq!(frames.next(), None, "{}", esc(stream));
}

fn answer(event: Event, agreed: Option<Agreed>, history: &mut History) -> Answer {
    match event {
        Event::Message { kind, compressed: true, bytes } => {
            let alone = agreed.is_some_and(|agreed| agreed.client_alone);
            echo(kind, if alone { read_alone(&bytes) } else { history.read(&bytes) })
        }
        Event::Message { .. } => Answer::Says(event),
        Event::Ping(payload) => Answer::Says(Event::Pong(payload)),
        Event::Pong(_) => Answer::Nothing,
        Event::Close(body) => Answer::Closes(vec![match CloseFrame::parse(&body) {
            Ok(close) => close.map(|close| close.code.get()),
            Err(error) => Some(error.code().get()),
        }]),
    }
}

/// The answer to an inflated message. One that is broken as well as too large may be called either.
fn echo(kind: Kind, message: Message) -> Answer {
    let mut codes = Vec::new();
    if message.allows(InflateError::TooLarge, MAX_MESSAGE) {
        codes.push(Some(1009));
    }
    if message.allows(InflateError::Invalid, MAX_MESSAGE) {
        codes.push(Some(1007));
    }
    let is_text = kind != Kind::Text || std::str::from_utf8(&message.bytes).is_ok();
    match (&codes[..], is_text) {
        ([], true) => Answer::Says(Event::Message { kind, compressed: false, bytes: message.bytes }),
        ([], false) => Answer::Closes(vec![Some(1007)]),
        _ => Answer::Closes(codes),
    }
}

fn code(broken: Broken) -> u16 {
    match broken {
        Broken::Frame(_) => 1002,
        Broken::InvalidText => 1007,
        Broken::TooLarge | Broken::TooManyFragments => 1009,
    }
}
