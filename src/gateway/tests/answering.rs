//! HTTP requests that are answered later.

use super::*;
use crate::connection::{Door, Encryption};
use crate::wire::http::{Response, Status};

/// Answers `/now` at once, anything else when it is told to.
#[derive(Default)]
struct Clerk {
    waiting: Vec<(ConnId, String)>,
    asked: Vec<String>,
}

impl Handler for Clerk {
    fn on_message(&mut self, _: &mut Context<'_>, _: ConnId, _: Message<'_>) {}

    fn on_request(&mut self, cx: &mut Context<'_>, id: ConnId, request: &Request<'_>) -> Reply {
        let path = request.head.path.to_owned();
        self.asked.push(path.clone());
        match path.as_str() {
            "/now" => Response::text(Status::Ok, "now").into(),
            "/inside" => {
                cx.respond(id, Response::text(Status::Ok, "inside"));
                Reply::Later
            }
            "/twice" => {
                cx.respond(id, Response::text(Status::Ok, "once"));
                Response::text(Status::Ok, "twice").into()
            }
            _ => {
                self.waiting.push((id, path));
                Reply::Later
            }
        }
    }
}

impl Bench<Clerk> {
    fn clerk() -> Self {
        let settings = Settings::default();
        let gateway = Gateway::new(Clerk::default(), settings, Seed { jitter: 1, ids: 2 }, Time::ZERO).unwrap();
        let mut reactor = Reactor::new(gateway, Pipes::default());
        let door =
            Door { wire: ListenWire::Auto, http: true, encryption: Encryption::None, proxy: false, local: false };
        reactor.add_listener(door);
        Self { reactor, now: Time::ZERO }
    }

    /// Answers who has waited longest; false where nobody waits.
    fn answer(&mut self) -> bool {
        let now = self.now;
        let mut answered = false;
        self.reactor.run(now, |clerk, cx| {
            if !clerk.waiting.is_empty() {
                let (id, path) = clerk.waiting.remove(0);
                cx.respond(id, Response::text(Status::Ok, path));
                answered = true;
            }
        });
        self.turn();
        self.settle();
        answered
    }

    fn bodies(&mut self, id: ConnId) -> Vec<String> {
        let sent = String::from_utf8(self.sent(id)).unwrap();
        let answers = sent.split("HTTP/1.1 ").skip(1);
        answers.map(|answer| answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned()).collect()
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn requests_behind_one_that_waits_are_handled_after_its_answer() {
    let paths = ["/now", "/1", "/now", "/2", "/inside", "/3", "/twice", "/now"];
    let bytes: String = paths.iter().map(|path| get(path)).collect();
    for step in [1, 10, 10_000] {
        let mut bench = Bench::clerk();
        let id = bench.open();
        for piece in bytes.as_bytes().chunks(step) {
            bench.receive(id, piece);
        }
        assert_eq!(bench.bodies(id), ["now"]);
        assert_eq!(bench.reactor.gateway().handler().asked, ["/now", "/1"]);
        for expected in [&["/1", "now"][..], &["/2", "inside"], &["/3", "once", "now"]] {
            assert!(bench.answer());
            assert_eq!(bench.bodies(id), expected, "{step}");
        }
        assert!(!bench.answer());
    }
}

#[test]
fn a_request_with_a_body_is_answered_later_as_well() {
    let request = b"POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET /now HTTP/1.1\r\nHost: x\r\n\r\n";
    for step in [1, 60, 1000] {
        let mut bench = Bench::clerk();
        let id = bench.open();
        for piece in request.chunks(step) {
            bench.receive(id, piece);
        }
        assert!(bench.sent(id).is_empty() && bench.answer());
        assert_eq!(bench.bodies(id), ["/1", "now"], "{step}");
    }
}

#[test]
fn a_late_answer_to_head_has_no_body_and_close_is_kept() {
    let mut bench = Bench::clerk();
    let id = bench.open();
    bench
        .receive(id, b"HEAD /abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /now HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(bench.answer());
    let sent = String::from_utf8(bench.sent(id)).unwrap();
    assert!(sent.contains("Content-Length: 4\r\n") && sent.contains("Connection: close"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n") && bench.pipes().ends[&id].shut);
    assert_eq!(bench.reactor.gateway().handler().asked, ["/abc"]);
}

#[test]
fn a_request_may_wait_longer_than_any_time_out_and_the_next_has_its_own() {
    let mut bench = Bench::clerk();
    let id = bench.open();
    bench.receive(id, get("/slow").as_bytes());
    bench.wait(Duration::from_secs(3600));
    assert!(bench.answer());
    assert_eq!(bench.bodies(id), ["/slow"]);
    bench.wait(Duration::from_millis(59_900));
    assert_eq!(bench.reactor.gateway().connection_count(), 1);
    bench.wait(Duration::from_millis(200));
    assert_eq!(bench.closed(CloseReason::Local(LocalReason::IdleTimeout)), 1);
}

#[test]
fn a_peer_that_shut_its_side_gets_its_late_answer() {
    let mut bench = Bench::clerk();
    let id = bench.open();
    bench.receive(id, get("/1").as_bytes());
    bench.pipes().ends.get_mut(&id).unwrap().peer_closed = true;
    let now = bench.now;
    bench.reactor.on_event(id, Readiness { closing: true, ..READABLE }, now);
    bench.settle();
    let before = bench.reactor.gateway().counters().bytes_out;
    assert!(bench.answer());
    assert!(bench.reactor.gateway().counters().bytes_out > before + 100);
    assert_eq!(bench.closed(CloseReason::Peer(PeerReason::Closed)), 1);
    bench.assert_nothing_left();
}

#[test]
fn an_answer_for_a_connection_that_ended_is_nothing() {
    let mut bench = Bench::clerk();
    let id = bench.open();
    bench.receive(id, get("/1").repeat(3).as_bytes());
    bench.reactor.gateway_mut().handle_error(id, ErrorKind::ConnectionReset, Time::ZERO);
    assert!(bench.answer());
    bench.assert_nothing_left();
}

#[test]
fn a_drain_waits_for_the_answer_and_not_for_ever() {
    for answers in [true, false] {
        let mut bench = Bench::clerk();
        let id = bench.open();
        bench.receive(id, get("/1").repeat(2).as_bytes());
        bench.reactor.gateway_mut().begin_drain(Time::ZERO);
        bench.turn();
        bench.wait(Duration::from_millis(4_900));
        assert!(bench.sent(id).is_empty());
        if answers {
            assert!(bench.answer());
        } else {
            bench.wait(Duration::from_millis(200));
        }
        let sent = String::from_utf8(bench.sent(id)).unwrap();
        assert!(sent.starts_with(if answers { "HTTP/1.1 200" } else { "HTTP/1.1 503" }), "{sent}");
        assert!(sent.contains("Connection: close") && bench.pipes().ends[&id].shut);
        bench.wait(Duration::from_secs(6));
        assert!(bench.reactor.gateway().is_drained());
        bench.assert_nothing_left();
    }
}

#[test]
fn an_explicit_pause_outlives_the_answer() {
    let mut bench = Bench::clerk();
    let id = bench.open();
    bench.receive(id, [get("/1"), get("/now")].concat().as_bytes());
    bench.reactor.run(Time::ZERO, |_, cx| cx.pause(id));
    assert!(bench.answer());
    assert_eq!(bench.bodies(id), ["/1"]);
    bench.reactor.run(Time::ZERO, |_, cx| cx.resume(id));
    bench.turn();
    assert_eq!(bench.bodies(id), ["now"]);
}
