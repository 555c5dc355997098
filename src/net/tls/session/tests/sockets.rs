//! Both ends over loopback sockets that take a few kilobytes at once, driven by edges alone: whatever a session says wrongly of
//! emptiness or refusal makes them wait for ever, which the test's patience ends.

use super::*;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::net::{Shutdown, TcpListener};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// An end and its program: it sends `outbox`, then says that it has ended.
struct Side {
    session: Session,
    stream: TcpStream,
    outbox: Vec<u8>,
    sent: usize,
    inbox: Vec<u8>,
    saying: Saying,
    heard: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Saying {
    Something,
    Farewell,
    Nothing,
}

impl Side {
    fn new(session: Session, stream: std::net::TcpStream, outbox: Vec<u8>) -> Self {
        let socket = socket2::SockRef::from(&stream);
        socket.set_send_buffer_size(1).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = TcpStream::from_std(stream);
        Self { session, stream, outbox, sent: 0, inbox: Vec::new(), saying: Saying::Something, heard: false }
    }

    /// What the gateway's loop does of an event.
    fn on_event(&mut self) {
        self.read();
        self.write();
    }

    fn read(&mut self) {
        let (mut cipher, mut plain) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        while !self.heard {
            match self.session.read(&mut self.stream, &mut cipher, &mut plain) {
                Ok(received) => {
                    self.inbox.extend_from_slice(&plain[..received.bytes]);
                    self.heard = received.end;
                    if received.drained {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// As a write queue leaves: some slices at a time, and no second try after a short write.
    fn write(&mut self) {
        if self.session.wants_write() {
            self.session.flush(&mut self.stream).unwrap();
        }
        while self.sent < self.outbox.len() {
            let slices: Vec<IoSlice<'_>> = self.outbox[self.sent..].chunks(10_000).map(IoSlice::new).take(32).collect();
            let offered: usize = slices.iter().map(|slice| slice.len()).sum();
            match self.session.write(&mut self.stream, &slices) {
                Ok(written) => {
                    self.sent += written;
                    if written < offered {
                        return;
                    }
                }
                Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        if self.saying == Saying::Something && !self.session.is_handshaking() {
            self.saying = Saying::Farewell;
            self.session.shut_down(&mut self.stream);
        }
        if self.saying == Saying::Farewell && !self.session.wants_write() {
            self.saying = Saying::Nothing;
            self.stream.shutdown(Shutdown::Write).unwrap();
        }
    }
}

fn streams() -> (std::net::TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, client)
}

fn check(configs: Configs, server_sends: usize, client_sends: usize) {
    let (to_client, to_server) = streams();
    let name = ServerName::try_from("localhost").unwrap();
    let mut sides = [
        Side::new(Session::server(configs.0).unwrap(), to_client, noise(server_sends)),
        Side::new(Session::client(configs.1, name).unwrap(), to_server, noise(client_sends)),
    ];
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    for (nth, side) in sides.iter_mut().enumerate() {
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut side.stream, Token(nth), interest).unwrap();
    }
    while !sides.iter().all(|side| side.saying == Saying::Nothing && side.heard) {
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "they wait for each other: {:?}", sides.each_ref().map(|side| side.sent));
        events.iter().for_each(|event| sides[event.token().0].on_event());
    }
    let [server, client] = &sides;
    assert!(server.inbox == client.outbox && client.inbox == server.outbox);
    assert_eq!((server.sent, client.sent), (server_sends, client_sends));
}

#[test]
fn both_sides_send_at_once_through_small_sockets() {
    for configs in both_versions() {
        check(configs.clone(), 300_000, 300_000);
        check(configs, 1, 1);
    }
}

#[test]
fn one_side_sends_much_through_small_sockets() {
    for configs in both_versions() {
        check(configs.clone(), 1_000_000, 0);
        check(configs, 0, 1_000_000);
    }
}
