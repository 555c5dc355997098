//! A stream of bytes as its owner reads and writes it: plain, or through TLS. What it carries nobody here knows.

use super::stream::Stream;
#[cfg(feature = "tls")]
use super::tls::Session;
use crate::gateway::Received;
use std::io::{self, IoSlice, Read, Write};

/// One stream of bytes, encrypted or not.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(Stream),
    #[cfg(feature = "tls")]
    Tls(Box<(Stream, Session)>),
}

/// What was read of a TLS stream and not yet decrypted, for any number of sockets that are read in turn; empty until the
/// first.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    #[cfg(feature = "tls")]
    ciphertext: Vec<u8>,
}

/// Ciphertext read at once: what it decrypts to fits a gateway's receive buffer, beside the part of a record held from
/// before.
#[cfg(feature = "tls")]
const CIPHERTEXT: usize = 40 << 10;

impl Socket {
    /// Reads once.
    #[inline]
    #[cfg_attr(not(feature = "tls"), expect(unused_variables, reason = "there is nothing to decrypt"))]
    pub(super) fn read(&mut self, buffer: &mut [u8], scratch: &mut Scratch) -> io::Result<Received> {
        match self {
            Socket::Plain(stream) => Ok(Received::of(stream.read(buffer)?, buffer.len())),
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => {
                scratch.ciphertext.resize(CIPHERTEXT, 0);
                let (stream, session) = &mut **encrypted;
                let received = session.read(stream, &mut scratch.ciphertext, buffer)?;
                Ok(match received.bytes {
                    0 if received.end => Received::End,
                    // An end behind these bytes is met by the next read.
                    count => Received::Bytes { count, drained: received.drained && !received.end },
                })
            }
        }
    }

    /// Writes once. What TLS was offered and did not take has to be offered again, with or without more behind it.
    #[inline]
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.write_vectored(slices),
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => {
                let (stream, session) = &mut **encrypted;
                session.write(stream, slices)
            }
        }
    }

    /// Writes what TLS itself has to say.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => {
                let (stream, session) = &mut **encrypted;
                session.flush(stream)
            }
        }
    }

    /// Shuts our side: the peer sees the end behind the last byte.
    pub(super) fn shut_down(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(stream) => stream.shut_down(),
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => {
                let (stream, session) = &mut **encrypted;
                session.shut_down(stream);
                stream.shut_down()
            }
        }
    }

    /// Whether its TLS handshake is not complete.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => encrypted.1.is_handshaking(),
        }
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        match self {
            Socket::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Socket::Tls(encrypted) => &mut encrypted.0,
        }
    }
}
