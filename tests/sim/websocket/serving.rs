//! The model's rules for requests that a handler is asked about: pages, and whether a WebSocket is welcome.

use crate::conn::millis;
use crate::incoming::Item;
use crate::model::{Model, Verdict, broken};
use crate::seen::Situation;
use crate::websocket::ear::{Answer, Heard};
use crate::websocket::heads::{Request, Upgrade};
use crate::websocket::requests::Agreed;
use crate::websocket::stream::Said;
use crate::websocket::visit::Asks;
use std::num::NonZeroU8;
use tidegate::connection::{CloseReason, LocalReason, PeerReason};
use tidegate::gateway::ConnId;
use tidegate::wire::http::{Response, Status};
use tidegate::wire::websocket::{DeflateParams, handshake};

/// A request that the handler has been asked about, and what it said.
#[derive(Debug, Default)]
pub struct Serving {
    asked: Option<(ConnId, Said)>,
    answer: Option<Response>,
    welcome: Option<Result<Option<&'static str>, Status>>,
}

impl Model {
    /// The handler is asked; `expected` says whether that is what was due.
    fn on_asked(&mut self, id: ConnId, what: &str, expected: impl Fn(&Said) -> bool) -> Verdict {
        let served = self.serving == Some(id);
        let conn = self.known(id)?;
        match conn.due.pop_front() {
            Some(Item::Said(said)) if expected(&said) && served && conn.is_live() && !conn.opened => {
                self.requests += u64::from(matches!(said, Said::Request(_)));
                self.asked = Serving { asked: Some((id, said)), ..Serving::default() };
                Ok(())
            }
            due => broken("asked for what was not asked", Some(id), format!("{what}, due was {due:?}")),
        }
    }

    pub fn on_request(&mut self, id: ConnId, path: &[u8], body: &[u8]) -> Verdict {
        let right = |said: &Said| matches!(said, Said::Request(it) if it.path.as_bytes() == path && it.body == body);
        self.on_asked(id, &path.escape_ascii().to_string(), right)?;
        let now = self.now;
        self.known(id)?.spend_message(now);
        Ok(())
    }

    pub fn on_upgrade(&mut self, id: ConnId, path: &[u8]) -> Verdict {
        self.on_asked(id, "upgrade", |said| matches!(said, Said::Upgrade(it) if it.path.as_bytes() == path))
    }

    pub fn on_answer(&mut self, response: &Response) -> Verdict {
        self.asked.answer = Some(response.clone());
        Ok(())
    }

    pub fn on_welcome(&mut self, welcome: Result<Option<&'static str>, Status>) -> Verdict {
        self.asked.welcome = Some(welcome);
        Ok(())
    }

    /// The handler has returned: its answer is owed.
    pub fn on_returned(&mut self) -> Verdict {
        let Serving { asked, answer, welcome } = std::mem::take(&mut self.asked);
        match (asked, answer, welcome) {
            (Some((id, Said::Request(request))), Some(response), None) => self.on_page(id, &request, &response),
            (Some((id, Said::Upgrade(upgrade))), None, Some(welcome)) => self.on_decided(id, &upgrade, welcome),
            (None, None, None) => Ok(()),
            other => broken("a handler's answer was not asked for", None, format!("{other:?}")),
        }
    }

    fn on_page(&mut self, id: ConnId, request: &Request, response: &Response) -> Verdict {
        let expected = match request.path.as_str() {
            "/health" if !request.may_get => 405,
            "/health" | "/big" => 200,
            _ => 404,
        };
        if response.status().code() != expected {
            return broken("a page has the wrong status", Some(id), format!("{request:?}: {}", response.status()));
        }
        let closes = request.wants_close || self.drain.is_some();
        let (now, idle, hard) =
            (self.now, millis(self.settings.http_idle_timeout), self.settings.write_queue_hard_bytes);
        let seen = self.seen.clone();
        seen.hit_if(request.is_head, Situation::HeadAsked);
        seen.hit_if(expected == 404, Situation::NotFound);
        seen.hit_if(!request.body.is_empty(), Situation::BodyCame);
        let another = self.known(id)?.due.front().is_some();
        seen.hit_if(another, Situation::Pipelined);
        let owed = self.known(id)?.pending();
        let length = self.push_answer(id, response, request.is_head, closes);
        if length + 16 <= hard {
            self.count_page(owed + length <= hard);
        }
        if length + 16 > hard || owed + length > hard {
            seen.hit(Situation::SlowReaderOfPages);
            self.decide(id, CloseReason::Local(LocalReason::SlowConsumer));
            return Ok(());
        }
        if let Some(visit) = self.known(id)?.visit.as_mut() {
            visit.allow(Asks::Another, now + idle);
        }
        if closes {
            self.decide(id, CloseReason::Local(LocalReason::Normal));
        }
        Ok(())
    }

    fn on_decided(&mut self, id: ConnId, upgrade: &Upgrade, welcome: Result<Option<&'static str>, Status>) -> Verdict {
        let forbidden = upgrade.path == "/forbidden";
        let protocol = match welcome {
            Err(status) if forbidden => {
                self.seen.hit(Situation::Forbidden);
                self.refuse_request(id, status.code(), CloseReason::Peer(PeerReason::BadRequest));
                return Ok(());
            }
            Ok(protocol) if protocol == upgrade.protocol && !forbidden => protocol,
            other => return broken("the wrong welcome", Some(id), format!("{other:?} to {upgrade:?}")),
        };
        let now = self.now;
        let conn = self.known(id)?;
        conn.message_at = now;
        let (pipelined, agreed) = (conn.due.len() > 1, conn.incoming.stream.as_ref().and_then(|stream| stream.agreed));
        let asked_before = conn.visit.as_ref().is_some_and(|visit| visit.asks != Asks::First);
        let params = agreed.map(params_of);
        let extensions = params.map(|params| {
            let mut value = Vec::new();
            params.answer(&mut value);
            value
        });
        let key = upgrade.key.as_bytes().first_chunk().ok_or("a key has 24 characters");
        let key = key.or_else(|what| broken(what, Some(id), upgrade.key.as_str()))?;
        let mut bytes = Vec::new();
        handshake::write_101(&mut bytes, key, protocol, extensions.as_deref());
        let answer = Answer {
            status: 101,
            closes: false,
            accept: Some(upgrade.accept.to_owned()),
            extensions: extensions.and_then(|value| String::from_utf8(value).ok()),
            protocol: protocol.map(str::to_owned),
            ..Answer::default()
        };
        if let (Some(visit), Some(params)) = (conn.visit.as_mut(), params) {
            visit.compression.agree(params);
        }
        let waited = conn.pending() > 0;
        self.push(id, Heard::Answer(answer), &bytes);
        if waited && self.known(id)?.pending() > self.settings.write_queue_hard_bytes {
            self.decide(id, CloseReason::Local(LocalReason::SlowConsumer));
            return Ok(());
        }
        let seen = self.seen.clone();
        self.opened += 1;
        seen.hit(Situation::WebSocketOpened);
        seen.hit_if(pipelined, Situation::FramesBehindHead);
        seen.hit_if(asked_before, Situation::KeptThenUpgraded);
        seen.hit_if(agreed.is_some(), Situation::DeflateAgreed);
        Ok(())
    }
}

/// As the crate calls what was agreed on.
fn params_of(agreed: Agreed) -> DeflateParams {
    DeflateParams {
        server_no_context_takeover: agreed.server_afresh,
        client_no_context_takeover: agreed.client_afresh,
        server_max_window_bits: agreed.server_bits.and_then(NonZeroU8::new),
        client_max_window_bits: None,
    }
}
