//! Commands, one after the other: none begins before the engine has answered the one before it.

use super::Hub;
use super::client::Stage;
use super::codes::ErrorCode;
use super::command::{self, Command, Method};
use super::reply;
use crate::connection::{Bucket, CloseReason, LocalReason, PeerReason};
use crate::engine::Engine;
use crate::gateway::{ConnId, Context};

impl<E: Engine> Hub<E> {
    /// Serves one message of a client.
    pub(super) fn serve(&mut self, cx: &mut Context<'_>, id: ConnId, documents: &str) {
        if documents.is_empty() {
            return self.disconnect(cx, id, CloseReason::Peer(PeerReason::BadCommand));
        }
        self.outbox.begin(id);
        self.run(cx, id, documents);
        self.outbox.end(cx);
    }

    /// The engine has answered: what came behind the command that waited is next.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(client) = self.clients.get_mut(id).filter(|client| client.awaited == 0) else {
            return;
        };
        let backlog = client.rare.as_mut().map(|rare| std::mem::take(&mut rare.backlog)).unwrap_or_default();
        self.outbox.begin(id);
        self.run(cx, id, &backlog);
        self.outbox.end(cx);
        if self.clients.get(id).is_some_and(|client| client.awaited == 0) {
            cx.resume(id);
        }
    }

    fn run(&mut self, cx: &mut Context<'_>, id: ConnId, documents: &str) {
        let mut rest = documents;
        while let Some(command) = command::next(&mut rest) {
            let Ok(command) = command else {
                return self.disconnect(cx, id, CloseReason::Peer(PeerReason::BadCommand));
            };
            if !self.begin_command(cx, id, &command) {
                return;
            }
            self.execute(cx, id, command);
            self.hear_engine(cx);
            let Some(client) = self.clients.get_mut(id) else {
                return;
            };
            if client.awaited > 0 {
                client.rare().backlog = rest.to_owned();
                return cx.pause(id);
            }
        }
    }

    /// Whether a command may be executed: the client is there, and did not send too many.
    fn begin_command(&mut self, cx: &mut Context<'_>, id: ConnId, command: &Command<'_>) -> bool {
        let now = cx.now();
        let per_second = self.settings.max_commands_per_second;
        let Some(client) = self.clients.get_mut(id).filter(|client| client.stage != Stage::Refused) else {
            return false;
        };
        let is_first = matches!(command.method, Method::Connect(_));
        if is_first != (client.stage == Stage::Fresh) {
            self.disconnect(cx, id, CloseReason::Peer(PeerReason::BadCommand));
            return false;
        }
        self.counters.commands += 1;
        let within = per_second.is_none_or(|per_second| {
            client.rare().commands.get_or_insert_with(|| Bucket::new(per_second, now)).take(1, now)
        });
        if !within {
            self.disconnect(cx, id, CloseReason::Local(LocalReason::TooManyMessages));
        }
        within
    }

    fn execute(&mut self, cx: &mut Context<'_>, id: ConnId, command: Command<'_>) {
        let number = command.id;
        match command.method {
            Method::Pong => self.on_pong(cx, id),
            Method::Connect(connect) => self.connect(cx, id, number, &connect),
            Method::Subscribe(subscribe) => self.subscribe(cx, id, number, &subscribe),
            Method::Unsubscribe { channel } => self.on_unsubscribe(cx, id, number, &channel),
            Method::Publish { channel, data, idempotency_key } => {
                self.publish(cx, id, number, &channel, data, idempotency_key.as_deref());
            }
            Method::Presence { channel } => self.presence(cx, id, number, &channel),
            Method::PresenceStats { channel } => self.presence_stats(cx, id, number, &channel),
            Method::History(history) => self.history(cx, id, number, &history),
            Method::Ping => self.outbox.tell(cx, id, |out| reply::empty(out, number, "ping")),
            // There is no application behind the hub that could hear it.
            Method::Send { .. } => {}
            Method::Rpc { .. } => self.fail(cx, id, number, ErrorCode::NotAvailable),
            Method::Refresh { token } => self.refresh(cx, id, number, &token),
            Method::SubRefresh { channel, token } => self.sub_refresh(cx, id, number, &channel, &token),
            Method::Unknown => self.fail(cx, id, number, ErrorCode::MethodNotFound),
        }
    }

    /// Answers a command by an error, and ends a connection that makes too many.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, id: ConnId, command: u32, code: ErrorCode) {
        self.counters.errors += 1;
        self.outbox.tell(cx, id, |out| reply::error(out, command, code));
        let (now, max) = (cx.now(), self.settings.max_errors);
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        if !client.rare().errors.get_or_insert_with(|| Bucket::new(max, now)).take(1, now) {
            self.disconnect(cx, id, CloseReason::Local(LocalReason::TooManyErrors));
        }
    }

    fn on_pong(&mut self, cx: &mut Context<'_>, id: ConnId) {
        let Some(client) = self.clients.get_mut(id) else {
            return;
        };
        match client.awaited_pongs.checked_sub(1) {
            Some(rest) => client.awaited_pongs = rest,
            None => self.disconnect(cx, id, CloseReason::Peer(PeerReason::BadCommand)),
        }
    }
}
