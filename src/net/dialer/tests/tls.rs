//! Dialers and servers that do the unusual inside TLS, or before it is complete.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::path::PathBuf;
use std::sync::Arc;

/// An authority's certificate in a file, and what a server has that it vouches for as 127.0.0.1.
fn certified() -> (PathBuf, ServerConfig) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let name = format!("tidegate-dialer-{}-{:?}.pem", std::process::id(), thread::current().id());
    let file = std::env::temp_dir().join(name);
    std::fs::write(&file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (file, config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// A dialer and its server, which does `serve` on one connection after another.
fn dialer_of(options: ClientOptions, serve: impl Fn(TcpStream, &Arc<ServerConfig>) + Send + 'static) -> Dialer {
    let (ca, mut config) = certified();
    // The server may talk before the client's part of the handshake has come.
    config.send_half_rtt_data = true;
    let (config, listener) = (Arc::new(config), listen());
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let dialer = Dialer::trusting(&ca, url.parse().unwrap(), options).unwrap();
    std::fs::remove_file(ca).unwrap();
    aside(move || listener.incoming().for_each(|stream| serve(stream.unwrap(), &config)));
    dialer
}

fn secured(stream: TcpStream, config: &Arc<ServerConfig>) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream)
}

#[test]
fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    let mut dialer = dialer_of(quick(), |stream, config| {
        let mut stream = secured(stream, config);
        let lines: String = (0..500).map(|number| format!("line {number}\n")).collect();
        stream.write_all(lines.as_bytes()).unwrap();
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
    });
    assert_eq!(next(&mut dialer), Event::Connected { attempt: 1, resumed_after: None });
    for number in 0..500 {
        assert_eq!(next(&mut dialer), Event::Message(format!("line {number}").into_bytes().into()));
    }
    dialer.send("hi").unwrap();
    assert_eq!(next(&mut dialer), Event::Message(b"hi".to_vec().into()));
}

#[test]
fn a_server_that_ends_tls_in_order_has_closed() {
    let mut dialer = dialer_of(quick(), |stream, config| {
        let mut stream = secured(stream, config);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let _ = stream.sock.read(&mut [0; 1000]);
    });
    assert!(matches!(next(&mut dialer), Event::Connected { .. }));
    let closed = CloseReason::Peer(PeerReason::Closed);
    assert!(matches!(next(&mut dialer), Event::Lost { reason, .. } if reason == closed));
}

/// How an attempt ends.
#[track_caller]
fn check_failed(options: ClientOptions, serve: impl Fn(TcpStream) + Send + 'static, expected: CloseReason) {
    let mut dialer = dialer_of(options, move |stream, _| serve(stream));
    for _ in 0..2 {
        match next(&mut dialer) {
            Event::AttemptFailed { reason, .. } => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn servers_that_do_not_speak_tls_fail_the_attempt() {
    let failed = CloseReason::Peer(PeerReason::TlsFailed);
    check_failed(quick(), |mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap(), failed);
    let gone = CloseReason::Transport(ErrorKind::UnexpectedEof);
    check_failed(quick(), |mut stream| drop(stream.read(&mut [0; 4096])), gone);
}

#[test]
fn a_server_that_says_nothing_has_the_time_of_an_attempt() {
    let options = ClientOptions { connect_timeout: Duration::from_millis(50), ..quick() };
    let hold = |mut stream: TcpStream| drop(stream.read_to_end(&mut Vec::new()));
    check_failed(options, hold, CloseReason::Transport(ErrorKind::TimedOut));
}
