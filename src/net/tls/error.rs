//! What is wrong with a file that TLS is configured by, and the mend.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why TLS can't be configured: the setting, its file, what is wrong with that.
#[derive(Debug)]
pub struct TlsError {
    /// The setting's name.
    pub setting: &'static str,
    /// The file that it names, if any.
    pub file: Option<PathBuf>,
    /// What is wrong.
    pub problem: TlsProblem,
}

/// What is wrong with a file of certificates or a key.
#[derive(Debug)]
pub enum TlsProblem {
    /// The system does not give it to us.
    Unreadable(io::Error),
    /// It is not what PEM (RFC 7468) prescribes; the detail.
    BadPem(String),
    /// There is no certificate in it.
    NoCertificate,
    /// There is no private key in it.
    NoKey,
    /// Its key can only be read with a password.
    EncryptedKey,
    /// A certificate in it can't be used; the detail.
    BadCertificate(String),
    /// Its key can't be used; the detail.
    BadKey(String),
    /// Its key is not the certificate's.
    KeyOfAnother,
    /// Client certificates are required and it does not say who issues them.
    NoIssuer,
    /// The system trusts nobody.
    NoRoots,
    /// The system has no randomness, or the like.
    System(String),
}

impl TlsError {
    pub(super) fn new(setting: &'static str, file: &Path, problem: TlsProblem) -> Self {
        Self { setting, file: Some(file.to_owned()), problem }
    }

    pub(super) fn without_file(setting: &'static str, problem: TlsProblem) -> Self {
        Self { setting, file: None, problem }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.setting)?;
        if let Some(file) = &self.file {
            write!(f, " is {}", file.display())?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl fmt::Display for TlsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsProblem::Unreadable(error) => {
                write!(f, "it can't be read ({error}); name a file that this user may read")
            }
            TlsProblem::BadPem(detail) => write!(f, "it is damaged ({detail}); make or copy it anew"),
            TlsProblem::NoCertificate => f.write_str(
                "there is no certificate in it; name a PEM file with a part that begins -----BEGIN CERTIFICATE-----",
            ),
            TlsProblem::NoKey => f.write_str(
                "there is no private key in it; name a PEM file with a part that begins -----BEGIN PRIVATE KEY-----",
            ),
            TlsProblem::EncryptedKey => f.write_str(
                "its key is encrypted, and nobody is there to type the password; decrypt it: openssl pkey -in it -out KEY",
            ),
            TlsProblem::BadCertificate(detail) => {
                write!(f, "a certificate in it can't be used ({detail}); it must be X.509 version 3")
            }
            TlsProblem::BadKey(detail) => {
                write!(f, "its key can't be used ({detail}); make one with ECDSA P-256 or RSA of 2048 bits or more")
            }
            TlsProblem::KeyOfAnother => f.write_str(
                "its key does not belong to the certificate; name both files of one pair, and the server's own \
                 certificate first in its file",
            ),
            TlsProblem::NoIssuer => f.write_str(
                "client certificates are required, and it does not say who may issue them; name a PEM file with the \
                 issuer's certificate",
            ),
            TlsProblem::NoRoots => f.write_str(
                "the system has no certificates of authorities to trust; install them (package ca-certificates), or name \
                 a PEM file with the server's",
            ),
            TlsProblem::System(detail) => write!(f, "TLS can't be set up on this system ({detail})"),
        }
    }
}

impl std::error::Error for TlsError {}
