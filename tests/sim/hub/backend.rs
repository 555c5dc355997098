//! A back end that calls the hub over HTTP on one connection, and what it is answered.

use super::link::Stage;
use super::seen::Situation;
use super::world::{Owner, World};
use crate::model::{Verdict, broken};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tidegate::wire::Wire;

/// What an answer is awaited to.
#[derive(Debug)]
enum Call {
    Publish { channel: String, number: u64 },
    Broadcast { channels: Vec<String>, number: u64 },
    Presence { channel: String },
    Other,
}

#[derive(Debug, Default)]
pub struct Backend {
    sock: Option<usize>,
    bytes: Vec<u8>,
    pending: VecDeque<Call>,
    pub answered: u64,
}

impl Backend {
    /// Its connection has ended.
    pub fn forget(&mut self, sock: usize) {
        if self.sock == Some(sock) {
            *self = Self { answered: self.answered, ..Self::default() };
        }
    }
}

impl World<'_> {
    /// The back end asks for something.
    pub fn call(&mut self) -> Verdict {
        let at = self.rng.below(self.plan.channels.len() as u64) as usize;
        let channel = self.plan.channels[at].clone();
        let link = self.some_link();
        match (self.rng.below(16), link) {
            (0..7, _) => self.call_publish(&channel, 300),
            (7 | 8, _) => self.call_broadcast(),
            (9 | 10, Some(link)) => {
                let who = self.whose[link];
                self.clients[who].known.insert(channel.clone());
                self.links[link].subscribed_by_server = true;
                let fields = json!({"user": "", "client": self.links[link].uuid, "channel": channel});
                self.request("subscribe", &fields, Call::Other);
            }
            (11, Some(link)) => {
                self.links[link].unsubscribed_by_server = true;
                let fields = json!({"user": "", "client": self.links[link].uuid, "channel": channel});
                self.request("unsubscribe", &fields, Call::Other);
            }
            (12, Some(link)) if self.rng.chance(30) => {
                self.links[link].kicked = true;
                self.request("disconnect", &json!({"user": "", "client": self.links[link].uuid}), Call::Other);
            }
            (13, _) if self.rng.chance(30) && !channel.starts_with("live:") => {
                self.seen.hit(Situation::HistoryRemoved);
                self.request("history_remove", &json!({"channel": channel}), Call::Other);
            }
            (14, _) => self.ask_presence(&channel),
            _ => self.request("info", &json!({}), Call::Other),
        }
        Ok(())
    }

    fn some_link(&mut self) -> Option<usize> {
        let connected: Vec<usize> =
            (0..self.links.len()).filter(|link| self.links[*link].stage == Stage::Connected).collect();
        (!connected.is_empty()).then(|| self.rng.pick(&connected))
    }

    pub fn call_publish(&mut self, channel: &str, most: u64) {
        self.last_number += 1;
        let number = self.last_number;
        let mut fields = json!({"channel": channel, "data": self.data(number, most)});
        if self.rng.chance(20) {
            let key = format!("b{number}");
            fields["idempotency_key"] = json!(key);
            self.desk.borrow_mut().truth.on_given(number, &key);
        }
        if !self.is_calm && self.rng.chance(10) {
            fields["skip_history"] = json!(true);
        }
        let call = Call::Publish { channel: channel.to_owned(), number };
        self.request("publish", &fields, call);
    }

    fn call_broadcast(&mut self) {
        self.last_number += 1;
        let number = self.last_number;
        let mut channels = self.plan.channels.clone();
        self.rng.shuffle(&mut channels);
        channels.truncate(self.rng.size(1, 5));
        let fields = json!({"channels": channels, "data": self.data(number, 100)});
        self.request("broadcast", &fields, Call::Broadcast { channels, number });
    }

    pub fn ask_presence(&mut self, channel: &str) {
        let call = Call::Presence { channel: channel.to_owned() };
        self.request("presence", &json!({"channel": channel}), call);
    }

    fn request(&mut self, method: &str, fields: &Value, call: Call) {
        let sock = match self.backend.sock {
            Some(sock) => sock,
            None => self.connect(Wire::WebSocket, Owner::Backend),
        };
        self.backend.sock = Some(sock);
        self.backend.pending.push_back(call);
        let body = fields.to_string();
        let head = format!(
            "POST /api/{method} HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.send(sock, (head + &body).as_bytes());
    }

    pub fn on_backend_taken(&mut self, sock: usize, bytes: &[u8]) -> Verdict {
        if self.backend.sock != Some(sock) {
            return Ok(());
        }
        self.backend.bytes.extend_from_slice(bytes);
        while let Some((status, body, len)) = response(&self.backend.bytes) {
            self.backend.bytes.drain(..len);
            let Some(call) = self.backend.pending.pop_front() else {
                return broken("a back end answered without having asked", None, body);
            };
            self.on_answer(&status, &body, call)?;
        }
        Ok(())
    }

    fn on_answer(&mut self, status: &str, body: &str, call: Call) -> Verdict {
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        self.backend.answered += 1;
        if answer.get("error").is_some() || status != "200" {
            if self.rules.reliable && !matches!(call, Call::Other) {
                return broken("a back end is refused for no reason", None, format!("{status} {body} to {call:?}"));
            }
            return Ok(());
        }
        self.seen.hit(Situation::Called);
        let result = &answer["result"];
        match call {
            Call::Publish { channel, number } => self.check_place(&channel, number, result),
            Call::Broadcast { channels, number } => {
                self.seen.hit(Situation::Broadcast);
                let responses = result["responses"].as_array().cloned().unwrap_or_default();
                if responses.len() != channels.len() {
                    return broken("a broadcast half answered", None, body);
                }
                let each = channels.iter().zip(&responses);
                each.into_iter().try_for_each(|(channel, one)| self.check_place(channel, number, &one["result"]))
            }
            Call::Presence { channel } => self.check_presence(&channel, &result["presence"]),
            Call::Other => Ok(()),
        }
    }

    fn check_place(&self, channel: &str, number: u64, result: &Value) -> Verdict {
        let (Some(epoch), Some(offset)) = (result["epoch"].as_str(), result["offset"].as_u64()) else {
            return Ok(());
        };
        if epoch.is_empty() || self.desk.borrow().truth.at(channel, epoch, offset) == Some(number) {
            return Ok(());
        }
        broken("a publication is said to be elsewhere", None, format!("{number} on {channel}: {result}"))
    }
}

/// Status, body and length of the first whole answer.
fn response(bytes: &[u8]) -> Option<(String, String, usize)> {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_len]).to_ascii_lowercase();
    let body_len = head.split("content-length: ").nth(1)?.lines().next()?.trim().parse::<usize>().ok()?;
    let body = bytes.get(head_len..head_len + body_len)?;
    let status = head.split(' ').nth(1)?.to_owned();
    Some((status, String::from_utf8_lossy(body).into_owned(), head_len + body_len))
}
