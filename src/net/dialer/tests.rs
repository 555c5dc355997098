//! Dialers and servers on loopback, each server in a thread of its own that nobody waits for: where one would wait for
//! ever, the test has failed already.

#[cfg(feature = "tls")]
mod tls;

use super::driver::Orders;
use super::*;
use crate::client::{EndReason, Refusal, Wait};
use crate::connection::{CloseReason, PeerReason};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Instant;

/// Longer than anything here takes, so that a test that would hang fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Quick to come back, and silent but for what a test sends.
fn quick() -> ClientOptions {
    let backoff = Duration::from_millis(1);
    ClientOptions {
        heartbeat_interval: Duration::ZERO,
        backoff_min: backoff,
        backoff_max: backoff,
        ..ClientOptions::default()
    }
}

fn dial(scheme: &str, listener: &TcpListener, options: ClientOptions) -> Dialer {
    let url = format!("{scheme}://{}", listener.local_addr().unwrap());
    Dialer::new(url.parse().unwrap(), options).unwrap()
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn next(dialer: &mut Dialer) -> Event {
    dialer.poll(Some(PATIENCE)).unwrap().expect("an event in time")
}

/// The next event that is no failed attempt.
fn next_but_failures(dialer: &mut Dialer) -> Event {
    loop {
        match next(dialer) {
            Event::AttemptFailed { .. } => {}
            event => return event,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the other side")]
fn aside(act: impl FnOnce() + Send + 'static) {
    thread::spawn(act);
}

fn echo_lines(stream: TcpStream, count: usize) {
    let mut writer = stream.try_clone().unwrap();
    for line in BufReader::new(stream).lines().take(count) {
        writeln!(writer, "{}", line.unwrap()).unwrap();
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn it_connects_talks_is_cut_comes_back_and_stops() {
    let listener = listen();
    let mut dialer = dial("line", &listener, quick());
    aside(move || (0..2).for_each(|_| echo_lines(listener.accept().unwrap().0, 1)));
    dialer.send(b"one".to_vec()).unwrap();
    assert_eq!(next(&mut dialer), Event::Kept { waiting: 1 });
    assert_eq!(next(&mut dialer), Event::Connected { attempt: 1, resumed_after: None });
    assert_eq!(next(&mut dialer), Event::Message(b"one".to_vec().into()));
    assert!(matches!(
        next(&mut dialer),
        Event::Lost { reason: EndReason::Connection(CloseReason::Peer(PeerReason::Closed)), .. }
    ));
    assert!(matches!(next(&mut dialer), Event::Connected { attempt: 2, resumed_after: Some(_) }));
    dialer.send(b"two".to_vec()).unwrap();
    assert_eq!(next(&mut dialer), Event::Message(b"two".to_vec().into()));
    dialer.handle().stop();
    assert_eq!(next_but_losses(&mut dialer), Event::Stopped);
    assert_eq!(dialer.poll(None).unwrap(), None);
    assert_eq!(dialer.send(b"three".to_vec()).unwrap_err().refusal, Refusal::Ended);
}

#[expect(clippy::disallowed_methods, reason = "a test holds the dialer to its promises of when")]
fn now() -> Instant {
    Instant::now()
}

/// The server of a test may leave before the client does.
fn next_but_losses(dialer: &mut Dialer) -> Event {
    loop {
        match next(dialer) {
            Event::Lost { .. } | Event::AttemptFailed { .. } | Event::Connected { .. } => {}
            event => return event,
        }
    }
}

#[test]
fn large_messages_go_both_ways() {
    for (scheme, frame_bytes) in [("tcp", 4), ("line", 1)] {
        let listener = listen();
        let options = ClientOptions { max_message_bytes: 1 << 20, max_outbox_bytes: 2 << 20, ..quick() };
        let mut dialer = dial(scheme, &listener, options);
        aside(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut frame = vec![0; (1 << 20) + frame_bytes];
            stream.read_exact(&mut frame).unwrap();
            stream.write_all(&frame).unwrap();
        });
        let message = vec![b'x'; 1 << 20];
        dialer.send(message.clone()).unwrap();
        assert_eq!(next(&mut dialer), Event::Kept { waiting: 1 });
        assert!(matches!(next(&mut dialer), Event::Connected { .. }));
        assert!(next(&mut dialer) == Event::Message(message.into()), "{scheme}");
        assert_eq!(dialer.waiting_messages(), 0);
    }
}

#[test]
fn a_bare_ping_on_the_raw_wire_is_a_whole_message() {
    let listener = listen();
    let mut dialer = dial("raw", &listener, quick());
    aside(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut answer = [0; 4];
        stream.write_all(b"ping").unwrap();
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
    });
    assert!(matches!(next(&mut dialer), Event::Connected { .. }));
    assert_eq!(next(&mut dialer), Event::Message(b"pong".to_vec().into()), "what it answered, sent back to it");
}

#[test]
fn a_unix_socket_is_dialled_by_its_path() {
    let path = std::env::temp_dir().join(format!("tidegate-dialer-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let mut dialer = Dialer::new(format!("unix://{}", path.display()).parse().unwrap(), quick()).unwrap();
    assert!(matches!(next(&mut dialer), Event::Connected { .. }));
    listener.accept().unwrap().0.write_all(b"hi\n").unwrap();
    assert_eq!(next(&mut dialer), Event::Message(b"hi".to_vec().into()));
    drop(listener);
    std::fs::remove_file(path).unwrap();
    assert!(matches!(next(&mut dialer), Event::Lost { .. }));
    assert!(matches!(
        next(&mut dialer),
        Event::AttemptFailed { reason: EndReason::Connection(CloseReason::Transport(ErrorKind::NotFound)), .. }
    ));
}

#[test]
fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut dialer = Dialer::new(format!("line://{address}").parse().unwrap(), quick()).unwrap();
    for _ in 0..3 {
        assert!(matches!(
            next(&mut dialer),
            Event::AttemptFailed {
                reason: EndReason::Connection(CloseReason::Transport(ErrorKind::ConnectionRefused)),
                ..
            }
        ));
    }
    let listener = TcpListener::bind(address).unwrap();
    assert!(matches!(next_but_failures(&mut dialer), Event::Connected { .. }));
    drop(listener);
}

#[test]
fn a_server_that_hangs_is_left() {
    let listener = listen();
    let (interval, timeout) = (Duration::from_millis(20), Duration::from_millis(60));
    let options = ClientOptions { heartbeat_interval: interval, heartbeat_timeout: timeout, ..quick() };
    let mut dialer = dial("line", &listener, options);
    assert!(matches!(next(&mut dialer), Event::Connected { .. }), "the kernel accepts for it");
    let connected = now();
    assert!(matches!(
        next(&mut dialer),
        Event::Lost { reason: EndReason::Connection(CloseReason::Peer(PeerReason::HeartbeatTimeout)), .. }
    ));
    assert!(connected.elapsed() >= Duration::from_millis(40), "{:?}", connected.elapsed());
}

#[test]
fn a_name_that_nobody_knows_is_a_failed_attempt() {
    let mut dialer = Dialer::new("line://no-such-host.invalid:1".parse().unwrap(), quick()).unwrap();
    assert!(matches!(
        next(&mut dialer),
        Event::AttemptFailed { reason: EndReason::Connection(CloseReason::Transport(ErrorKind::AddrNotAvailable)), .. }
    ));
}

#[test]
fn each_address_of_a_host_is_tried_within_one_attempt() {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    let mut dialer = Dialer::new(format!("line://localhost:{port}").parse().unwrap(), quick()).unwrap();
    assert_eq!(next(&mut dialer), Event::Connected { attempt: 1, resumed_after: None });
}

#[test]
fn a_poll_returns_in_time_when_woken_and_when_stopped() {
    let listener = listen();
    let mut dialer = dial("line", &listener, quick());
    assert!(matches!(next(&mut dialer), Event::Connected { .. }));
    assert_eq!(dialer.poll(Some(Duration::ZERO)).unwrap(), None);
    let before = now();
    assert_eq!(dialer.poll(Some(Duration::from_millis(50))).unwrap(), None);
    assert!(before.elapsed() >= Duration::from_millis(49), "{:?}", before.elapsed());
    for end in [DialerHandle::wake, DialerHandle::stop] {
        let handle = dialer.handle();
        aside(move || {
            thread::park_timeout(Duration::from_millis(20));
            end(&handle);
        });
        assert!(matches!(dialer.poll(Some(PATIENCE)).unwrap(), None | Some(Event::Stopped)));
    }
    assert!(dialer.is_ended() && before.elapsed() < PATIENCE);
}

#[test]
fn handles_keep_to_the_limits_of_the_client() {
    let listener = listen();
    let mut dialer = dial("line", &listener, ClientOptions { max_outbox_messages: 3, ..quick() });
    let handle = dialer.handle();
    for _ in 0..2 {
        handle.send(b"x".to_vec()).unwrap();
    }
    let driver = &mut dialer.driver;
    driver.orders.carry_out(&mut driver.client, Time::ZERO);
    handle.send(b"x".to_vec()).unwrap();
    let refused = handle.send(b"y".to_vec()).unwrap_err();
    assert_eq!((refused.refusal, refused.message), (Refusal::TooManyMessages(3), b"y".to_vec().into()));
    assert_eq!(handle.waiting_messages(), 3);
    while dialer.waiting_messages() > 0 {
        next(&mut dialer);
    }
    handle.send(b"y".to_vec()).unwrap();
    drop(dialer);
    assert_eq!(handle.send(b"z".to_vec()).unwrap_err().refusal, Refusal::Ended);
}

#[test]
fn many_threads_send_and_nothing_is_lost() {
    const EACH: usize = 2000;
    let listener = listen();
    let mut dialer = dial("line", &listener, ClientOptions { max_outbox_messages: 50, ..quick() });
    aside(move || echo_lines(listener.accept().unwrap().0, 4 * EACH));
    for sender in 0..4 {
        let handle = dialer.handle();
        aside(move || (0..EACH).for_each(|number| insist(&handle, format!("{sender} {number}"))));
    }
    let (mut expected, mut count) = ([0; 4], 0);
    while count < 4 * EACH {
        if let Event::Message(message) = next(&mut dialer) {
            let text = std::str::from_utf8(&message).unwrap();
            let (sender, number) = text.split_once(' ').unwrap();
            let expected: &mut usize = &mut expected[sender.parse::<usize>().unwrap()];
            assert_eq!(number.parse::<usize>().unwrap(), *expected, "in the order of its sender");
            *expected += 1;
            count += 1;
        }
    }
}

fn insist(handle: &DialerHandle, message: String) {
    let mut message = OwnedMessage::from(message);
    while let Err(refused) = handle.send(message) {
        message = refused.message;
        thread::yield_now();
    }
}

/// Other tests of this process open descriptors too, but never as many as a leak would.
#[test]
fn reconnects_leave_no_descriptor_behind() {
    const RECONNECTS: usize = 1000;
    let listener = listen();
    let mut dialer = dial("line", &listener, quick());
    let before = open_descriptors();
    aside(move || (0..RECONNECTS).for_each(|_| drop(listener.accept())));
    let mut losses = 0;
    while losses < RECONNECTS {
        losses += usize::from(matches!(next(&mut dialer), Event::Lost { .. }));
    }
    let after = open_descriptors();
    assert!(after < before + RECONNECTS / 4, "{before} before, {after} after");
}

#[test]
fn the_wait_that_is_announced_is_the_wait_that_passes() {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let backoff = Duration::from_millis(100);
    let options = ClientOptions { backoff_min: backoff, backoff_max: backoff, ..quick() };
    let mut dialer = Dialer::new(format!("line://{address}").parse().unwrap(), options).unwrap();
    for _ in 0..5 {
        let Event::AttemptFailed { next_attempt: Wait { delay, bound }, .. } = next(&mut dialer) else {
            panic!("nobody is there");
        };
        let announced = now();
        next(&mut dialer);
        let waited = announced.elapsed() + Duration::from_millis(2);
        assert!(delay <= bound && waited >= delay && waited < delay + Duration::from_millis(500), "{delay:?}");
    }
}
