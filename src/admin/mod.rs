//! HTTP for operators, on the port of everybody else: a small table of paths and what answers them.

mod access;
#[cfg(feature = "hub")]
pub mod api;
mod metrics;

pub use access::Access;
pub use metrics::Metrics;

use crate::gateway::{Context, Request};
use crate::wire::http::{Method, Response, Status};

/// What answers a path.
type Answer = fn(&Context<'_>) -> Response;

/// A path, who may ask for it, and what answers it.
const ROUTES: [(&str, For, Answer); 2] =
    [("/health", For::Anybody, health), ("/metrics", For::Operators, |cx| Metrics::of_gateway(cx).into_response())];
/// Who may ask.
#[derive(Debug, Clone, Copy)]
enum For {
    Anybody,
    Operators,
}

/// Methods that change nothing.
const READ: [Method; 2] = [Method::Get, Method::Head];

/// Answers a request for one of the paths that every application has.
pub fn respond(cx: &Context<'_>, request: &Request<'_>, access: &Access<'_>) -> Response {
    let Some((_, whom, answer)) = ROUTES.iter().find(|(path, ..)| *path == request.head.path) else {
        return Response::refusal(Status::NotFound);
    };
    if !READ.contains(&request.head.method) {
        return Response::refusal(Status::MethodNotAllowed).with_field("Allow", "GET, HEAD");
    }
    match whom {
        For::Anybody => answer(cx),
        For::Operators => access.check(request).map_or_else(Response::refusal, |()| answer(cx)),
    }
}

/// Whoever gets this answer has seen the loop turn.
fn health(_: &Context<'_>) -> Response {
    Response::text(Status::Ok, "ok\n")
}
