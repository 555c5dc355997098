//! `connect`: a person's client. Typed lines go out, messages come in, and what happens to the connection is told. With
//! channels it is a hub's client (`hub`).
//!
//! The keyboard has a thread of its own and reaches the dialer by its handle; all else is the dialer's events, shown.

mod hub;

use super::{Failure, logger, values};
use crate::client::{ClientOptions, EndReason, Event, Refusal, SendError, Wait};
use crate::config::Settings;
use crate::connection::CloseReason;
use crate::net::{DialError, DialUrl, Dialer, DialerHandle};
use crate::wire::OwnedMessage;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

/// What `connect` takes.
#[derive(clap::Args, Debug, Default)]
pub(super) struct Arguments {
    /// Server: ws://HOST[:PORT][/PATH], wss:// (inside TLS), line://HOST:PORT, tls:// (line inside TLS), tcp://HOST:PORT
    /// (length prefix), raw://HOST:PORT or unix:///PATH; line without a scheme
    url: String,
    /// Channel of a hub to subscribe to and to publish in; may be given several times, and a typed line then begins with
    /// the channel's name and a colon
    #[arg(long, value_name = "CHANNEL")]
    channel: Vec<String>,
    /// Token that tells a hub who you are
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// PEM file of the certificate authorities that are trusted inside TLS [default: the system's]
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// How often the server is asked for a sign of life; off for never [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration_or_zero)]
    heartbeat_interval: Option<Duration>,
    /// Silence after which the server is taken for dead [default: 2.5 x the interval]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    heartbeat_timeout: Option<Duration>,
    /// Longest wait before the first new attempt; it doubles from wait to wait [default: 1s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    backoff_min: Option<Duration>,
    /// Where the doubling of waits ends [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    backoff_max: Option<Duration>,
    /// Attempts in a row before it gives up [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = values::small_count)]
    max_tries: Option<u32>,
}

/// How long answers are waited for when all that was typed has left.
const QUIET: Duration = Duration::from_secs(1);
/// How often the keyboard's thread tries again while there is no room for what it has read.
const ROOM_CHECK: Duration = Duration::from_millis(20);

/// Connects, and stays until the input has ended and the answers have come.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url: DialUrl = arguments.url.parse().map_err(|wrong| Failure::Usage(vec![format!("{wrong}")]))?;
    // What the library has to say beyond its events, such as why a name could not be looked up.
    logger::install(log::LevelFilter::Warn);
    if arguments.tls_ca.is_some() && !url.tls {
        return Err(Failure::Usage(vec![format!("--tls-ca is for wss:// and tls://, not {url}")]));
    }
    if arguments.is_for_a_hub() {
        return hub::run(arguments, &url);
    }
    let options = arguments.options();
    let max_line = options.max_message_bytes;
    let mut dialer = match &arguments.tls_ca {
        None => Dialer::new(url.clone(), options),
        Some(ca) => Dialer::trusting(ca, url.clone(), options),
    }
    .map_err(failure)?;
    let handle = dialer.handle();
    thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(move || send_lines(io::stdin().lock(), &handle, max_line))
        .map_err(|error| Failure::Running(format!("cannot read the keyboard: {error}")))?;
    let ended = converse(&mut dialer, &url, &mut io::stdout().lock());
    match ended.map_err(|error| Failure::Running(format!("the poll failed: {error}")))? {
        End::Done | End::Unseen => Ok(()),
        End::GaveUp(reason) => Err(Failure::Running(format!("gave up: {}", words(&reason)))),
    }
}

impl Arguments {
    /// Channels and tokens are for hubs; without them a line is a message as it is.
    fn is_for_a_hub(&self) -> bool {
        !self.channel.is_empty() || self.token.is_some()
    }

    /// Of two settings that belong together, the one that was left out follows the other.
    fn options(&self) -> ClientOptions {
        let default = ClientOptions::default();
        let (heartbeat_interval, heartbeat_timeout) = match (self.heartbeat_interval, self.heartbeat_timeout) {
            (None, None) => (default.heartbeat_interval, default.heartbeat_timeout),
            (Some(interval), None) => (interval, Settings::timeout_for(interval)),
            (None, Some(timeout)) => (Settings::interval_for(timeout), timeout),
            (Some(interval), Some(timeout)) => (interval, timeout),
        };
        let (backoff_min, backoff_max) = match (self.backoff_min, self.backoff_max) {
            (None, None) => (default.backoff_min, default.backoff_max),
            (Some(min), None) => (min, default.backoff_max.max(min)),
            (None, Some(max)) => (default.backoff_min.min(max), max),
            (Some(min), Some(max)) => (min, max),
        };
        let max_tries = self.max_tries;
        ClientOptions { heartbeat_interval, heartbeat_timeout, backoff_min, backoff_max, max_tries, ..default }
    }
}

fn failure(error: DialError) -> Failure {
    match error {
        DialError::Setting(wrong) => Failure::Usage(vec![wrong.to_string()]),
        DialError::Tls(wrong) => Failure::Usage(vec![wrong.to_string()]),
        DialError::Url(wrong) => Failure::Usage(vec![wrong.to_string()]),
        DialError::Poll(_) => Failure::Running(error.to_string()),
    }
}

/// Why the conversation is over.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The input has ended, what was typed has left, and no more answers come.
    Done,
    /// Nobody sees what is shown any more.
    Unseen,
    /// The client gave up.
    GaveUp(EndReason),
}

/// Shows what happens until it is over. Fails only where the poll does.
fn converse(dialer: &mut Dialer, url: &DialUrl, screen: &mut impl Write) -> io::Result<End> {
    let mut patience = None;
    loop {
        let Some(event) = dialer.poll(patience)? else {
            match patience {
                // Nothing but the end of the input wakes the dialer.
                None => patience = Some(QUIET),
                Some(_) if dialer.waiting_messages() == 0 => return say_goodbye(dialer),
                Some(_) => {}
            }
            continue;
        };
        if show(&told(&event, url), screen).is_err() {
            return Ok(End::Unseen);
        }
        if let Event::GaveUp { reason } = event {
            return Ok(End::GaveUp(reason));
        }
    }
}

/// Ends in order, so that the server is told on wires that have something for it.
fn say_goodbye(dialer: &mut Dialer) -> io::Result<End> {
    dialer.handle().stop();
    while dialer.poll(None)?.is_some() {}
    Ok(End::Done)
}

fn show(told: &str, screen: &mut impl Write) -> io::Result<()> {
    writeln!(screen, "{} {told}", time_of_day(wall_clock()))?;
    screen.flush()
}

fn told(event: &Event, url: &DialUrl) -> String {
    match event {
        Event::Connected { attempt, resumed_after: None } => format!("connected to {url} (attempt {attempt})"),
        Event::Connected { attempt, resumed_after: Some(away) } => {
            format!("connected to {url} (attempt {attempt}, after {} away)", seconds(*away))
        }
        Event::Message(message) => format!("< {}", printable(message)),
        Event::Kept { waiting } => format!("kept: {waiting} waiting"),
        Event::Torn(message) => format!("cut in the middle, not sent again: {}", printable(message)),
        Event::Lost { reason, next_attempt } => format!("lost: {}; {}", words(reason), announced(next_attempt)),
        Event::AttemptFailed { reason, next_attempt } => {
            format!("no connection: {}; {}", words(reason), announced(next_attempt))
        }
        Event::GaveUp { reason } => format!("gave up: {}", words(reason)),
        Event::Stopped => "stopped".to_owned(),
    }
}

/// The bound is told as well: the wait is drawn from all below it, so only the bound is seen to grow.
fn announced(Wait { delay, bound }: &Wait) -> String {
    format!("next attempt in {} (of at most {})", seconds(*delay), seconds(*bound))
}

fn words(reason: &EndReason) -> String {
    match reason {
        EndReason::Connection(CloseReason::Transport(kind)) => kind.to_string(),
        EndReason::Connection(reason) => format!("{} ({reason})", reason.advice().words),
        EndReason::ServerClosed { code: Some(code), words } if words.is_empty() => {
            format!("closed by the server ({code})")
        }
        EndReason::ServerClosed { code: Some(code), words } => {
            format!("closed by the server: {} ({code})", printable(words.as_bytes()))
        }
        EndReason::ServerClosed { code: None, .. } => "closed by the server without a code".to_owned(),
        EndReason::Refused(_) | EndReason::BadAnswer(_) | EndReason::Rejected { .. } => reason.to_string(),
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Text as it is, but nothing in it that a terminal would act on or that would show other text than it is.
fn printable(message: &[u8]) -> String {
    let mut shown = String::with_capacity(message.len());
    for chunk in message.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_deceptive(character) {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

/// Marks that change the direction of text, and separators that break lines.
fn is_deceptive(character: char) -> bool {
    matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// UTC, as the log has it.
fn time_of_day(now: SystemTime) -> String {
    let full = humantime::format_rfc3339_millis(now).to_string();
    full.split_once('T').map_or(full.clone(), |(_, time)| time.trim_end_matches('Z').to_owned())
}

#[expect(clippy::disallowed_methods, reason = "people compare it with their own clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Sends each line of the input, then wakes the dialer to tell that there are no more.
fn send_lines(mut input: impl BufRead, handle: &DialerHandle, max_line: usize) {
    while let Some(line) = next_line(&mut input, max_line) {
        if !send_line(handle, line) {
            return;
        }
    }
    handle.wake();
}

/// The next line without its end. Of one over the limit no more than shows that it is, or endless input would be kept.
fn next_line(input: &mut impl BufRead, max_line: usize) -> Option<Vec<u8>> {
    let (mut line, most) = (Vec::new(), max_line + b"\r\n".len());
    // Input that can't be read has ended.
    if input.by_ref().take(most as u64).read_until(b'\n', &mut line).ok()? == 0 {
        return None;
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    } else if line.len() == most {
        input.skip_until(b'\n').ok()?;
    }
    Some(line)
}

/// Sends a line, as soon as there is room for it; false where nothing can be sent any more.
fn send_line(handle: &DialerHandle, line: Vec<u8>) -> bool {
    let mut line = OwnedMessage::from(line);
    loop {
        let Err(error) = handle.send(line) else {
            return true;
        };
        match error.refusal {
            Refusal::Ended => return false,
            Refusal::MessageTooLarge(limit) => {
                // Nobody may be left to read this.
                let _ = writeln!(io::stderr(), "not sent: a line over {limit} bytes");
                return true;
            }
            Refusal::TooManyMessages(_) | Refusal::TooManyBytes(_) => line = wait_for_room(error),
        }
    }
}

/// Stops reading what is typed or piped in, which is kind to whoever pipes.
#[expect(clippy::disallowed_methods, reason = "this is the keyboard's thread")]
fn wait_for_room(refused: SendError) -> OwnedMessage {
    thread::sleep(ROOM_CHECK);
    refused.message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::PeerReason;
    use std::io::ErrorKind;
    use std::net::TcpListener;

    #[track_caller]
    fn check(event: Event, expected: &str) {
        assert_eq!(told(&event, &"127.0.0.1:8000".parse().unwrap()), expected);
    }

    fn wait(delay: u64, bound: u64) -> Wait {
        Wait { delay: Duration::from_millis(delay), bound: Duration::from_secs(bound) }
    }

    #[test]
    fn each_event_is_told_in_a_line() {
        let away = Some(Duration::from_millis(3_240));
        check(Event::Connected { attempt: 1, resumed_after: None }, "connected to line://127.0.0.1:8000 (attempt 1)");
        check(
            Event::Connected { attempt: 3, resumed_after: away },
            "connected to line://127.0.0.1:8000 (attempt 3, after 3.2 s away)",
        );
        check(
            Event::Lost { reason: CloseReason::Peer(PeerReason::Closed).into(), next_attempt: wait(1_800, 2) },
            "lost: closed by the peer (PeerClosed); next attempt in 1.8 s (of at most 2.0 s)",
        );
        check(
            Event::AttemptFailed {
                reason: CloseReason::Transport(ErrorKind::ConnectionRefused).into(),
                next_attempt: wait(20, 30),
            },
            "no connection: connection refused; next attempt in 0.0 s (of at most 30.0 s)",
        );
        check(Event::Kept { waiting: 2 }, "kept: 2 waiting");
        check(
            Event::GaveUp { reason: CloseReason::Peer(PeerReason::HeartbeatTimeout).into() },
            "gave up: no sign of life (HeartbeatTimeout)",
        );
    }

    #[test]
    fn what_a_server_says_at_the_end_is_told_with_its_code() {
        let closed = |code: Option<u16>, words: &str| EndReason::ServerClosed { code, words: words.to_owned() };
        check(
            Event::Lost { reason: closed(Some(3001), "server is shutting down"), next_attempt: wait(500, 1) },
            "lost: closed by the server: server is shutting down (3001); next attempt in 0.5 s (of at most 1.0 s)",
        );
        check(
            Event::GaveUp { reason: closed(Some(4500), "\x1b[2J") },
            r"gave up: closed by the server: \u{1b}[2J (4500)",
        );
        check(Event::GaveUp { reason: closed(Some(4500), "") }, "gave up: closed by the server (4500)");
        check(Event::GaveUp { reason: closed(None, "") }, "gave up: closed by the server without a code");
        check(
            Event::AttemptFailed { reason: EndReason::Refused(429), next_attempt: wait(0, 1) },
            "no connection: the server answers with HTTP status 429; next attempt in 0.0 s (of at most 1.0 s)",
        );
    }

    #[test]
    fn a_server_cannot_drive_the_terminal() {
        check(Event::Message("grüße 👍 \\ \"x\"".into()), "< grüße 👍 \\ \"x\"");
        check(Event::Message(b"\x1b[2J\x07\r\n\x7f".to_vec().into()), r"< \u{1b}[2J\u{7}\r\n\u{7f}");
        check(Event::Message("\u{9b}2J \u{202e}gpj.exe \u{2028}".into()), r"< \u{9b}2J \u{202e}gpj.exe \u{2028}");
        check(Event::Message(b"a\xff\xfeb\xc3".to_vec().into()), r"< a\xff\xfeb\xc3");
    }

    #[test]
    fn times_are_those_of_the_day() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_000 + 3_723_004);
        assert_eq!(time_of_day(time), "01:02:03.004");
    }

    #[test]
    fn a_setting_left_out_follows_the_one_beside_it() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let check = |arguments: Arguments, expected: [u64; 4]| {
            let options = arguments.options();
            assert_eq!(options.validate(), Ok(()));
            let ClientOptions { heartbeat_interval, heartbeat_timeout, backoff_min, backoff_max, .. } = options;
            let shown = [heartbeat_interval, heartbeat_timeout, backoff_min, backoff_max].map(|it| it.as_secs());
            assert_eq!(shown, expected);
        };
        check(Arguments::default(), [10, 25, 1, 30]);
        check(Arguments { heartbeat_interval: seconds(2), ..Arguments::default() }, [2, 5, 1, 30]);
        check(Arguments { heartbeat_timeout: seconds(50), ..Arguments::default() }, [20, 50, 1, 30]);
        check(Arguments { backoff_min: seconds(60), ..Arguments::default() }, [10, 25, 60, 60]);
        check(
            Arguments { heartbeat_interval: seconds(0), backoff_max: seconds(5), ..Arguments::default() },
            [0, 0, 1, 5],
        );
    }

    #[test]
    fn lines_are_taken_without_their_ends_and_never_more_than_the_limit_shows() {
        let mut input = &b"one\r\n\ntwo\n0123456789\nlast"[..];
        let lines: Vec<_> = std::iter::from_fn(|| next_line(&mut input, 5)).collect();
        assert_eq!(lines, [&b"one"[..], b"", b"two", b"0123456", b"last"]);
    }

    /// What is shown, without times, when `typed` is sent to a server that does `serve` on one connection.
    #[expect(clippy::disallowed_methods, reason = "the other side, and the keyboard")]
    fn conversation(typed: &'static [u8], serve: impl FnOnce(TcpListener) + Send + 'static) -> (String, End) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: DialUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
        let options = ClientOptions { max_tries: Some(1), ..ClientOptions::default() };
        let mut dialer = Dialer::new(url.clone(), options).unwrap();
        let (handle, mut screen) = (dialer.handle(), Vec::new());
        thread::spawn(|| serve(listener));
        thread::spawn(move || send_lines(typed, &handle, 64 << 10));
        let end = converse(&mut dialer, &url, &mut screen).unwrap();
        let shown = String::from_utf8(screen).unwrap();
        let lines = shown.lines().filter_map(|line| line.split_once(' ')).map(|(_, rest)| rest);
        (lines.filter(|line| !line.starts_with("kept")).collect::<Vec<_>>().join("\n"), end)
    }

    #[test]
    fn what_is_typed_is_sent_and_answers_are_waited_for() {
        let (shown, end) = conversation(b"one\ntwo\n", |listener| {
            let stream = listener.accept().unwrap().0;
            let mut writer = stream.try_clone().unwrap();
            for line in io::BufReader::new(stream).lines() {
                // The client may have left by the time its heartbeat is echoed.
                let _ = writeln!(writer, "{}!", line.unwrap_or_default());
            }
        });
        assert_eq!(end, End::Done);
        assert!(shown.contains("connected to line://") && shown.contains("< one!\n< two!"), "{shown}");
    }

    #[test]
    fn a_client_that_gave_up_says_so() {
        let (shown, end) = conversation(b"one\n", |listener| drop(listener.accept()));
        assert!(matches!(end, End::GaveUp(_)), "{end:?}");
        assert!(shown.lines().last().is_some_and(|line| line.starts_with("gave up: ")), "{shown}");
    }

    #[test]
    fn authorities_for_a_connection_without_tls_are_a_mistake() {
        let arguments =
            Arguments { url: "ws://127.0.0.1:1".into(), tls_ca: Some("ca.pem".into()), ..Arguments::default() };
        let Err(Failure::Usage(reasons)) = run(&arguments) else { panic!("it is no use to dial") };
        assert_eq!(reasons, ["--tls-ca is for wss:// and tls://, not ws://127.0.0.1:1"]);
    }

    #[test]
    fn a_screen_that_is_gone_ends_it_quietly() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url: DialUrl = listener.local_addr().unwrap().to_string().parse().unwrap();
        let mut dialer = Dialer::new(url.clone(), ClientOptions::default()).unwrap();
        let mut screen = &mut [][..];
        assert_eq!(converse(&mut dialer, &url, &mut screen).unwrap(), End::Unseen);
    }
}
