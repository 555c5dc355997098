//! What the tests of TLS share: certificates, a stream in memory, and the two ends of a connection.

use super::Session;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An authority of the test's own.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
    der: CertificateDer<'static>,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) certificate: rcgen::Certificate,
    pub(super) key: KeyPair,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    pub(super) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// Configurations of both sides, as a stranger would make them.
    pub(super) fn configs(
        &self,
        provider: &Arc<CryptoProvider>,
        version: &'static SupportedProtocolVersion,
    ) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
        let identity = self.issue(|_| ());
        let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let server = server.with_no_client_auth().with_single_cert(identity.chain(), identity.private_key()).unwrap();
        let client = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
        let client = client.with_root_certificates(self.roots()).with_no_client_auth();
        (server.into(), client.into())
    }

    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

impl Identity {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone()]
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

/// A folder that goes when the test does.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A non-blocking stream in memory: what was sent to us, and what we sent.
#[derive(Default)]
pub(super) struct Pipe {
    pub(super) incoming: VecDeque<u8>,
    /// Nothing comes behind `incoming`.
    pub(super) ended: bool,
    pub(super) outgoing: Vec<u8>,
    /// Bytes that it still takes; `None` takes all.
    pub(super) room: Option<usize>,
    /// Calls that a socket would have been asked.
    pub(super) reads: usize,
    pub(super) writes: usize,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.incoming.is_empty() && !self.ended {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.incoming.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes += 1;
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let taken = offered.min(self.room.unwrap_or(usize::MAX));
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room = self.room.map(|room| room - taken);
        self.outgoing.extend(slices.iter().flat_map(|slice| slice.iter()).take(taken));
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a connection, and the program that owns it.
pub(super) struct End {
    pub(super) session: Session,
    pub(super) pipe: Pipe,
    /// Plaintext that has come.
    pub(super) inbox: Vec<u8>,
    /// It was told that nothing follows.
    pub(super) ended: bool,
    pub(super) cipher: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

impl End {
    fn new(session: Session) -> Self {
        let (cipher, plain) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        Self { session, pipe: Pipe::default(), inbox: Vec::new(), ended: false, cipher, plain }
    }

    /// Reads until the stream is known to be empty, as an owner does that gets no second event.
    pub(super) fn read(&mut self) -> io::Result<()> {
        for _ in 0..(self.pipe.incoming.len() + self.plain.len()) {
            let waiting = self.pipe.incoming.len();
            let reads = self.pipe.reads;
            let received = match self.session.read(&mut self.pipe, &mut self.cipher, &mut self.plain) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert_eq!(waiting, 0, "it says that nothing was there");
                    return Ok(());
                }
                result => result?,
            };
            assert!(self.pipe.reads <= reads + 1, "one read at a time");
            assert!(received.bytes == 0 || !self.ended, "nothing follows the end");
            self.inbox.extend_from_slice(&self.plain[..received.bytes]);
            self.ended |= received.end;
            if received.drained {
                assert!(received.end || self.pipe.incoming.is_empty(), "it says that it is empty");
                return Ok(());
            }
        }
        panic!("it reads on and on");
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.write(&mut self.pipe, &[IoSlice::new(bytes)])
    }

    pub(super) fn flush(&mut self) {
        self.session.flush(&mut self.pipe).unwrap();
    }
}

/// A server and a client that have not begun.
pub(super) fn ends(configs: (Arc<ServerConfig>, Arc<ClientConfig>)) -> (End, End) {
    let name = ServerName::try_from("localhost").unwrap();
    let (server, client) = (Session::server(configs.0).unwrap(), Session::client(configs.1, name).unwrap());
    (End::new(server), End::new(client))
}

/// Brings what `from` has sent to `to`, `chunk` bytes at a time.
pub(super) fn carry(from: &mut End, to: &mut End, chunk: usize) -> io::Result<()> {
    for piece in std::mem::take(&mut from.pipe.outgoing).chunks(chunk) {
        to.pipe.incoming.extend(piece);
        to.read()?;
    }
    Ok(())
}

/// Carries both ways until both are silent.
pub(super) fn settle(one: &mut End, other: &mut End, chunk: usize) -> io::Result<()> {
    for _ in 0..16 {
        carry(one, other, chunk)?;
        carry(other, one, chunk)?;
        if one.pipe.outgoing.is_empty() && other.pipe.outgoing.is_empty() {
            return Ok(());
        }
    }
    panic!("they never fall silent");
}

/// A server and a client after their handshake.
pub(super) fn connected(configs: (Arc<ServerConfig>, Arc<ClientConfig>)) -> (End, End) {
    let (mut server, mut client) = ends(configs);
    client.flush();
    settle(&mut client, &mut server, usize::MAX).unwrap();
    assert!(!server.session.is_handshaking() && !client.session.is_handshaking());
    (server, client)
}
