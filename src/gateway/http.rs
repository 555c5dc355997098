//! HTTP requests: refused, answered by the handler, or turned into a WebSocket.

use super::admission::Peer;
use super::core::Core;
use super::handler::{Handler, Reply};
use super::id::ConnId;
use super::machine::Gateway;
use crate::config::Deflate;
use crate::connection::{CloseReason, LocalReason, Payload, PeerReason};
use crate::timer::Time;
use crate::wire::http::{BodyLength, EncodeOptions, Head, Method, Response, Status, Storage, forwarded_for};
use crate::wire::websocket::{DeflateParams, handshake, negotiate};
use std::net::SocketAddr;

/// One whole HTTP request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r> {
    /// Method, path and fields.
    pub head: &'r Head<'r, 'r>,
    /// The body; empty where there is none.
    pub body: &'r [u8],
    /// Who asks: the address that trusted proxies tell, or the one the connection comes from.
    pub peer: Peer,
    /// It came to a listener that only this machine reaches.
    pub local: bool,
}

impl<H: Handler> Gateway<H> {
    pub(super) fn on_head(&mut self, id: ConnId, bytes: Payload<'_>, now: Time) {
        let mut storage = Storage::new();
        match Head::parse(bytes.bytes(), &mut storage) {
            Err(status) => self.refuse_request(id, status, now),
            Ok(head) if head.upgrade => self.upgrade(id, &head, now),
            Ok(head) if head.body == BodyLength::None => self.answer(id, &head, &[], now),
            Ok(head) => {
                let (body, expects_continue) = (head.body, head.expects_continue);
                return self.begin_body(id, bytes, body, expects_continue, now);
            }
        }
        bytes.give_back(&mut self.core.pool, &mut self.core.compressor);
    }

    pub(super) fn on_whole_request(&mut self, id: ConnId, request: Vec<u8>, head_len: usize, now: Time) {
        let mut storage = Storage::new();
        let (head, body) = request.split_at(head_len);
        match Head::parse(head, &mut storage) {
            Err(status) => self.refuse_request(id, status, now),
            Ok(head) => self.answer(id, &head, body, now),
        }
        self.core.pool.give(request);
    }

    /// Answers with this status and closes: what follows on the stream can't be trusted.
    pub(super) fn refuse_request(&mut self, id: ConnId, status: Status, now: Time) {
        self.refuse_with(id, status, CloseReason::Peer(PeerReason::BadRequest), now);
    }

    fn refuse_with(&mut self, id: ConnId, status: Status, reason: CloseReason, now: Time) {
        let answer = self.core.refusal(status, now);
        log::debug!("{}: HTTP request refused with {}", self.core.ids.text(id), status.code());
        self.core.end(id, reason, &answer, now);
    }

    fn begin_body(&mut self, id: ConnId, head: Payload<'_>, body: BodyLength, expects_continue: bool, now: Time) {
        let core = &mut self.core;
        let Some(slot) = core.slots.get_mut(id) else {
            return head.give_back(&mut core.pool, &mut core.compressor);
        };
        match slot.connection.begin_body(head, body, now, &core.settings, &mut core.pool) {
            Err(status) => self.refuse_request(id, status, now),
            Ok(()) if expects_continue => core.send_judged(id, b"HTTP/1.1 100 Continue\r\n\r\n", now),
            Ok(()) => {}
        }
    }

    fn answer(&mut self, id: ConnId, head: &Head<'_, '_>, body: &[u8], now: Time) {
        self.core.counters.http_requests += 1;
        if !self.core.slots.get_mut(id).is_some_and(|slot| slot.connection.takes_message(now)) {
            let reason = CloseReason::Local(LocalReason::TooManyMessages);
            return self.refuse_with(id, Status::TooManyRequests, reason, now);
        }
        let Some(peer) = self.core.asker(id, head) else {
            return;
        };
        if let Some(slot) = self.core.slots.get_mut(id) {
            slot.connection.await_answer(head.method == Method::Head, head.wants_close);
        }
        let request = Request { head, body, peer, local: self.core.is_local(id) };
        let mut reply = None;
        self.call(Some(id), now, |handler, cx| reply = Some(handler.on_request(cx, id, &request)));
        match reply {
            // A handler that panicked has no answer; the connection is closed by now.
            None => {}
            Some(Reply::Now(response)) => self.core.respond(id, &response, now),
            Some(Reply::Later) => self.core.hold_for_answer(id),
        }
    }

    fn upgrade(&mut self, id: ConnId, head: &Head<'_, '_>, now: Time) {
        let settings = &self.core.settings;
        let upgrade = match handshake::check(head) {
            Ok(upgrade) => upgrade,
            Err(status) => return self.refuse_request(id, status, now),
        };
        if !handshake::origin_allowed(upgrade.origin(), head.host, &settings.allowed_origins) {
            let reason = CloseReason::Local(LocalReason::OriginRefused);
            return self.refuse_with(id, Status::Forbidden, reason, now);
        }
        let params = match settings.deflate {
            Deflate::Off => None,
            Deflate::On | Deflate::Takeover if !cfg!(feature = "deflate") => None,
            mode => negotiate(upgrade.extensions(), mode == Deflate::Takeover),
        };
        if self.is_draining() {
            return self.refuse_with(id, Status::Unavailable, CloseReason::Local(LocalReason::Draining), now);
        }
        let Some(peer) = self.core.asker(id, head) else {
            return;
        };
        if self.core.rename(id, peer).is_err() {
            let reason = CloseReason::Local(LocalReason::TooManyFromIp);
            return self.refuse_with(id, Status::TooManyRequests, reason, now);
        }
        let request = Request { head, body: &[], peer, local: self.core.is_local(id) };
        let mut verdict = None;
        self.call(Some(id), now, |handler, cx| verdict = Some(handler.on_upgrade(cx, id, &request)));
        match verdict {
            None => {}
            Some(Err(status)) => self.refuse_request(id, status, now),
            Some(Ok(protocol)) => self.begin_websocket(id, upgrade.key(), protocol, params, now),
        }
    }

    fn begin_websocket(
        &mut self,
        id: ConnId,
        key: &[u8; handshake::KEY_LEN],
        protocol: Option<&'static str>,
        params: Option<DeflateParams>,
        now: Time,
    ) {
        let (mut answer, mut extensions) = (Vec::with_capacity(256), Vec::new());
        if let Some(params) = params {
            params.answer(&mut extensions);
        }
        handshake::write_101(&mut answer, key, protocol, params.is_some().then_some(&extensions[..]));
        self.core.send_judged(id, &answer, now);
        let Some(slot) = self.core.slots.get_mut(id).filter(|slot| slot.connection.is_live()) else {
            return;
        };
        slot.connection.on_upgraded(params, now, &self.core.settings);
        self.core.counters.websockets_opened += 1;
        self.open(id, now);
        self.core.rearm(id);
    }
}

impl Core {
    /// Answers the request that waits for it, if one does, and lets its connection go on.
    pub(super) fn respond(&mut self, id: ConnId, response: &Response, now: Time) {
        let Some((head_only, close)) = self.slots.get(id).and_then(|slot| slot.connection.awaited_answer()) else {
            return;
        };
        let close = close || self.drain.is_some();
        let answer = self.encode(response, head_only, close, now);
        self.send_bytes(id, answer, now);
        if let Some(slot) = self.slots.get_mut(id) {
            slot.connection.on_answered(now, &self.settings);
            if slot.connection.release_answered() {
                self.resumed.push_back(id);
            }
        }
        if close {
            self.close(id, CloseReason::Local(LocalReason::Normal), now);
        }
        self.rearm(id);
    }

    fn hold_for_answer(&mut self, id: ConnId) {
        if let Some(slot) = self.slots.get_mut(id) {
            slot.connection.hold_for_answer();
        }
    }

    /// Gives the handler `close_timeout` to answer a request that waits for it, as the last one; whether one does.
    pub(super) fn limit_answer(&mut self, id: ConnId, now: Time) -> bool {
        let until = now + self.settings.close_timeout;
        let Some(slot) = self.slots.get_mut(id).filter(|slot| slot.connection.awaited_answer().is_some()) else {
            return false;
        };
        slot.connection.limit_answer(until);
        self.rearm(id);
        true
    }

    /// The handler has not answered in time, while we shut down.
    pub(super) fn answer_late(&mut self, id: ConnId, now: Time) {
        let answer = self.refusal(Status::Unavailable, now);
        self.end(id, CloseReason::Local(LocalReason::Draining), &answer, now);
    }

    /// A short answer with this status, after which the connection closes.
    pub(super) fn refusal(&mut self, status: Status, now: Time) -> Vec<u8> {
        self.counters.http_refused += 1;
        self.encode(&Response::refusal(status), false, true, now)
    }

    fn encode(&mut self, response: &Response, head_only: bool, close: bool, now: Time) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let date = self.date.text(self.unix_millis(now) / 1000);
        response.encode(&mut out, EncodeOptions { head_only, close, date });
        out
    }

    fn is_local(&self, id: ConnId) -> bool {
        self.slots.get(id).is_some_and(|slot| slot.connection.door().local)
    }

    /// Who asks: the address that trusted proxies tell, or the one the connection comes from.
    fn asker(&self, id: ConnId, head: &Head<'_, '_>) -> Option<Peer> {
        let peer = self.slots.get(id)?.peer;
        let hops = self.settings.forwarded_hops as usize;
        if hops == 0 || !self.trusts(peer) {
            return Some(peer);
        }
        let told = forwarded_for(head.fields("x-forwarded-for"), hops);
        Some(told.map_or(peer, |ip| Peer::Tcp(SocketAddr::new(ip, 0))))
    }
}
