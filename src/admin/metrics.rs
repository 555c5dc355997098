//! Counters as Prometheus reads them (text exposition format 0.0.4).

use crate::connection::CloseReason;
use crate::gateway::Context;
use crate::wire::http::{Response, Status};
use std::fmt::{Display, Write};

/// Figures under their names, with their help.
#[derive(Debug, Default)]
pub struct Metrics {
    text: String,
}

/// What Prometheus expects to be told (and accepts without parameters).
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Metrics {
    /// What the gateway has counted.
    pub fn of_gateway(cx: &Context<'_>) -> Self {
        let mut metrics = Self::default();
        let counters = cx.counters();
        metrics.gauge("connections", "Connections held, those included that open or end.", cx.connection_count());
        for (name, help, value) in [
            ("accepted", "Connections admitted.", counters.accepted),
            ("refused", "Connections refused at the door.", counters.refused),
            ("received_bytes", "Bytes read.", counters.bytes_in),
            ("sent_bytes", "Bytes written.", counters.bytes_out),
            ("received_messages", "Messages received whole, heartbeats included.", counters.messages_in),
            ("sent_messages", "Messages queued or written, heartbeats included.", counters.messages_out),
            ("heartbeats_answered", "Heartbeats of clients answered.", counters.heartbeats_answered),
            ("probes_sent", "Quiet peers asked for a sign of life.", counters.probes_sent),
            ("probes_answered", "Of these, answered in a known form.", counters.probes_answered),
            ("tls_begun", "TLS streams that began.", counters.tls_begun),
            ("http_requests", "HTTP requests answered by the application.", counters.http_requests),
            ("http_refused", "HTTP requests refused.", counters.http_refused),
            ("websockets_opened", "WebSocket connections opened.", counters.websockets_opened),
            ("handler_panics", "Calls of the application that panicked.", counters.handler_panics),
            ("accept_pauses", "Times that accepting paused for want of descriptors.", counters.accept_pauses),
            ("turns_cut", "Turns that left connections still to be flushed to the next one.", counters.turns_cut),
        ] {
            metrics.counter(name, help, value);
        }
        metrics.head("closed_total", "counter", "Connections ended and refused, by reason.");
        for reason in CloseReason::all() {
            let count = counters.closed.get(reason.index()).copied().unwrap_or_default();
            let _ = writeln!(metrics.text, "tidegate_closed_total{{reason=\"{}\"}} {count}", reason.name());
        }
        metrics
    }

    /// Adds what only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        self.value(&name, value);
    }

    /// Adds what goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, "gauge", help);
        self.value(name, value);
    }

    /// The answer to who asked.
    pub fn into_response(self) -> Response {
        Response::new(Status::Ok, CONTENT_TYPE, self.text)
    }

    // Writing into a string can't fail.
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP tidegate_{name} {help}\n# TYPE tidegate_{name} {kind}");
    }

    fn value(&mut self, name: &str, value: impl Display) {
        let _ = writeln!(self.text, "tidegate_{name} {value}");
    }
}
