//! HTTP for operators, on the port of everybody else: a small table of paths and what answers them.

use crate::gateway::{Context, Request};
use crate::wire::http::{Method, Response, Status};

/// What answers a path.
type Answer = fn(&Context<'_>, &Request<'_>) -> Response;

/// Methods, a path, and what answers it.
const ROUTES: [(&[Method], &str, Answer); 1] = [(&[Method::Get, Method::Head], "/health", health)];

/// Answers a request for one of the paths that every application has.
pub fn respond(cx: &Context<'_>, request: &Request<'_>) -> Response {
    let Some((methods, _, answer)) = ROUTES.iter().find(|(_, path, _)| *path == request.head.path) else {
        return Response::refusal(Status::NotFound);
    };
    if methods.contains(&request.head.method) {
        answer(cx, request)
    } else {
        Response::refusal(Status::MethodNotAllowed).with_field("Allow", "GET, HEAD")
    }
}

/// Whoever gets this answer has seen the loop turn.
fn health(_: &Context<'_>, _: &Request<'_>) -> Response {
    Response::text(Status::Ok, "ok\n")
}
