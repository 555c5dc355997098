//! TLS before any wire, by rustls: sessions over streams that somebody else holds, and what they are configured by. It
//! opens no socket, and reads no file but those that a setting names.

mod ahead;
mod client;
mod error;
mod pem;
mod server;
mod session;
mod streams;
#[cfg(test)]
mod tests;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

pub use client::{Inside, client_config, server_name};
pub use error::{TlsError, TlsProblem};
pub use server::{TlsFiles, TlsServer};
pub use session::{Received, Session};

const HTTP_1_1: &[u8] = b"http/1.1";

/// The cryptography of every session. No default of the process is asked, which another library might have set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
