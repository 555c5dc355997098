//! Certificates and keys out of PEM files (RFC 7468). It reads the files that a setting names, each once, whole.

use super::error::{TlsError, TlsProblem};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// A file that a setting names.
pub(super) struct PemFile<'a> {
    setting: &'static str,
    path: &'a Path,
    text: Vec<u8>,
}

impl<'a> PemFile<'a> {
    pub(super) fn read(setting: &'static str, path: &'a Path) -> Result<Self, TlsError> {
        match std::fs::read(path) {
            Ok(text) => Ok(Self { setting, path, text }),
            Err(error) => Err(TlsError::new(setting, path, TlsProblem::Unreadable(error))),
        }
    }

    /// All certificates in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match certificates {
            Ok(none) if none.is_empty() => Err(self.error(TlsProblem::NoCertificate)),
            Ok(some) => Ok(some),
            Err(error) => Err(self.error(TlsProblem::BadPem(error.to_string()))),
        }
    }

    /// The first private key in it.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.text).map_err(|error| match error {
            _ if self.holds_encrypted_key() => self.error(TlsProblem::EncryptedKey),
            pem::Error::NoItemsFound => self.error(TlsProblem::NoKey),
            error => self.error(TlsProblem::BadPem(error.to_string())),
        })
    }

    /// All certificates in it, as such that are trusted to issue others.
    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let added = roots.add(certificate);
            added.map_err(|error| self.error(TlsProblem::BadCertificate(error.to_string())))?;
        }
        Ok(roots)
    }

    pub(super) fn error(&self, problem: TlsProblem) -> TlsError {
        TlsError::new(self.setting, self.path, problem)
    }

    /// PKCS #8 says it in the label, older files in a header inside.
    fn holds_encrypted_key(&self) -> bool {
        String::from_utf8_lossy(&self.text).contains("ENCRYPTED")
    }
}
