//! One TLS connection over a non-blocking stream that its owner holds. It opens no socket, never waits, and does a
//! bounded amount of work a call.

use super::ahead::{Ahead, MAX_RECORDS};
use super::streams::{Nothing, Outlet, RECORD_PLAINTEXT, Scale, take_record};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, Error, IoState, ServerConfig, ServerConnection};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::sync::Arc;

/// A TLS connection, server or client, which is handed its stream in each call.
///
/// The stream is one that a poll watches edge-triggered: what is said here of emptiness and refusal tells the owner
/// when an event will come and when it will not. A write that takes less than it is offered, in one slice or in many,
/// has met a full stream.
///
/// - A client speaks first: [`Session::flush`] when the stream is connected.
/// - After each [`Session::read`] try to write what waits: the read that ends the handshake makes writing possible, and
///   no event tells of it.
/// - When the stream takes bytes again and [`Session::wants_write`], call [`Session::flush`] or [`Session::write`].
///
/// A handshake has no deadline here; the owner's is absolute, from the start.
#[derive(Debug)]
pub struct Session {
    tls: Connection,
    ahead: Ahead,
    inbound: Inbound,
    /// The stream refused ciphertext: an event will tell when it takes more.
    refused: bool,
    /// Our end was announced; nothing may follow it.
    shut: bool,
    /// What rustls holds of a record or a handshake message that is not complete, in bytes; rather more than less.
    unfinished: usize,
    /// Ciphertext that waits for the stream, as of the last look.
    pending: usize,
    /// Of the bytes that were encrypted ahead, to catch an owner that offers others in their place.
    #[cfg(debug_assertions)]
    offered: u64,
}

#[derive(Debug)]
enum Inbound {
    Open,
    /// By close_notify, or by the end of the stream.
    Ended,
    Failed(Error),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Plaintext at the front of the buffer; 0 where only the handshake moved, or a record is not complete.
    pub bytes: usize,
    /// The stream was emptied and nothing decrypted is left inside: an event tells of what comes. If not, read again
    /// without one.
    pub drained: bool,
    /// Behind these bytes the peer sends no more.
    pub end: bool,
}

/// The most that one record takes on the way (RFC 5246, section 6.2.3), header included.
const MAX_RECORD_BYTES: usize = 5 + (16 << 10) + 2048;
/// The least that a record costs on the way: its header and the tag of any suite.
const MIN_RECORD_COST: usize = 5 + 16;
/// Ciphertext handed to rustls at once, and what it reserves for input while it holds none. Larger steps would cost
/// more moving of bytes for many tiny records, and more memory that those leave behind.
const STEP: usize = 4096;
/// What rustls may hold of our ciphertext: a batch of records, with room to spare for what they cost.
const WRITE_LIMIT: usize = MAX_RECORDS * (RECORD_PLAINTEXT + 256);
/// What a session costs besides its input buffer and what waits: itself, its keys, and the allocator's share, as
/// measured.
const BASE_BYTES: usize = 4096;

impl Session {
    /// A session that waits for a ClientHello.
    ///
    /// A configuration that limits the size of records is refused: what has left is counted by whole records.
    pub fn server(config: Arc<ServerConfig>) -> io::Result<Self> {
        accept_fragments(config.max_fragment_size)?;
        let tls = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self::new(tls.into()))
    }

    /// A session that has its ClientHello ready, to a server that must be `name`. As [`Session::server`].
    pub fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        accept_fragments(config.max_fragment_size)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        Ok(Self::new(tls.into()))
    }

    fn new(mut tls: Connection) -> Self {
        tls.set_buffer_limit(Some(WRITE_LIMIT));
        Self {
            tls,
            ahead: Ahead::default(),
            inbound: Inbound::Open,
            refused: false,
            shut: false,
            unfinished: 0,
            pending: 0,
            #[cfg(debug_assertions)]
            offered: 0,
        }
    }

    /// Takes the first bytes of the connection, which somebody else has read. Only before the first [`Session::read`];
    /// follow with [`Session::flush`], which after an error sends the alert.
    pub fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.process(bytes, &mut []).1
    }

    /// Reads once from the stream into `cipher`, and gives what it decrypts in `plain`.
    ///
    /// No more is read than fits into `plain` when it is decrypted; if `plain` is too short for a record, the rest of it
    /// is given before the stream is read again. What TLS answers is written at once. As with any socket,
    /// `WouldBlock` says that nothing was there. A peer that breaks the protocol is sent the alert for it, and is
    /// `InvalidData` after all that was good has been given. `plain` holds at least 4 KiB.
    pub fn read(
        &mut self,
        stream: &mut (impl Read + Write),
        cipher: &mut [u8],
        plain: &mut [u8],
    ) -> io::Result<Received> {
        assert!(!cipher.is_empty() && plain.len() >= STEP, "the buffers have room");
        let kept = self.take_plain(plain);
        if kept > 0 {
            return Ok(Received { bytes: kept, drained: false, end: false });
        }
        match &self.inbound {
            Inbound::Open => {}
            Inbound::Ended => return Ok(Received { bytes: 0, drained: true, end: true }),
            Inbound::Failed(error) => return Err(invalid(error.clone())),
        }
        let fits = plain.len() - self.unfinished.min(MAX_RECORD_BYTES).min(plain.len() - STEP);
        let offered = cipher.len().min(fits);
        let count = stream.read(&mut cipher[..offered])?;
        if count == 0 {
            self.inbound = Inbound::Ended;
            return Ok(Received { bytes: 0, drained: true, end: true });
        }
        let burst = self.unfinished + count > STEP;
        let (bytes, processed) = self.process(&cipher[..count], plain);
        let answered = if self.refused { Ok(()) } else { self.send(stream) };
        match processed.and(answered) {
            // What was good comes first. The next read meets the error again.
            Err(_) if bytes > 0 => return Ok(Received { bytes, drained: false, end: false }),
            result => result?,
        }
        let is_empty = !self.holds_plain();
        let end = is_empty && matches!(self.inbound, Inbound::Ended);
        let drained = is_empty && (end || count < offered);
        if drained && burst && self.unfinished <= STEP {
            self.give_back_input_buffer();
        }
        Ok(Received { bytes, drained, end })
    }

    /// Writes plaintext as a socket does: how much of it has left. Less than was offered, or `WouldBlock`, says that
    /// the stream refused bytes or has failed, and that an event will come.
    ///
    /// Plaintext has left when the last byte of its record has. What was encrypted and has not left is not counted:
    /// the next call must offer the same bytes again, with or without more behind them, and encrypts none of them a
    /// second time. At most 64 KiB are so encrypted ahead. Before the handshake is complete nothing is taken.
    pub fn write(&mut self, stream: &mut impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        assert!(self.ahead.bytes() <= offered, "what was encrypted ahead is offered again");
        #[cfg(debug_assertions)]
        debug_assert!(self.ahead.bytes() == 0 || self.offered == digest(slices, 0, self.ahead.bytes()), "other bytes");
        let result = self.write_ahead(stream, slices, offered);
        let done = self.ahead.take_done();
        #[cfg(debug_assertions)]
        {
            self.offered = digest(slices, done, self.ahead.bytes());
        }
        match result {
            // An error that remains is met again by whoever comes next.
            _ if done > 0 || offered == 0 => Ok(done),
            Ok(()) => Err(ErrorKind::WouldBlock.into()),
            Err(error) => Err(error),
        }
    }

    /// Writes what waits for the stream. What that refuses goes on waiting, which is no error.
    pub fn flush(&mut self, stream: &mut impl Write) -> io::Result<()> {
        self.send(stream)
    }

    /// Announces our end by close_notify, as far as the stream takes it; no plaintext may follow.
    ///
    /// The stream itself is for its owner to shut: when nothing waits any more, or at once, after which a flush of what
    /// waits would fail.
    pub fn shut_down(&mut self, stream: &mut impl Write) {
        self.tls.send_close_notify();
        self.shut = true;
        // A peer that is gone by now shows in the next read.
        let _ = self.send(stream);
    }

    /// Answers the peer's end with ours, where it has ended and was not answered.
    pub fn answer_end(&mut self, stream: &mut impl Write) {
        if matches!(self.inbound, Inbound::Ended) && !self.shut {
            self.shut_down(stream);
        }
    }

    /// Whether the handshake is not complete.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether ciphertext waits for the stream.
    pub fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    /// The protocol that was agreed on for what is inside (RFC 7301), such as `http/1.1`.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// The peer's own certificate in DER, which has been verified.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(|certificate| certificate.as_ref())
    }

    /// Memory that this session takes up, at most, in bytes. An estimate.
    pub fn held_bytes(&self) -> usize {
        BASE_BYTES + STEP + self.unfinished + self.pending
    }

    /// Decrypts, and gives as much as `plain` takes; how much that is, and the error that followed.
    fn process(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> (usize, io::Result<()>) {
        let (mut bytes, mut inside) = (0, 0);
        while !cipher.is_empty() {
            let stepped = self.step(&mut cipher, inside);
            let given = self.take_plain(&mut plain[bytes..]);
            bytes += given;
            match stepped {
                // Nothing behind the peer's end counts (RFC 8446, section 6.1).
                Ok(state) if state.peer_has_closed() => {
                    self.inbound = Inbound::Ended;
                    break;
                }
                Ok(state) => inside = state.plaintext_bytes_to_read() - given,
                Err(error) => {
                    self.inbound = Inbound::Failed(error.clone());
                    return (bytes, Err(invalid(error)));
                }
            }
        }
        (bytes, Ok(()))
    }

    /// Hands rustls the front of `cipher`, at least a byte of it, where it had `inside` bytes of plaintext.
    fn step(&mut self, cipher: &mut &[u8], inside: usize) -> Result<IoState, Error> {
        let was_handshaking = self.tls.is_handshaking();
        let mut front = &cipher[..cipher.len().min(STEP)];
        let taken = self.tls.read_tls(&mut front).map_err(|error| Error::General(error.to_string()))?;
        if taken == 0 {
            return Err(Error::General("no progress".into()));
        }
        *cipher = &cipher[taken..];
        let state = self.tls.process_new_packets()?;
        self.unfinished += taken;
        let came = state.plaintext_bytes_to_read().saturating_sub(inside);
        if came > 0 {
            self.unfinished = self.unfinished.saturating_sub(came + MIN_RECORD_COST).min(taken);
        } else if was_handshaking && !self.tls.is_handshaking() {
            self.unfinished = taken;
        }
        Ok(state)
    }

    fn take_plain(&mut self, plain: &mut [u8]) -> usize {
        // An error only says in which way nothing is there.
        self.tls.reader().read(plain).unwrap_or(0)
    }

    fn holds_plain(&mut self) -> bool {
        self.tls.reader().into_first_chunk().is_ok_and(|chunk| !chunk.is_empty())
    }

    /// rustls keeps a buffer that has grown until it reads again, which on a quiet connection is for hours.
    fn give_back_input_buffer(&mut self) {
        // It would block, after the buffer was cut to a step.
        let _ = self.tls.read_tls(&mut Nothing);
    }

    /// Encrypts and writes, a batch at a time, until all has left or the stream refuses.
    fn write_ahead(&mut self, stream: &mut impl Write, slices: &[IoSlice<'_>], offered: usize) -> io::Result<()> {
        self.send(stream)?;
        if self.shut {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if let Inbound::Failed(error) = &self.inbound {
            return Err(invalid(error.clone()));
        }
        while !self.tls.wants_write() && !self.tls.is_handshaking() && self.ahead.bytes() < offered {
            self.encrypt(slices)?;
            self.send(stream)?;
        }
        Ok(())
    }

    /// Encrypts a batch of records from where the last one ended. Nothing waits for the stream.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<()> {
        for _ in 0..MAX_RECORDS {
            let (record, count) = take_record(slices, self.ahead.bytes());
            if count == 0 {
                break;
            }
            let taken = self.tls.writer().write_vectored(&record[..count])?;
            let waiting = Scale::weigh(&mut self.tls);
            // Keys of TLS 1.2 that have encrypted all they may: rustls drops what it takes and ends the session.
            if taken == 0 || !waiting.ends_with_plaintext() {
                return Err(io::Error::new(ErrorKind::ConnectionAborted, "the keys of the session are used up"));
            }
            self.pending = waiting.bytes;
            self.ahead.push(taken, self.pending);
        }
        Ok(())
    }

    fn send(&mut self, stream: &mut impl Write) -> io::Result<()> {
        self.refused = false;
        while self.tls.wants_write() && !self.refused {
            let mut outlet = Outlet::new(stream);
            match self.tls.write_tls(&mut outlet) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(left) => {
                    self.refused = left < outlet.offered;
                    self.pending = outlet.offered - left;
                    self.ahead.on_left(left);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.refused = true,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(debug_assertions)]
fn digest(slices: &[IoSlice<'_>], skipped: usize, bytes: usize) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    slices.iter().flat_map(|slice| slice.iter()).skip(skipped).take(bytes).for_each(|byte| hasher.write_u8(*byte));
    hasher.finish()
}

fn accept_fragments(max_fragment_size: Option<usize>) -> io::Result<()> {
    match max_fragment_size {
        None => Ok(()),
        Some(_) => Err(io::Error::new(ErrorKind::Unsupported, "max_fragment_size must not be set")),
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
