//! Sessions over streams in memory, and over sockets that a poll watches edge-triggered.

use super::*;
use crate::net::tls::tests::{Authority, Folder, Pipe, carry, connected, ends, settle};
use crate::net::tls::{TlsFiles, TlsServer};
use proptest::prelude::*;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuiteCommon, HandshakeKind, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
    Tls13CipherSuite,
};

#[cfg(feature = "socket-options")]
mod sockets;

type Configs = (Arc<ServerConfig>, Arc<ClientConfig>);

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn configs(version: &'static SupportedProtocolVersion) -> Configs {
    Authority::new().configs(&provider(), version)
}

fn both_versions() -> [Configs; 2] {
    [&TLS12, &TLS13].map(configs)
}

/// Bytes that tell where they belong.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

const CLOSE_NOTIFY: [u8; 7] = [21, 3, 3, 0, 2, 1, 0];

#[test]
fn bytes_arrive_whole_in_both_directions_however_they_are_split() {
    let message = noise(50_000);
    for configs in both_versions() {
        for (chunk, cipher, plain) in [
            (1, 65_536, 65_536),
            (2, 1, 4096),
            (7, 65_536, 4096),
            (4097, 4096, 16_384),
            (20_000, 65_536, 4096),
            (usize::MAX, 65_536, 65_536),
            (usize::MAX, 1, 65_536),
        ] {
            let (mut server, mut client) = ends(configs.clone());
            for end in [&mut server, &mut client] {
                end.cipher.truncate(cipher);
                end.plain.truncate(plain);
            }
            client.flush();
            settle(&mut client, &mut server, chunk).unwrap();
            assert_eq!(client.write(&message).unwrap(), message.len());
            assert_eq!(server.write(&message).unwrap(), message.len());
            settle(&mut client, &mut server, chunk).unwrap();
            assert!(server.inbox == message && client.inbox == message, "chunks of {chunk}");
        }
    }
}

#[test]
fn records_of_a_byte_arrive_whole_too() {
    for configs in both_versions() {
        let (mut server, mut client) = connected(configs);
        let message = noise(5000);
        message.iter().for_each(|&byte| assert_eq!(client.write(&[byte]).unwrap(), 1));
        carry(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.inbox, message);
    }
}

#[test]
fn a_client_hello_that_somebody_else_has_read_is_fed() {
    for configs in both_versions() {
        for read_before in [1, 5, 100, usize::MAX] {
            let (mut server, mut client) = ends(configs.clone());
            client.flush();
            let hello = std::mem::take(&mut client.pipe.outgoing);
            let (first, rest) = hello.split_at(hello.len().min(read_before));
            server.session.feed(first).unwrap();
            server.flush();
            server.pipe.incoming.extend(rest);
            server.read().unwrap();
            settle(&mut server, &mut client, usize::MAX).unwrap();
            client.write(b"hello").unwrap();
            carry(&mut client, &mut server, 1).unwrap();
            assert_eq!(server.inbox, b"hello");
        }
    }
}

#[test]
fn a_message_costs_one_read_and_one_write() {
    for configs in both_versions() {
        let (mut server, mut client) = connected(configs);
        for (len, reads, writes) in [(64, 1, 1), (200, 1, 1), (64 << 10, 2, 1), (100 << 10, 2, 2), (128 << 10, 3, 2)] {
            (client.pipe.writes, server.pipe.reads) = (0, 0);
            server.inbox.clear();
            assert_eq!(client.write(&noise(len)).unwrap(), len);
            carry(&mut client, &mut server, usize::MAX).unwrap();
            assert_eq!(server.inbox.len(), len);
            assert_eq!((server.pipe.reads, client.pipe.writes), (reads, writes), "{len} bytes");
            assert_eq!(server.pipe.outgoing, b"", "and no answer of TLS itself");
        }
    }
}

#[test]
fn what_a_read_brings_fits_whatever_an_earlier_one_left_unfinished() {
    let (mut server, mut client) = connected(configs(&TLS13));
    // With what was held of a record, 64 KiB of ciphertext may complete eight of these, which hold more.
    let message = noise(9000);
    (0..100).for_each(|_| assert_eq!(client.write(&message).unwrap(), 9000));
    server.pipe.incoming.extend(std::mem::take(&mut client.pipe.outgoing));
    server.pipe.reads = 0;
    let mut calls = 0;
    while !server.pipe.incoming.is_empty() {
        let received = server.session.read(&mut server.pipe, &mut server.cipher, &mut server.plain).unwrap();
        assert!(received.bytes > 0);
        calls += 1;
    }
    assert_eq!((calls, server.session.holds_plain()), (server.pipe.reads, false));
    assert!(calls <= 900_000 / (40 << 10), "{calls}");
}

#[test]
fn many_slices_leave_in_few_records() {
    let (mut server, mut client) = connected(configs(&TLS13));
    let message = noise(3200);
    let slices: Vec<IoSlice<'_>> = message.chunks(100).map(IoSlice::new).collect();
    assert_eq!(client.session.write(&mut client.pipe, &slices).unwrap(), 3200);
    assert_eq!((client.pipe.outgoing.len() - 3200) / 22, 1, "records");
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert_eq!(server.inbox, message);
}

#[test]
fn nothing_is_taken_before_the_handshake_is_complete() {
    for configs in both_versions() {
        let (mut server, mut client) = ends(configs);
        for end in [&mut server, &mut client] {
            assert_eq!(kind(end.write(b"early")), ErrorKind::WouldBlock);
        }
        assert_eq!(client.write(b"").unwrap(), 0);
        settle(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(client.write(b"in time").unwrap(), 7);
        carry(&mut client, &mut server, usize::MAX).unwrap();
        assert_eq!(server.inbox, b"in time");
    }
}

/// A step of an owner whose stream takes a limited number of bytes.
#[derive(Debug, Clone)]
enum Step {
    Queue(usize),
    Room(usize),
    /// Offers what is queued, in slices of so many bytes.
    Write(usize),
    Flush,
    /// The peer sends something.
    Hear,
    /// The peer changes its keys, and so must we.
    ChangeKeys,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => prop_oneof![1..100usize, 1..100_000usize].prop_map(Step::Queue),
        4 => prop_oneof![1..50usize, 1..2000usize, 1..70_000usize].prop_map(Step::Room),
        6 => prop::sample::select(vec![500, 3000, 16_384, 70_000, usize::MAX]).prop_map(Step::Write),
        1 => Just(Step::Flush),
        1 => Just(Step::Hear),
        1 => Just(Step::ChangeKeys),
    ];
    prop::collection::vec(step, 1..60)
}

/// What is reported as written is, after each write, just what the peer can read.
fn check_writes(configs: Configs, steps: &[Step]) {
    let (mut server, mut client) = connected(configs);
    let all = noise(steps.iter().map(|step| if let Step::Queue(count) = step { *count } else { 0 }).sum());
    let (mut queued, mut reported, mut heard) = (0, 0, 0);
    server.pipe.room = Some(0);
    let end = [Step::Room(usize::MAX >> 1), Step::Write(16_384)];
    for step in steps.iter().chain(&end) {
        match *step {
            Step::Queue(count) => queued += count,
            Step::Room(count) => server.pipe.room = server.pipe.room.map(|room| room + count),
            Step::Flush => server.flush(),
            Step::Hear => {
                client.write(b"heard").unwrap();
                heard += 5;
            }
            Step::ChangeKeys => drop(client.session.tls.refresh_traffic_keys()),
            Step::Write(len) => {
                let slices: Vec<IoSlice<'_>> = all[reported..queued].chunks(len).map(IoSlice::new).collect();
                match server.session.write(&mut server.pipe, &slices) {
                    Ok(written) => reported += written,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                assert!(reported == queued || server.pipe.room == Some(0), "an event will come");
                carry(&mut server, &mut client, usize::MAX).unwrap();
                assert_eq!(client.inbox.len(), reported);
            }
        }
        carry(&mut client, &mut server, usize::MAX).unwrap();
        carry(&mut server, &mut client, usize::MAX).unwrap();
        assert!(client.inbox == all[..client.inbox.len()]);
        assert!(server.session.ahead.bytes() <= 64 << 10 && server.session.pending <= WRITE_LIMIT + 1000);
    }
    assert_eq!((reported, server.inbox.len()), (all.len(), heard));
    assert!(!server.session.wants_write());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_reported_as_written_is_what_the_peer_can_read(steps in steps()) {
        both_versions().into_iter().for_each(|configs| check_writes(configs, &steps));
    }
}

#[test]
fn a_refused_write_is_not_tried_again_by_reads() {
    let (mut server, mut client) = connected(configs(&TLS13));
    server.pipe.room = Some(10);
    assert_eq!(kind(server.write(&noise(1000))), ErrorKind::WouldBlock);
    let writes = server.pipe.writes;
    (0..5).for_each(|_| assert_eq!(client.write(b"x").unwrap(), 1));
    carry(&mut client, &mut server, 1).unwrap();
    assert_eq!((server.inbox.len(), server.pipe.writes), (5, writes));
}

#[test]
#[should_panic(expected = "offered again")]
fn an_owner_that_forgets_what_it_offered_is_a_slip_of_ours() {
    let (mut server, _client) = connected(configs(&TLS13));
    server.pipe.room = Some(10);
    let _ = server.write(b"what was offered");
    let _ = server.write(b"what was");
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "other bytes")]
fn an_owner_that_offers_other_bytes_is_a_slip_of_ours() {
    let (mut server, _client) = connected(configs(&TLS13));
    server.pipe.room = Some(10);
    let _ = server.write(b"what was offered");
    let _ = server.write(b"something before what was offered");
}

#[test]
fn the_end_is_told_with_the_last_bytes_and_nothing_behind_it_counts() {
    for configs in both_versions() {
        for (chunk, plain) in [(1, 65_536), (usize::MAX, 65_536), (usize::MAX, 4096)] {
            let (mut server, mut client) = connected(configs.clone());
            server.plain.truncate(plain);
            let last_words = noise(10_000);
            client.write(&last_words).unwrap();
            client.session.shut_down(&mut client.pipe);
            assert_eq!(kind(client.write(b"afterthought")), ErrorKind::BrokenPipe);
            client.pipe.outgoing.extend(b"garbage");
            carry(&mut client, &mut server, chunk).unwrap();
            assert!(server.inbox == last_words && server.ended);
            let again = server.session.read(&mut server.pipe, &mut server.cipher, &mut server.plain).unwrap();
            assert_eq!(again, Received { bytes: 0, drained: true, end: true });
            // One side has ended; the other goes on.
            assert_eq!(server.write(b"farewell").unwrap(), 8);
            carry(&mut server, &mut client, chunk).unwrap();
            assert_eq!(client.inbox, b"farewell");
        }
    }
}

#[test]
fn a_stream_that_ends_anywhere_is_an_end() {
    for configs in both_versions() {
        let (mut server, mut client) = ends(configs.clone());
        client.flush();
        settle(&mut client, &mut server, usize::MAX).unwrap();
        client.write(b"whole").unwrap();
        client.write(b"torn").unwrap();
        client.pipe.outgoing.pop();
        server.pipe.ended = true;
        carry(&mut client, &mut server, usize::MAX).unwrap();
        server.read().unwrap();
        assert_eq!((server.inbox.as_slice(), server.ended), (b"whole".as_slice(), true));

        let (mut server, mut client) = ends(configs);
        client.flush();
        server.pipe.incoming.extend(&client.pipe.outgoing[..50]);
        server.pipe.ended = true;
        server.read().unwrap();
        server.read().unwrap();
        assert!(server.ended && server.session.is_handshaking());
    }
}

#[test]
fn what_is_no_client_hello_gets_an_alert_and_is_an_error_from_then_on() {
    let endless_record: &[u8] = &[22, 3, 1, 0x50, 0, 1];
    let endless_message: &[u8] = &[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [request, [0xff; 64].as_slice(), &[0; 64], endless_record, endless_message];
    for (case, chunk) in cases.into_iter().flat_map(|case| [(case, 1), (case, usize::MAX)]) {
        // rustls has no alert for the last.
        let alert = if case == endless_message { 0 } else { 7 };
        let (mut server, mut client) = ends(configs(&TLS13));
        client.pipe.outgoing = case.to_vec();
        assert_eq!(kind(carry(&mut client, &mut server, chunk)), ErrorKind::InvalidData, "{case:?}");
        assert_eq!(server.pipe.outgoing.len(), alert, "{case:?}");
        assert!(server.pipe.outgoing.first().is_none_or(|kind| *kind == 21));
        server.pipe.reads = 0;
        assert_eq!(kind(server.read()), ErrorKind::InvalidData);
        assert_eq!(kind(server.write(b"x")), ErrorKind::InvalidData);
        server.session.shut_down(&mut server.pipe);
        assert_eq!((server.pipe.reads, server.pipe.outgoing.len()), (0, 7), "one alert in all");
    }
}

#[test]
fn garbage_that_was_fed_gets_its_alert_by_a_flush() {
    let (mut server, _) = ends(configs(&TLS13));
    assert_eq!(kind(server.session.feed(b"GET / HTTP/1.1\r\n\r\n")), ErrorKind::InvalidData);
    server.flush();
    assert_eq!(server.pipe.outgoing.first(), Some(&21));
    assert_eq!(kind(server.read()), ErrorKind::InvalidData);
}

#[test]
fn what_came_before_a_forged_record_is_given_before_the_error() {
    for configs in both_versions() {
        for (chunk, plain) in [(1, 65_536), (usize::MAX, 65_536), (usize::MAX, 4096)] {
            let (mut server, mut client) = connected(configs.clone());
            server.plain.truncate(plain);
            let message = noise(10_000);
            client.write(&message).unwrap();
            client.write(b"forged").unwrap();
            *client.pipe.outgoing.last_mut().unwrap() ^= 1;
            assert_eq!(kind(carry(&mut client, &mut server, chunk)), ErrorKind::InvalidData);
            assert!(server.inbox == message);
            assert_eq!(kind(carry(&mut server, &mut client, usize::MAX)), ErrorKind::InvalidData, "told by an alert");
        }
    }
}

#[test]
fn a_close_notify_right_behind_the_client_hello_does_not_spin() {
    for (version, count, is_error) in [(&TLS13, 1, true), (&TLS12, 1, false), (&TLS12, 100, true)] {
        for chunk in [1, usize::MAX] {
            let (mut server, mut client) = ends(configs(version));
            client.flush();
            (0..count).for_each(|_| client.pipe.outgoing.extend(CLOSE_NOTIFY));
            let bytes = client.pipe.outgoing.len();
            assert_eq!(carry(&mut client, &mut server, chunk).is_err(), is_error);
            assert!(server.pipe.reads <= bytes && server.session.is_handshaking());
        }
    }
}

#[test]
fn a_client_that_never_reads_holds_one_flight_and_no_more() {
    for configs in both_versions() {
        let (mut server, mut client) = ends(configs);
        let fresh = server.session.held_bytes();
        server.pipe.room = Some(3);
        client.flush();
        carry(&mut client, &mut server, usize::MAX).unwrap();
        assert!(server.session.wants_write() && server.session.is_handshaking());
        assert_eq!(kind(server.write(b"early")), ErrorKind::WouldBlock);
        assert!((fresh + 500..fresh + 5000).contains(&server.session.held_bytes()), "{}", server.session.held_bytes());
        server.flush();
        assert!(server.session.wants_write());

        server.pipe.room = None;
        server.flush();
        assert!(!server.session.wants_write());
        settle(&mut server, &mut client, usize::MAX).unwrap();
        assert!(!server.session.is_handshaking());
    }
}

#[test]
fn a_flood_of_key_changes_ends_while_our_side_is_not_read() {
    let (mut server, mut client) = connected(configs(&TLS13));
    server.pipe.room = Some(0);
    let flood = (0..100).map(|_| {
        client.session.tls.refresh_traffic_keys().unwrap();
        client.flush();
        carry(&mut client, &mut server, usize::MAX)
    });
    let ended = flood.filter_map(Result::err).next().map(|error| error.kind());
    assert_eq!(ended, Some(ErrorKind::InvalidData));
    assert!(server.session.pending < 100, "{}", server.session.pending);
}

#[test]
fn the_ledger_counts_a_record_that_is_not_complete() {
    let (mut server, mut client) = connected(configs(&TLS13));
    let idle = server.session.held_bytes();
    assert!(idle < 9 << 10, "{idle}");
    client.write(&noise(16_000)).unwrap();
    let last = client.pipe.outgoing.pop();
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert!(server.session.held_bytes() >= idle + 15_000);
    client.pipe.outgoing.extend(last);
    carry(&mut client, &mut server, usize::MAX).unwrap();
    assert!(server.session.held_bytes() <= idle);
}

#[test]
fn a_limit_of_fragments_is_refused() {
    let (mut server, mut client) = configs(&TLS13);
    Arc::make_mut(&mut server).max_fragment_size = Some(512);
    Arc::make_mut(&mut client).max_fragment_size = Some(512);
    let name = ServerName::try_from("localhost").unwrap();
    assert_eq!(kind(Session::server(server)), ErrorKind::Unsupported);
    assert_eq!(kind(Session::client(client, name)), ErrorKind::Unsupported);
}

#[test]
fn a_client_comes_back_by_its_ticket_until_the_files_are_read_anew() {
    let (authority, folder) = (Authority::new(), Folder::new("tickets"));
    let identity = authority.issue(|_| ());
    let files = TlsFiles {
        certificate: folder.write("server.pem", &identity.certificate.pem()),
        key: folder.write("server.key", &identity.key.serialize_pem()),
        client_ca: None,
        require_client_certificate: false,
    };
    let mut at_work = TlsServer::new(files).unwrap();
    for version in [&TLS12, &TLS13] {
        let (_, client) = authority.configs(&provider(), version);
        let kind = |at_work: &TlsServer| {
            let (server, _client) = connected((at_work.config().clone(), client.clone()));
            server.session.tls.handshake_kind().unwrap()
        };
        assert_eq!(kind(&at_work), HandshakeKind::Full);
        assert_eq!(kind(&at_work), HandshakeKind::Resumed);
        assert_eq!(kind(&at_work), HandshakeKind::Resumed);
        at_work.reload().unwrap();
        assert_eq!(kind(&at_work), HandshakeKind::Full);
    }
}

/// Suites whose keys encrypt `limit` records.
fn short_lived_keys(limit: u64) -> Arc<CryptoProvider> {
    let common = |of: &CipherSuiteCommon| CipherSuiteCommon {
        suite: of.suite,
        hash_provider: of.hash_provider,
        confidentiality_limit: limit,
    };
    let mut provider = aws_lc_rs::default_provider();
    for suite in &mut provider.cipher_suites {
        *suite = match *suite {
            SupportedCipherSuite::Tls12(of) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&of.common),
                prf_provider: of.prf_provider,
                kx: of.kx,
                sign: of.sign,
                aead_alg: of.aead_alg,
            }))),
            SupportedCipherSuite::Tls13(of) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&of.common),
                hkdf_provider: of.hkdf_provider,
                aead_alg: of.aead_alg,
                quic: of.quic,
            }))),
        };
    }
    provider.into()
}

#[test]
fn used_up_keys_are_renewed_or_end_the_connection_and_lose_nothing() {
    let authority = Authority::new();
    for len in [2, 40_000] {
        let (mut server, mut client) = connected(authority.configs(&short_lived_keys(16), &TLS13));
        let message = noise(len);
        for round in 1..50 {
            assert_eq!(server.write(&message).unwrap(), len);
            settle(&mut server, &mut client, usize::MAX).unwrap();
            assert_eq!(client.inbox.len(), round * len);
            client.write(b"read").unwrap();
            settle(&mut server, &mut client, usize::MAX).unwrap();
        }

        let (mut server, mut client) = connected(authority.configs(&short_lived_keys(16), &TLS12));
        let results: Vec<_> = (0..50).map(|_| server.write(&message)).collect();
        let reported: usize = results.iter().flatten().sum();
        assert_eq!(
            results.iter().find_map(|result| result.as_ref().err()).unwrap().kind(),
            ErrorKind::ConnectionAborted
        );
        server.flush();
        carry(&mut server, &mut client, usize::MAX).unwrap();
        assert!((client.inbox.len() >= reported) && reported > 0 && client.ended, "{} {reported}", client.inbox.len());
    }
}

#[test]
fn interrupted_writes_are_repeated_and_failed_ones_told_after_what_left() {
    struct Moody<'a>(Vec<Result<usize, ErrorKind>>, &'a mut Pipe);
    impl Write for Moody<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.pop().unwrap() {
                Ok(count) => self.1.write(&bytes[..bytes.len().min(count)]),
                Err(kind) => Err(kind.into()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (mut server, mut client) = connected(configs(&TLS13));
    let message = noise(30_000);
    let moods = [Ok(20_000), Err(ErrorKind::Interrupted), Err(ErrorKind::Interrupted)];
    let mut moody = Moody(moods.into_iter().collect(), &mut server.pipe);
    // A writer without vectored writes takes the first record, and no more at once.
    assert_eq!(server.session.write(&mut moody, &[IoSlice::new(&message)]).unwrap(), 16 << 10);
    let rest = &message[16 << 10..];
    let mut moody = Moody(vec![Err(ErrorKind::ConnectionReset), Ok(20_000)], &mut server.pipe);
    let longer = [IoSlice::new(rest), IoSlice::new(b"more")];
    assert_eq!(server.session.write(&mut moody, &longer).unwrap(), rest.len(), "what left is told first");
    let mut moody = Moody(vec![Err(ErrorKind::BrokenPipe)], &mut server.pipe);
    assert_eq!(kind(server.session.write(&mut moody, &[IoSlice::new(b"more")])), ErrorKind::BrokenPipe);
    carry(&mut server, &mut client, usize::MAX).unwrap();
    assert!(client.inbox == message);
}
