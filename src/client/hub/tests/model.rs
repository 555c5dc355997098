//! Cuts at any byte, bytes in any pieces, histories that are long or short: whatever happens, what a subscriber sees of
//! a channel, with the gaps it is told of, is the whole channel in its order, and what a client publishes is published
//! once.

use super::rig::{calm, json};
use crate::client::hub::{HubClient, HubEvent, SubscribeOptions};
use crate::client::{Action, ClientOptions};
use crate::timer::{Jitter, Time};
use crate::wire::Wire;
use proptest::prelude::*;
use serde_json::{Value, json as value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::time::Duration;

const CHANNELS: [&str; 2] = ["a", "b"];

/// A hub of few words: histories, keys, and connections that know their channels.
struct Server {
    wire: Wire,
    /// Publications that a history keeps.
    keeps: usize,
    channels: BTreeMap<&'static str, Vec<Value>>,
    keys: BTreeMap<String, usize>,
    chance: Jitter,
}

/// A client, and what is on the wire between it and the server.
struct Line {
    hub: HubClient,
    now: Time,
    has_socket: bool,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What has arrived at the server without being whole.
    arrived: Vec<u8>,
    /// Of the server's side of the connection.
    joined: BTreeSet<&'static str>,
    /// Of each channel, what is to come next; nothing before the first subscription.
    expected: BTreeMap<String, u64>,
    published: usize,
    settled: BTreeSet<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    /// The server publishes.
    Publish(usize),
    /// A client publishes.
    Send(usize, usize),
    /// So many bytes arrive at the server, and at the client.
    Arrive(usize, usize, usize),
    /// The same, and the rest never does.
    Cut(usize, usize, usize),
    Elapse(usize, u64),
    /// The server interrupts a subscription.
    Interrupt(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (line, channel) = (0..2usize, 0..CHANNELS.len());
    prop_oneof![
        4 => channel.clone().prop_map(Step::Publish),
        4 => (line.clone(), channel.clone()).prop_map(|(line, channel)| Step::Send(line, channel)),
        8 => (line.clone(), 0..200usize, 0..400usize).prop_map(|(line, up, down)| Step::Arrive(line, up, down)),
        8 => (line.clone(), 500..5000usize, 500..5000usize).prop_map(|(l, up, down)| Step::Arrive(l, up, down)),
        2 => (line.clone(), 0..300usize, 0..600usize).prop_map(|(line, up, down)| Step::Cut(line, up, down)),
        6 => (line.clone(), 0..3000u64).prop_map(|(line, millis)| Step::Elapse(line, millis)),
        1 => (line, channel).prop_map(|(line, channel)| Step::Interrupt(line, channel)),
    ]
}

impl Server {
    fn publish(&mut self, channel: &str, data: &Value, lines: &mut [Line]) -> usize {
        let (&name, history) = self.channels.iter_mut().find(|(name, _)| **name == channel).unwrap();
        let publication = value!({ "offset": history.len() + 1, "data": data });
        history.push(publication.clone());
        let offset = history.len();
        for line in lines.iter_mut().filter(|line| line.joined.contains(name)) {
            self.say(line, &[value!({ "push": { "channel": name, "pub": publication } })]);
        }
        offset
    }

    /// Sends documents: on the length wire sometimes in one message, sometimes in several, sometimes after a ping.
    fn say(&mut self, line: &mut Line, documents: &[Value]) {
        let mut unit = if self.chance.below(4) == 0 { vec!["{}".to_owned()] } else { vec![] };
        for document in documents {
            unit.push(document.to_string());
            if self.wire == Wire::Line || self.chance.below(3) == 0 {
                unit.drain(..).for_each(|text| self.wire.encode(text.as_str().into(), &mut line.to_client));
            }
        }
        match self.wire {
            Wire::Line => unit.iter().for_each(|text| self.wire.encode(text.as_str().into(), &mut line.to_client)),
            _ if unit.is_empty() => {}
            _ => self.wire.encode(unit.join("\n").as_str().into(), &mut line.to_client),
        }
    }

    /// Acts on what has arrived of a line.
    fn listen(&mut self, lines: &mut [Line], which: usize, arrived: &mut Vec<u8>) {
        while let Some(frame) = self.wire.decode(arrived, 0, 1 << 20).unwrap() {
            let unit = String::from_utf8(arrived[frame.payload].to_vec()).unwrap();
            arrived.drain(..frame.len);
            for command in unit.split('\n').filter(|command| *command != "{}") {
                let answer = self.answer(serde_json::from_str(command).unwrap(), lines, which);
                self.say(&mut lines[which], &[answer]);
            }
        }
    }

    fn answer(&mut self, command: Value, lines: &mut [Line], which: usize) -> Value {
        let id = &command["id"];
        if command.get("connect").is_some() {
            return value!({ "id": id, "connect": { "client": "c", "ping": 25, "pong": true } });
        }
        if let Some(publish) = command.get("publish") {
            let key = publish["idempotency_key"].as_str().unwrap().to_owned();
            let offset = match self.keys.get(&key) {
                Some(&offset) => offset,
                None => self.publish(publish["channel"].as_str().unwrap(), &publish["data"], lines),
            };
            self.keys.insert(key, offset);
            return value!({ "id": id, "publish": { "offset": offset, "epoch": "e" } });
        }
        let subscribe = &command["subscribe"];
        let name = CHANNELS.into_iter().find(|name| subscribe["channel"] == *name).unwrap();
        assert!(lines[which].joined.insert(name), "subscribed twice");
        value!({ "id": id, "subscribe": self.standing(name, subscribe) })
    }

    fn standing(&self, name: &str, subscribe: &Value) -> Value {
        let history = &self.channels[name];
        let (top, first) = (history.len(), history.len().saturating_sub(self.keeps));
        let fresh = value!({ "recoverable": true, "epoch": "e", "offset": top });
        let Some(since) = subscribe["offset"].as_u64().map(|since| since as usize) else {
            return fresh;
        };
        if since < first {
            let gap = value!({ "from": since + 1, "to": top, "reason": "history_trimmed" });
            return value!({ "recoverable": true, "epoch": "e", "offset": top, "gap": gap });
        }
        let missed = &history[since..];
        value!({ "recoverable": true, "epoch": "e", "offset": since, "recovered": true, "publications": missed })
    }
}

impl Line {
    fn new(wire: Wire, seed: u64) -> Self {
        let mut options = calm();
        options.connection = ClientOptions { backoff_max: Duration::from_secs(2), ..options.connection };
        let mut hub = HubClient::new(wire, options, seed, Time::ZERO).unwrap();
        for channel in CHANNELS {
            hub.subscribe(channel, SubscribeOptions::default()).unwrap();
        }
        let (to_server, to_client, arrived, joined) = (vec![], vec![], vec![], BTreeSet::new());
        let (expected, settled) = (BTreeMap::new(), BTreeSet::new());
        Self {
            hub,
            now: Time::ZERO,
            has_socket: false,
            to_server,
            to_client,
            arrived,
            joined,
            expected,
            published: 0,
            settled,
        }
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            let out = &mut self.to_server;
            let before = out.len();
            self.hub.poll_transmit(self.now, |slices| {
                let from = out.len();
                slices.iter().for_each(|slice| out.extend_from_slice(slice));
                Ok(out.len() - from)
            });
            let has_sent = out.len() > before;
            while let Some(event) = self.hub.poll_event() {
                self.judge(event);
            }
            match self.hub.poll_action() {
                Some(Action::Connect) => {
                    assert!(!std::mem::replace(&mut self.has_socket, true));
                    self.hub.handle_connected(self.now);
                }
                Some(Action::CloseSocket) => self.forget(),
                None if !has_sent => return,
                None => {}
            }
        }
        panic!("it comes to no rest");
    }

    fn forget(&mut self) {
        self.has_socket = false;
        self.to_server.clear();
        self.to_client.clear();
        self.arrived.clear();
        self.joined.clear();
    }

    fn judge(&mut self, event: HubEvent) {
        match event {
            HubEvent::Subscribed { channel, position, .. } => {
                let next = position.unwrap().offset + 1;
                self.expected.entry(channel.into()).or_insert(next);
            }
            HubEvent::Publication { channel, offset, .. } => {
                let expected = self.expected.get_mut(&*channel).unwrap();
                assert_eq!(offset, Some(*expected), "{channel}");
                *expected += 1;
            }
            HubEvent::Gap { channel, from, to, .. } => {
                let expected = self.expected.get_mut(&*channel).unwrap();
                assert_eq!(from, *expected, "{channel}");
                *expected = to + 1;
            }
            HubEvent::Published { key, .. } => assert!(self.settled.insert(key.number), "answered twice"),
            HubEvent::Connected { .. } | HubEvent::Lost { .. } | HubEvent::AttemptFailed { .. } => {}
            HubEvent::Resubscribing { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn elapse(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        self.settle();
        while let Some(at) = self.hub.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.hub.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }
}

struct World {
    server: Server,
    lines: [Line; 2],
}

impl World {
    fn arrive(&mut self, which: usize, up: usize, down: usize) {
        let line = &mut self.lines[which];
        line.settle();
        let up = up.min(line.to_server.len());
        let mut arrived = std::mem::take(&mut line.arrived);
        arrived.extend(line.to_server.drain(..up));
        self.server.listen(&mut self.lines, which, &mut arrived);
        self.lines[which].arrived = arrived;
        let line = &mut self.lines[which];
        let down = down.min(line.to_client.len());
        let bytes: Vec<u8> = line.to_client.drain(..down).collect();
        for piece in bytes.chunks(1 + down / 3) {
            line.hub.handle_bytes(piece, line.now);
            line.settle();
        }
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Publish(channel) => {
                self.server.publish(CHANNELS[channel], &value!("server"), &mut self.lines);
            }
            Step::Send(which, channel) => {
                let line = &mut self.lines[which];
                line.published += 1;
                line.hub.publish(CHANNELS[channel], json(&format!("[{which},{}]", line.published))).unwrap();
            }
            Step::Arrive(which, up, down) => self.arrive(which, up, down),
            Step::Cut(which, up, down) => {
                self.arrive(which, up, down);
                let line = &mut self.lines[which];
                if line.has_socket {
                    line.forget();
                    line.hub.handle_error(ErrorKind::ConnectionReset, line.now);
                    line.settle();
                }
            }
            Step::Elapse(which, millis) => self.lines[which].elapse(millis),
            Step::Interrupt(which, channel) => {
                let (name, line) = (CHANNELS[channel], &mut self.lines[which]);
                if line.joined.remove(name) {
                    let notice = value!({ "code": 2500, "reason": "insufficient state" });
                    self.server.say(line, &[value!({ "push": { "channel": name, "unsubscribe": notice } })]);
                }
            }
        }
    }

    /// Everything arrives, time goes by, and then nothing is owed.
    fn end(&mut self) {
        for _ in 0..20 {
            for which in 0..2 {
                self.act(&Step::Elapse(which, 500));
                self.arrive(which, usize::MAX, usize::MAX);
            }
        }
        for line in &self.lines {
            assert!(line.hub.is_joined());
            for (name, history) in &self.server.channels {
                assert_eq!(line.expected.get(*name), Some(&(history.len() as u64 + 1)), "all of {name} came");
            }
            assert_eq!((line.settled.len(), line.hub.waiting_publications()), (line.published, 0));
            let counts = line.hub.counts();
            assert_eq!((counts.doubled, counts.missed), (0, 0));
        }
        for which in 0..2 {
            let of_it = |it: &&Value| it["data"][0] == which;
            let mut numbers: Vec<_> = self.server.channels.values().flatten().filter(of_it).collect();
            numbers.sort_by_key(|it| it["data"][1].as_u64());
            let expected = 1..=self.lines[which].published as u64;
            assert!(numbers.iter().map(|it| it["data"][1].as_u64().unwrap()).eq(expected), "each was published once");
        }
        for history in self.server.channels.values() {
            for which in 0..2 {
                let mine = history.iter().filter(|it| it["data"][0] == which).map(|it| it["data"][1].as_u64());
                assert!(mine.is_sorted(), "in their order");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_is_whole_in_order_and_without_doubles(
        steps in prop::collection::vec(step(), 1..150),
        keeps in prop_oneof![Just(1000usize), 0..5usize],
        is_line in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let wire = if is_line { Wire::Line } else { Wire::Length };
        let channels = CHANNELS.map(|name| (name, vec![])).into();
        let server = Server { wire, keeps, channels, keys: BTreeMap::new(), chance: Jitter::new(seed) };
        let lines = [Line::new(wire, seed), Line::new(wire, seed.wrapping_add(1))];
        let mut world = World { server, lines };
        for step in &steps {
            world.act(step);
        }
        world.end();
    }

    #[test]
    fn nothing_a_server_says_is_more_than_an_end(
        bytes in prop::collection::vec(prop_oneof![
            Just(br#"{"id":1,"connect":{"ping":1,"pong":true,"subs":{"a":{"recoverable":true}}}}"#.to_vec()),
            Just(br#"{"id":2,"subscribe":{"recoverable":true,"offset":18446744073709551615,"publications":[{"offset":1}]}}"#.to_vec()),
            Just(br#"{"push":{"channel":"a","pub":{"offset":18446744073709551615}}}"#.to_vec()),
            Just(br#"{"push":{"channel":"a","unsubscribe":{"code":4294967295}}}"#.to_vec()),
            Just(br#"{"push":{"refresh":{"expires":true,"ttl":4294967295}}}"#.to_vec()),
            Just(br#"{"id":3,"error":{"code":100}}"#.to_vec()),
            Just(b"{}".to_vec()),
            prop::collection::vec(any::<u8>(), 0..20),
        ], 0..20),
        waits in prop::collection::vec(0..20_000u64, 0..5),
    ) {
        let mut line = Line::new(Wire::Line, 1);
        line.hub.publish("a", json("1")).unwrap();
        for (n, bytes) in bytes.iter().enumerate() {
            line.hub.handle_bytes(&[bytes.as_slice(), b"\n"].concat(), line.now);
            for _ in 0..100 {
                line.hub.poll_transmit(line.now, |slices| Ok(slices.iter().map(|slice| slice.len()).sum()));
                while line.hub.poll_event().is_some() {}
                match line.hub.poll_action() {
                    Some(Action::Connect) => line.hub.handle_connected(line.now),
                    Some(Action::CloseSocket) => {}
                    None => break,
                }
            }
            line.now += Duration::from_millis(waits.get(n % waits.len().max(1)).copied().unwrap_or(0));
            line.hub.handle_timeout(line.now);
        }
    }
}
