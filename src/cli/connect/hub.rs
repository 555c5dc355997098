//! `connect` to a hub: typed lines are published, and what happens to channels is told.

use super::{Arguments, End, QUIET, announced, failure, next_line, printable, seconds, show, words};
use crate::cli::Failure;
use crate::client::Refusal;
use crate::client::hub::{
    HubClient, HubEvent, HubOptions, Json, PublishError, Recovery, SubscribeOptions, TokenSource,
};
use crate::net::{DialUrl, HubDialer, HubHandle};
use std::collections::VecDeque;
use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;

/// Lines that may have been typed ahead; then the keyboard waits.
const TYPED_AHEAD: usize = 64;

/// Connects, and stays until the input has ended and what was typed is published.
pub(super) fn run(arguments: &Arguments, url: &DialUrl) -> Result<(), Failure> {
    let options = arguments.hub_options();
    let max_line = options.connection.max_message_bytes;
    let mut dialer = match &arguments.tls_ca {
        None => HubDialer::new(url.clone(), options),
        Some(ca) => HubDialer::trusting(ca, url.clone(), options),
    }
    .map_err(failure)?;
    for channel in &arguments.channel {
        // What the project's own hub would keep for us anyhow other hubs want to be asked for.
        let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
        let subscribed = dialer.client_mut().subscribe(channel, options);
        subscribed.map_err(|wrong| Failure::Usage(vec![format!("--channel {}: {wrong}", channel.escape_debug())]))?;
    }
    let (typed, handle) = (sync_channel(TYPED_AHEAD), dialer.handle());
    thread::Builder::new()
        .name("keyboard".to_owned())
        .spawn(move || read_lines(io::stdin().lock(), typed.0, &handle, max_line))
        .map_err(|error| Failure::Running(format!("cannot read the keyboard: {error}")))?;
    let mut talk = Talk::new(&arguments.channel, url);
    let ended = talk.converse(&mut dialer, &typed.1, &mut io::stdout().lock());
    match ended.map_err(|error| Failure::Running(format!("the poll failed: {error}")))? {
        End::Done | End::Unseen => Ok(()),
        End::GaveUp(reason) => Err(Failure::Running(format!("gave up: {}", words(&reason)))),
    }
}

impl Arguments {
    fn hub_options(&self) -> HubOptions {
        let token = self.token.clone().map_or(TokenSource::None, TokenSource::Fixed);
        HubOptions { connection: self.options(), token, ..HubOptions::default() }
    }
}

/// Hands each line of the input over, and tells at last that there are no more.
fn read_lines(mut input: impl BufRead, typed: SyncSender<Vec<u8>>, handle: &HubHandle, max_line: usize) {
    while let Some(line) = next_line(&mut input, max_line) {
        if typed.try_send(line.clone()).is_err() && typed.send(line).is_err() {
            return;
        }
        handle.wake();
    }
    drop(typed);
    handle.wake();
}

/// A conversation with a hub.
struct Talk<'a> {
    channels: &'a [String],
    url: &'a DialUrl,
    /// Read, but not published yet.
    unsent: VecDeque<Vec<u8>>,
    has_input: bool,
}

impl<'a> Talk<'a> {
    fn new(channels: &'a [String], url: &'a DialUrl) -> Self {
        Self { channels, url, unsent: VecDeque::new(), has_input: true }
    }

    /// Shows what happens until it is over. Fails only where the poll does.
    fn converse(
        &mut self,
        dialer: &mut HubDialer,
        typed: &Receiver<Vec<u8>>,
        screen: &mut impl Write,
    ) -> io::Result<End> {
        loop {
            for told in self.publish_typed(dialer.client_mut(), typed) {
                if show(&told, screen).is_err() {
                    return Ok(End::Unseen);
                }
            }
            // While the input lasts, only it and the server have something new.
            let patience = if self.has_input && self.unsent.is_empty() { None } else { Some(QUIET) };
            let Some(event) = dialer.poll(patience)? else {
                if patience.is_some() && self.is_done(dialer.client()) {
                    return say_goodbye(dialer);
                }
                continue;
            };
            if self.told(&event).is_some_and(|told| show(&told, screen).is_err()) {
                return Ok(End::Unseen);
            }
            if let HubEvent::GaveUp { reason } = event {
                return Ok(End::GaveUp(reason));
            }
        }
    }

    fn is_done(&self, client: &HubClient) -> bool {
        !self.has_input && self.unsent.is_empty() && client.waiting_publications() == 0
    }

    /// Publishes what has been typed, as far as there is room; what is to be said about it.
    fn publish_typed(&mut self, client: &mut HubClient, typed: &Receiver<Vec<u8>>) -> Vec<String> {
        let mut told = Vec::new();
        for _ in 0..TYPED_AHEAD {
            if self.unsent.is_empty() && self.has_input {
                match typed.try_recv() {
                    Ok(line) => self.unsent.push_back(line),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => self.has_input = false,
                }
            }
            let Some(line) = self.unsent.pop_front() else {
                break;
            };
            match self.publish(client, &line) {
                Published::Taken => {}
                Published::Refused(why) => told.push(why),
                Published::Later => {
                    self.unsent.push_front(line);
                    break;
                }
            }
        }
        if !told.is_empty() || client.is_joined() || client.waiting_publications() == 0 {
            return told;
        }
        vec![format!("kept: {} waiting", client.waiting_publications())]
    }

    fn publish(&self, client: &mut HubClient, line: &[u8]) -> Published {
        let text = String::from_utf8_lossy(line);
        let Some((channel, text)) = addressed(self.channels, &text) else {
            return Published::Refused(format!("not sent: begin with one of {}, and a colon", self.names()));
        };
        let data = Json::parse(text).unwrap_or_else(|_| Json::string(text));
        match client.publish(channel, data) {
            Ok(_) => Published::Taken,
            Err(PublishError { refusal: Refusal::TooManyMessages(_) | Refusal::TooManyBytes(_), .. }) => {
                Published::Later
            }
            Err(PublishError { refusal, .. }) => Published::Refused(format!("not sent: {refusal}")),
        }
    }

    fn names(&self) -> String {
        self.channels.iter().map(|channel| printable(channel.as_bytes())).collect::<Vec<_>>().join(", ")
    }

    /// A channel's name in front of what is told of it, where there are several.
    fn of(&self, channel: &str) -> String {
        if self.channels.len() == 1 { String::new() } else { format!("{}: ", printable(channel.as_bytes())) }
    }

    fn told(&self, event: &HubEvent) -> Option<String> {
        let url = self.url;
        Some(match event {
            HubEvent::Connected { attempt, resumed_after: None, .. } => {
                format!("connected to {url} (attempt {attempt})")
            }
            HubEvent::Connected { attempt, resumed_after: Some(away), resumed, .. } => {
                let session = if *resumed { ", the session was kept" } else { "" };
                format!("connected to {url} (attempt {attempt}, after {} away{session})", seconds(*away))
            }
            HubEvent::Lost { reason, next_attempt } => format!("lost: {}; {}", words(reason), announced(next_attempt)),
            HubEvent::AttemptFailed { reason, next_attempt } => {
                format!("no connection: {}; {}", words(reason), announced(next_attempt))
            }
            HubEvent::GaveUp { reason } => format!("gave up: {}", words(reason)),
            HubEvent::Stopped => "stopped".to_owned(),
            HubEvent::Publication { channel, data, .. } => {
                format!("< {}{}", self.of(channel), printable(data.as_str().as_bytes()))
            }
            HubEvent::Message { data } => format!("< to us alone: {}", printable(data.as_str().as_bytes())),
            HubEvent::TokenWanted | HubEvent::SubscriptionTokenWanted { .. } | HubEvent::Published { .. } => {
                return None;
            }
            HubEvent::Answer { .. } => return None,
            event => self.told_of_channel(event)?,
        })
    }

    fn told_of_channel(&self, event: &HubEvent) -> Option<String> {
        let name = |channel: &str| printable(channel.as_bytes());
        Some(match event {
            HubEvent::Subscribed { channel, recovery: Recovery::Fresh, .. } => {
                format!("subscribed to {}", name(channel))
            }
            HubEvent::Subscribed { channel, recovery: Recovery::Whole, .. } => {
                format!("recovered {}: nothing is lost", name(channel))
            }
            HubEvent::Subscribed { channel, recovery: Recovery::Gap, .. } => {
                format!("subscribed to {} again", name(channel))
            }
            HubEvent::SubscribeFailed { channel, error } => format!("not subscribed to {}: {error}", name(channel)),
            HubEvent::Resubscribing { channel, error } => format!("interrupted {}: {error}", name(channel)),
            HubEvent::Unsubscribed { channel, code, reason } => {
                format!("unsubscribed from {}: {} ({code})", name(channel), printable(reason.as_bytes()))
            }
            HubEvent::Joined { channel, info } => format!("{} joined by {}", name(channel), name(info.as_str())),
            HubEvent::Left { channel, info } => format!("{} left by {}", name(channel), name(info.as_str())),
            HubEvent::Doubled { channel, offset } => format!("doubled in {}: {offset}", name(channel)),
            HubEvent::Missed { channel, from, to } => {
                format!("left out of {} by the server: {from} to {to}", name(channel))
            }
            HubEvent::Gap { channel, from, to, reason } if (1..=*to).contains(from) => {
                format!("lost of {}: {from} to {to}; {reason}", name(channel))
            }
            HubEvent::Gap { channel, reason, .. } => {
                format!("lost of {}: nobody can tell how much; {reason}", name(channel))
            }
            HubEvent::PublishFailed { channel, error, .. } => format!("not published in {}: {error}", name(channel)),
            _ => return None,
        })
    }
}

/// What became of a line.
enum Published {
    Taken,
    Refused(String),
    /// There is no room at present.
    Later,
}

/// Where a line goes to and what is published: of several channels the line names one first.
fn addressed<'a>(channels: &'a [String], line: &'a str) -> Option<(&'a str, &'a str)> {
    if let [channel] = channels {
        return Some((channel, line));
    }
    // A name may hold a colon: `chat:room: hello`.
    let named = channels.iter().filter_map(|channel| Some((channel.as_str(), line.strip_prefix(channel.as_str())?)));
    let mut after = named.filter_map(|(channel, rest)| Some((channel, rest.strip_prefix(':')?)));
    after
        .find(|(channel, rest)| {
            !channels.iter().any(|other| other.len() > channel.len() && goes_to(other, channel, rest))
        })
        .map(|(channel, rest)| (channel, rest.trim_start()))
}

/// Whether a line that begins with `channel:rest` names the longer `other`.
fn goes_to(other: &str, channel: &str, rest: &str) -> bool {
    other
        .strip_prefix(channel)
        .and_then(|more| more.strip_prefix(':'))
        .is_some_and(|more| rest.strip_prefix(more).is_some_and(|after| after.starts_with(':')))
}

/// Ends in order, so that the server is told on wires that have something for it.
fn say_goodbye(dialer: &mut HubDialer) -> io::Result<End> {
    dialer.handle().stop();
    while dialer.poll(None)?.is_some() {}
    Ok(End::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::hub::GapReason;

    fn check(channels: &[&str], line: &str, expected: Option<(&str, &str)>) {
        let channels: Vec<String> = channels.iter().map(ToString::to_string).collect();
        assert_eq!(addressed(&channels, line), expected, "{line}");
    }

    #[test]
    fn a_line_goes_to_the_only_channel_or_to_the_one_it_names() {
        check(&["a"], "b: hello", Some(("a", "b: hello")));
        check(&["a", "b"], "b: hello", Some(("b", "hello")));
        check(&["a", "b"], "a:1", Some(("a", "1")));
        check(&["a", "b"], "c: hello", None);
        check(&["a", "b"], "hello", None);
        check(&[], "hello", None);
        check(&["chat", "chat:x"], "chat:x: hello", Some(("chat:x", "hello")));
        check(&["chat", "chat:x"], "chat: x: hello", Some(("chat", "x: hello")));
    }

    #[test]
    fn what_happens_to_channels_is_told_in_a_line_and_drives_no_terminal() {
        let (channels, url) = (["a".to_owned(), "b".to_owned()], "127.0.0.1:8000".parse().unwrap());
        let check = |event: HubEvent, expected: &str| {
            assert_eq!(Talk::new(&channels, &url).told(&event).unwrap(), expected);
        };
        let channel = || Box::<str>::from("a");
        let (data, info, tags) = (Json::parse("{\"x\":\"\u{9b}2J\"}").unwrap(), None, None);
        check(
            HubEvent::Publication { channel: channel(), offset: Some(7), data, info, tags },
            r#"< a: {"x":"\u{9b}2J"}"#,
        );
        let reason = GapReason::HistoryTrimmed;
        check(
            HubEvent::Gap { channel: channel(), from: 3, to: 9, reason },
            "lost of a: 3 to 9; the history is shorter",
        );
        let reason = GapReason::EpochChanged;
        check(
            HubEvent::Gap { channel: channel(), from: 0, to: 0, reason },
            "lost of a: nobody can tell how much; the history has begun anew",
        );
        check(HubEvent::Missed { channel: channel(), from: 3, to: 3 }, "left out of a by the server: 3 to 3");
        check(
            HubEvent::Unsubscribed { channel: "\x1b[2J".into(), code: 2000, reason: "by\nus".into() },
            r"unsubscribed from \u{1b}[2J: by\nus (2000)",
        );
    }
}
