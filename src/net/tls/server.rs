//! What a TLS server is configured by: its files, and the way to read them anew while it runs.

use super::error::{TlsError, TlsProblem};
use super::pem::PemFile;
use super::{HTTP_1_1, Session, provider};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore, ServerConfig};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The files of a TLS server, all in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `tls_certificate`: the server's certificate, then those that lead from it to an authority.
    pub certificate: PathBuf,
    /// `tls_key`: the key of the first of them.
    pub key: PathBuf,
    /// `tls_client_ca`: who issues certificates to clients. A client may then show one, and one of anybody else is
    /// refused. Without it nobody is asked.
    pub client_ca: Option<PathBuf>,
    /// A client must show one. It needs `client_ca`.
    pub require_client_certificate: bool,
}

/// A TLS server's files, and what was last read of them.
#[derive(Debug)]
pub struct TlsServer {
    files: TlsFiles,
    config: Arc<ServerConfig>,
}

impl TlsFiles {
    /// Reads and checks the files. A certificate whose time is not now is logged, and served all the same.
    ///
    /// Sessions speak TLS 1.2 or 1.3 and are agreed to be `http/1.1` with clients that ask (RFC 7301); no client has to.
    /// They can be resumed for some hours by what a ticket holds, which costs no memory here; the keys of tickets are
    /// new with each load, so a client that showed a certificate shows it again to new files.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let certificate_file = PemFile::read(CERTIFICATE, &self.certificate)?;
        let key_file = PemFile::read(KEY, &self.key)?;
        let (chain, key) = (certificate_file.certificates()?, key_file.key()?);
        let provider = provider();
        self.warn_of_time(&chain, &provider);
        let verifier = self.client_verifier(&provider)?;
        let system = |error: Error| TlsError::without_file(CERTIFICATE, TlsProblem::System(error.to_string()));
        let builder = ServerConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(system)?;
        let config = builder.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = config.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => key_file.error(TlsProblem::KeyOfAnother),
            Error::InvalidCertificate(error) => certificate_file.error(TlsProblem::BadCertificate(error.to_string())),
            error => key_file.error(TlsProblem::BadKey(error.to_string())),
        })?;
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        // A connection lives long and a ticket is used once (RFC 8446, section C.4): one brings the client back.
        config.send_tls13_tickets = 1;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(system)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Arc::new(config))
    }

    fn client_verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Some(path) = &self.client_ca else {
            return match self.require_client_certificate {
                true => Err(TlsError::without_file(CLIENT_CA, TlsProblem::NoIssuer)),
                false => Ok(WebPkiClientVerifier::no_client_auth()),
            };
        };
        let file = PemFile::read(CLIENT_CA, path)?;
        let mut builder = WebPkiClientVerifier::builder_with_provider(file.roots()?.into(), provider.clone());
        if !self.require_client_certificate {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(|error| file.error(TlsProblem::BadCertificate(error.to_string())))
    }

    fn warn_of_time(&self, chain: &[CertificateDer<'_>], provider: &CryptoProvider) {
        let file = self.certificate.display();
        match chain.first().map(|certificate| time_error(certificate, provider)) {
            Some(Some(Timeliness::Expired)) => {
                log::warn!("{CERTIFICATE} is {file}: it has expired, and clients will refuse it; renew it");
            }
            Some(Some(Timeliness::Early)) => {
                log::warn!(
                    "{CERTIFICATE} is {file}: it is not valid yet; look at its dates and at this machine's clock"
                );
            }
            Some(None) | None => {}
        }
    }
}

const CERTIFICATE: &str = "tls_certificate";
const KEY: &str = "tls_key";
const CLIENT_CA: &str = "tls_client_ca";

impl TlsServer {
    /// A server with what is in the files now.
    pub fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let config = files.load()?;
        Ok(Self { files, config })
    }

    /// Reads the files anew, for the sessions that begin from here on. On an error all stays as it was.
    pub fn reload(&mut self) -> Result<(), TlsError> {
        self.config = self.files.load()?;
        Ok(())
    }

    /// A session that waits for a ClientHello.
    pub fn session(&self) -> io::Result<Session> {
        Session::server(self.config.clone())
    }

    /// What new sessions are configured by.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }
}

enum Timeliness {
    Expired,
    Early,
}

/// Whether now is outside of a certificate's time. The check of a chain begins with that, before it looks for whom to
/// trust, which is nobody here.
fn time_error(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> Option<Timeliness> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let (roots, algorithms) = (RootCertStore::empty(), provider.signature_verification_algorithms.all);
    match verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], UnixTime::now(), algorithms) {
        Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
            Some(Timeliness::Expired)
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. })) => {
            Some(Timeliness::Early)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::tests::{Authority, End, Folder, Identity, carry, connected, ends, settle};
    use crate::net::tls::{Inside, client_config};
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, SupportedProtocolVersion};

    /// An authority, and a folder with what a server needs of it.
    struct Site {
        authority: Authority,
        folder: Folder,
        files: TlsFiles,
    }

    impl Site {
        fn new(name: &str) -> Self {
            let (authority, folder) = (Authority::new(), Folder::new(name));
            folder.write("ca.pem", &authority.pem);
            let files = TlsFiles {
                certificate: folder.path("server.pem"),
                key: folder.path("server.key"),
                client_ca: None,
                require_client_certificate: false,
            };
            let site = Self { authority, folder, files };
            site.install(&site.authority.issue(|_| ()));
            site
        }

        fn install(&self, identity: &Identity) {
            self.folder.write("server.pem", &identity.certificate.pem());
            self.folder.write("server.key", &identity.key.serialize_pem());
        }

        fn server(&self) -> TlsServer {
            TlsServer::new(self.files.clone()).unwrap()
        }

        fn client(&self, inside: Inside) -> Arc<ClientConfig> {
            client_config(Some(&self.folder.path("ca.pem")), inside).unwrap()
        }

        /// What stands in the way of a start, after a change of the files.
        fn problem(&self, change: impl FnOnce(&mut TlsFiles)) -> String {
            let mut files = self.files.clone();
            change(&mut files);
            files.load().unwrap_err().to_string()
        }
    }

    /// A client of that version, with a certificate where one is given.
    fn client_of(
        site: &Site,
        version: &'static SupportedProtocolVersion,
        identity: Option<&Identity>,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).unwrap();
        let builder = builder.with_root_certificates(site.authority.roots());
        let config = match identity {
            Some(own) => builder.with_client_auth_cert(own.chain(), own.private_key()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.into()
    }

    /// Both ends after as much of a handshake as comes about, and whether the server is content.
    fn meet(server: &TlsServer, client: Arc<ClientConfig>) -> (End, End, bool) {
        let (mut server, mut client) = ends((server.config().clone(), client));
        client.flush();
        let met = settle(&mut client, &mut server, usize::MAX).is_ok() && !server.session.is_handshaking();
        (server, client, met)
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_setting_and_the_mend() {
        let site = Site::new("wrong");
        let path = |name| site.folder.path(name);
        let other = site.authority.issue(|_| ());
        site.folder.write("other.key", &other.key.serialize_pem());
        let good_key = std::fs::read_to_string(path("server.key")).unwrap();
        let cut = site.folder.write("cut.pem", &good_key[..good_key.len() / 2]);
        let label = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let no_certificate = site.folder.write("no_certificate.pem", &label("CERTIFICATE"));
        let no_key = site.folder.write("no_key.pem", &label("PRIVATE KEY"));
        let encrypted = site.folder.write("encrypted.pem", &label("ENCRYPTED PRIVATE KEY"));
        let old_label = label("RSA PRIVATE KEY").replace("AAAA", "Proc-Type: 4,ENCRYPTED\n\nAAAA");
        let old_encrypted = site.folder.write("old_encrypted.pem", &old_label);

        let check = |change: &dyn Fn(&mut TlsFiles), words: [&str; 3]| {
            let problem = site.problem(change);
            assert!(words.iter().all(|word| problem.contains(word)), "{problem}: not {words:?}");
        };
        let certificate = |file: &PathBuf, [is, mend]: [&str; 2]| {
            check(
                &|files| files.certificate = file.clone(),
                [&format!("tls_certificate is {}", file.display()), is, mend],
            );
        };
        certificate(&path("missing"), ["No such file", "may read"]);
        certificate(&site.folder.as_ref().to_owned(), ["can't be read", "may read"]);
        certificate(&path("server.key"), ["no certificate", "BEGIN CERTIFICATE"]);
        certificate(&no_certificate, ["can't be used", "version 3"]);
        certificate(&site.folder.write("half.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"), ["damaged", "anew"]);
        let key = |file: &PathBuf, [is, mend]: [&str; 2]| {
            check(&|files| files.key = file.clone(), [&format!("tls_key is {}", file.display()), is, mend]);
        };
        key(&path("missing"), ["No such file", "may read"]);
        key(&path("server.pem"), ["no private key", "BEGIN PRIVATE KEY"]);
        key(&path("other.key"), ["does not belong", "one pair"]);
        key(&cut, ["damaged", "anew"]);
        key(&no_key, ["can't be used", "P-256"]);
        key(&encrypted, ["encrypted", "openssl"]);
        key(&old_encrypted, ["encrypted", "openssl"]);
        let client_ca = |file: &PathBuf, [is, mend]: [&str; 2]| {
            let words = [&format!("tls_client_ca is {}", file.display()), is, mend];
            check(&|files| files.client_ca = Some(file.clone()), words);
        };
        client_ca(&path("missing"), ["No such file", "may read"]);
        client_ca(&path("server.key"), ["no certificate", "BEGIN CERTIFICATE"]);
        client_ca(&no_certificate, ["can't be used", "version 3"]);
        check(&|files| files.require_client_certificate = true, ["tls_client_ca", "required", "issuer"]);
    }

    #[test]
    fn a_certificate_out_of_its_time_is_noticed() {
        let authority = Authority::new();
        let lives = |from: i32, to: i32| {
            let identity = authority.issue(|params| {
                params.not_before = date_time_ymd(from, 1, 1);
                params.not_after = date_time_ymd(to, 1, 1);
            });
            time_error(identity.certificate.der(), &provider())
        };
        assert!(matches!(lives(2000, 2001), Some(Timeliness::Expired)));
        assert!(lives(2000, 4000).is_none());
        assert!(matches!(lives(3999, 4000), Some(Timeliness::Early)));
        let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let own = own.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(time_error(own.der(), &provider()).is_none(), "that nobody issued it is another matter");
    }

    #[test]
    fn clients_of_both_versions_are_served() {
        let site = Site::new("versions");
        for version in [&TLS12, &TLS13] {
            let (mut server, mut client) = connected((site.server().config().clone(), client_of(&site, version, None)));
            client.write(b"hello").unwrap();
            carry(&mut client, &mut server, usize::MAX).unwrap();
            assert_eq!((server.inbox.as_slice(), server.session.peer_certificate()), (b"hello".as_slice(), None));
        }
    }

    #[test]
    fn http_is_agreed_on_with_who_asks_and_others_are_welcome() {
        let (site, http) = (Site::new("alpn"), Some(b"http/1.1".as_slice()));
        let agreed = |client: Arc<ClientConfig>| {
            let (server, client, met) = meet(&site.server(), client);
            assert!(!met || server.session.alpn() == client.session.alpn());
            met.then(|| server.session.alpn().map(<[u8]>::to_vec))
        };
        assert_eq!(agreed(site.client(Inside::Http)), Some(http.map(<[u8]>::to_vec)));
        assert_eq!(agreed(site.client(Inside::Wire)), Some(None));
        let mut browser = site.client(Inside::Wire);
        Arc::make_mut(&mut browser).alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        assert_eq!(agreed(browser), Some(http.map(<[u8]>::to_vec)));
        let mut stranger = site.client(Inside::Wire);
        Arc::make_mut(&mut stranger).alpn_protocols = vec![b"h2".to_vec()];
        assert_eq!(agreed(stranger), None);
    }

    #[test]
    fn client_certificates_are_optional_or_required_and_never_of_a_stranger() {
        let mut site = Site::new("clients");
        let as_client = |params: &mut CertificateParams| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        };
        let (known, stranger) = (site.authority.issue(as_client), Authority::new().issue(as_client));
        site.files.client_ca = Some(site.folder.path("ca.pem"));
        for (required, version) in [(false, &TLS12), (false, &TLS13), (true, &TLS12), (true, &TLS13)] {
            site.files.require_client_certificate = required;
            let server = site.server();
            let (_, _, met) = meet(&server, client_of(&site, version, None));
            assert_eq!(met, !required);
            let (session, _, met) = meet(&server, client_of(&site, version, Some(&known)));
            assert!(met && session.session.peer_certificate() == Some(known.certificate.der().as_ref()));
            let (_, _, met) = meet(&server, client_of(&site, version, Some(&stranger)));
            assert!(!met);
        }
    }

    #[test]
    fn new_files_are_for_new_sessions_and_bad_ones_for_nobody() {
        let site = Site::new("reload");
        let mut server = site.server();
        let shown = |server: &TlsServer| {
            let (_, client, met) = meet(server, site.client(Inside::Wire));
            assert!(met);
            client.session.peer_certificate().unwrap().to_vec()
        };
        let (mut old_server, mut old_client, _) = meet(&server, site.client(Inside::Wire));
        let first = shown(&server);

        let second = site.authority.issue(|_| ());
        site.folder.write("server.pem", &second.certificate.pem());
        assert!(server.reload().unwrap_err().to_string().contains("does not belong"), "half of a pair");
        assert_eq!(shown(&server), first);

        site.install(&second);
        server.reload().unwrap();
        assert_eq!(shown(&server), second.certificate.der().as_ref());
        assert_ne!(shown(&server), first);

        std::fs::remove_file(&site.files.key).unwrap();
        assert!(server.reload().unwrap_err().to_string().contains("tls_key"));
        assert_eq!(shown(&server), second.certificate.der().as_ref());

        old_client.write(b"as ever").unwrap();
        carry(&mut old_client, &mut old_server, usize::MAX).unwrap();
        assert_eq!(old_server.inbox, b"as ever");
    }
}
