//! The hub on a gateway: documents to clients, the HTTP API to back ends, on one port.

use crate::admin::api::Api;
use crate::admin::{self, Access, Metrics};
use crate::config::HubSettings;
use crate::connection::CloseReason;
use crate::engine::Engine;
use crate::gateway::{ConnId, Context, Handler, Reply, Request};
use crate::hub::{Hub, push};
use crate::wire::Message;
use crate::wire::http::{Response, Status};

/// The hub and what HTTP asks of it.
pub struct HubApp<E> {
    hub: Hub<E>,
    api: Api,
}

/// Where clients ask for a WebSocket.
const PATH: &str = "/connection/websocket";
/// Where back ends ask.
const API: &str = "/api/";
/// What a client may say it wants to speak there.
const SUBPROTOCOL: &str = "centrifuge-json";

impl<E: Engine> HubApp<E> {
    /// An application around this hub.
    pub fn new(hub: Hub<E>) -> Self {
        Self { hub, api: Api::default() }
    }

    /// The hub.
    pub fn hub(&self) -> &Hub<E> {
        &self.hub
    }

    fn metrics(&self, cx: &Context<'_>) -> Metrics {
        let mut metrics = Metrics::of_gateway(cx);
        let [clients, channels, sessions, ..] = self.hub.table_sizes();
        metrics.gauge("hub_clients", "Connections the hub knows.", clients);
        metrics.gauge("hub_channels", "Channels with a subscriber.", channels);
        metrics.gauge("hub_sessions", "Sessions, those included whose connection is gone.", sessions);
        let counters = self.hub.counters();
        for (name, help, value) in [
            ("hub_commands", "Commands of clients.", counters.commands),
            ("hub_errors", "Commands answered by an error.", counters.errors),
            ("hub_publications", "Publications handed to subscribers.", counters.publications),
            ("hub_deliveries", "Copies of publications handed to connections.", counters.deliveries),
            ("hub_sliced", "Of the publications, handed to a channel in slices.", counters.sliced),
            ("hub_lagged", "Subscribers that fell behind and were served from the history.", counters.lagged),
            ("hub_insufficient", "Subscriptions ended because a position was lost.", counters.insufficient),
            ("hub_recoveries", "Recoveries asked for.", counters.recoveries),
            ("hub_recovered", "Recoveries that brought everything.", counters.recovered),
            ("hub_resumed", "Sessions that came back.", counters.resumed),
            ("hub_history_reads", "Histories read for those who return or lag.", counters.history_reads),
            ("hub_engine_full", "Requests that the engine did not take.", counters.engine_full),
            ("hub_engine_errors", "Requests that the engine failed.", counters.engine_errors),
        ] {
            metrics.counter(name, help, value);
        }
        metrics
    }

    fn call_api(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        let mut operations = Vec::new();
        let access = access(self.hub.settings(), request);
        let at_once =
            self.api.begin(id, request, &access, &mut |ticket, operation| operations.push((ticket, operation)));
        if let Some(response) = at_once {
            return response.into();
        }
        for (ticket, operation) in operations {
            self.hub.operate(cx, ticket, operation);
        }
        self.answer_callers(cx, Some(id)).map_or(Reply::Later, Reply::Now)
    }

    /// Answers the callers whose operations are done; the answer to the one whose request is being served is given back.
    fn answer_callers(&mut self, cx: &mut Context<'_>, served: Option<ConnId>) -> Option<Response> {
        let mut own = None;
        while let Some((ticket, outcome)) = self.hub.poll_outcome() {
            let mut operations = Vec::new();
            let done = self.api.complete(ticket, outcome, &mut |ticket, next| operations.push((ticket, next)));
            for (ticket, operation) in operations {
                self.hub.operate(cx, ticket, operation);
            }
            match done {
                Some((id, response)) if Some(id) == served => own = Some(response),
                Some((id, response)) => cx.respond(id, response),
                None => {}
            }
        }
        own
    }
}

impl<E: Engine> Handler for HubApp<E> {
    const FAREWELL: Option<fn(u16, &str) -> String> = Some(farewell);
    const ADMITS: bool = true;
    const PINGS: bool = true;

    fn on_opened(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.hub.on_opened(cx, id);
    }

    fn on_quiet(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.hub.on_quiet(cx, id);
    }

    fn on_drained(&mut self, cx: &mut Context<'_>, id: ConnId) {
        self.hub.on_drained(cx, id);
        self.answer_callers(cx, None);
    }

    fn on_turn(&mut self, cx: &mut Context<'_>) {
        self.hub.on_turn(cx);
    }

    fn on_message(&mut self, cx: &mut Context<'_>, id: ConnId, message: Message<'_>) {
        self.hub.on_message(cx, id, message.bytes());
        self.answer_callers(cx, None);
    }

    fn on_upgrade(
        &mut self,
        _: &mut Context<'_>,
        _: ConnId,
        request: &Request<'_>,
    ) -> Result<Option<&'static str>, Status> {
        if request.head.path != PATH {
            return Err(Status::NotFound);
        }
        let offered: Vec<&str> = request.head.fields("sec-websocket-protocol").flat_map(names).collect();
        match offered.contains(&SUBPROTOCOL) {
            true => Ok(Some(SUBPROTOCOL)),
            // Whoever offers others speaks none that we know.
            false if offered.is_empty() => Ok(None),
            false => Err(Status::BadRequest),
        }
    }

    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        if request.head.path.starts_with(API) {
            return self.call_api(cx, id, request);
        }
        let mut response = admin::respond(cx, request, &access(self.hub.settings(), request));
        if response.status() == Status::Ok {
            response = match (request.head.path, self.hub.engine().trouble()) {
                ("/health", Some(trouble)) => Response::text(Status::Unavailable, format!("{trouble}\n")),
                ("/metrics", _) => self.metrics(cx).into_response(),
                _ => response,
            };
        }
        response.into()
    }

    fn on_closed(&mut self, cx: &mut Context<'_>, id: ConnId, reason: CloseReason) {
        self.hub.on_closed(cx, id, reason);
        self.answer_callers(cx, None);
    }

    fn on_timer(&mut self, cx: &mut Context<'_>, token: u64) {
        self.hub.on_timer(cx, token);
        self.answer_callers(cx, None);
    }

    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        self.hub.glance(id)
    }

    fn on_woken(&mut self, cx: &mut Context<'_>) {
        self.hub.on_woken(cx);
        self.answer_callers(cx, None);
    }
}

/// What is asked of callers.
fn access<'s>(settings: &'s HubSettings, request: &Request<'_>) -> Access<'s> {
    let HubSettings { api_key, insecure, .. } = settings;
    Access { api_key: api_key.as_deref(), insecure: *insecure, listener_is_loopback: request.local }
}

fn names(list: &[u8]) -> impl Iterator<Item = &str> {
    let text = std::str::from_utf8(list).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty())
}

/// The last message on wires without close frames.
fn farewell(code: u16, words: &str) -> String {
    String::from_utf8(push::disconnect(code, words)).unwrap_or_default()
}
