//! What a TLS client is configured by: whom it trusts, and the name its server must prove.

use super::error::{TlsError, TlsProblem};
use super::pem::PemFile;
use super::{HTTP_1_1, provider};
use crate::net::place::UrlError;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// What goes on inside of TLS, as far as a client says it to the server (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// One of the plain wires: nothing is said.
    Wire,
    /// HTTP, which may become a WebSocket: `http/1.1`.
    Http,
}

const CA: &str = "tls_ca";
/// Tickets kept to resume sessions by, of one server as many as rustls keeps.
const MAX_TICKETS: usize = 8;

/// A client that trusts exactly the authorities in the PEM file `ca`, or those the system trusts. TLS 1.2 and 1.3.
///
/// Reading the system's may take some 10 ms; one configuration serves any number of sessions.
pub fn client_config(ca: Option<&Path>, inside: Inside) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match ca {
        Some(path) => PemFile::read(CA, path)?.roots()?,
        None => system_roots()?,
    };
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| TlsError::without_file(CA, TlsProblem::System(error.to_string())))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(MAX_TICKETS);
    config.alpn_protocols = match inside {
        Inside::Wire => Vec::new(),
        Inside::Http => vec![HTTP_1_1.to_vec()],
    };
    Ok(Arc::new(config))
}

/// The name that a server at `host` must prove: a DNS name, or an address, which may be in brackets.
pub fn server_name(host: &str) -> Result<ServerName<'static>, UrlError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned());
    name.map_err(|_| UrlError::new(host, "a certificate proves a DNS name or an IP address; give the host as one"))
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        log::debug!("a certificate of the system can't be read: {error}");
    }
    let mut roots = RootCertStore::empty();
    // Systems carry some that nobody can use.
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 { Err(TlsError::without_file(CA, TlsProblem::NoRoots)) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::Session;
    use crate::net::tls::tests::{Authority, Folder, ends, settle};
    use rustls::version::TLS13;

    #[test]
    fn hosts_are_names_or_addresses() {
        for (host, name) in [
            ("example.org", "example.org"),
            ("localhost", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(server_name(host).unwrap().to_str(), name);
        }
        for host in ["", "[", "two words", "-", "a..b", "[example.org", "host:80"] {
            let error = server_name(host).unwrap_err().to_string();
            assert!(error.contains(host) && error.contains("DNS name"), "{error}");
        }
    }

    #[test]
    fn whom_to_trust_is_a_file_or_the_system() {
        let folder = Folder::new("trust");
        let empty = folder.write("empty.pem", "nothing");
        for (file, word) in [(folder.path("missing"), "No such file"), (empty, "no certificate")] {
            let error = client_config(Some(&file), Inside::Wire).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("tls_ca is ") && error.contains("name a"), "{error}");
        }
        if let Err(error) = client_config(None, Inside::Wire) {
            assert!(error.to_string().contains("ca-certificates"), "{error}");
        }
    }

    #[test]
    fn a_server_must_prove_the_name_it_was_dialled_by_to_who_trusts_its_issuer() {
        let folder = Folder::new("proof");
        let (known, other) = (Authority::new(), Authority::new());
        let (server, _) = known.configs(&provider(), &TLS13);
        let met = |authority: &Authority, host: &str| {
            let config = client_config(Some(&folder.write("ca.pem", &authority.pem)), Inside::Wire).unwrap();
            let (mut at_server, mut at_client) = ends((server.clone(), config.clone()));
            at_client.session = Session::client(config, server_name(host).unwrap()).unwrap();
            at_client.flush();
            settle(&mut at_client, &mut at_server, usize::MAX).is_ok() && !at_server.session.is_handshaking()
        };
        assert!(met(&known, "localhost"));
        assert!(met(&known, "127.0.0.1"));
        assert!(!met(&known, "example.org"));
        assert!(!met(&known, "127.0.0.2"));
        assert!(!met(&other, "localhost"));
    }
}
