//! Drives a [`Client`] over real sockets, in the thread that polls it.
//!
//! All decisions are the client's; here are its socket, its clock, its seed and the way for other threads to reach it.

mod address;
mod dial_url;
mod handle;
mod link;
mod security;
#[cfg(test)]
mod tests;

use super::clock::Clock;
#[cfg(feature = "tls")]
use super::place::UrlError;
#[cfg(feature = "tls")]
use super::tls::TlsError;
use crate::client::{Action, Client, ClientOptions, Event, Room, SendError};
use crate::config::SettingError;
use crate::timer::Time;
use crate::wire::OwnedMessage;
#[cfg(feature = "websocket")]
use crate::wire::Wire;
use handle::Wish;
use link::{FIRST_TOKEN, Found, Link};
use mio::{Events, Poll, Token, Waker};
use security::Security;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
#[cfg(feature = "tls")]
use std::path::Path;
use std::time::Duration;

pub use dial_url::DialUrl;
pub use handle::DialerHandle;

/// A connection to one server that comes back by itself, for a plain program:
///
/// ```no_run
/// use tidegate::client::{ClientOptions, Event};
/// use tidegate::net::Dialer;
///
/// let mut dialer = Dialer::new("ws://127.0.0.1:8000".parse()?, ClientOptions::default())?;
/// dialer.send("hello")?;
/// while let Some(event) = dialer.poll(None)? {
///     match event {
///         Event::Connected { attempt, .. } => println!("connected at attempt {attempt}"),
///         Event::Message(message) => println!("{}", message.escape_ascii()),
///         Event::Lost { reason, next_attempt } => println!("{reason}, back in {:?}", next_attempt.delay),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nothing happens outside of [`Dialer::poll`]: a program that does not call it answers no heartbeat. What is promised
/// of messages is said at [`Client`].
///
/// A host's name is looked up anew for each attempt, by the standard library, which blocks until the system's resolver
/// has answered: for seconds where the resolver is away. Use an address where that matters. A host with several
/// addresses is tried address after address within one attempt, beginning with another one each time.
pub struct Dialer {
    poll: Poll,
    events: Events,
    client: Client,
    link: Link,
    handle: DialerHandle,
    clock: Clock,
    buffer: Box<[u8]>,
    wants_return: bool,
}

/// Why a dialer can't start.
#[derive(Debug)]
pub enum DialError {
    /// An option is out of bounds.
    Setting(SettingError),
    /// The system has no poll for us.
    Poll(io::Error),
    /// TLS can't be spoken so: a file can't be read.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The host is no name that a certificate could prove.
    #[cfg(feature = "tls")]
    Url(UrlError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Setting(error) => error.fmt(f),
            DialError::Poll(error) => write!(f, "can't start the dialer: {error}"),
            #[cfg(feature = "tls")]
            DialError::Tls(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            DialError::Url(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DialError {}

const WAKER: Token = Token(FIRST_TOKEN.0 - 1);
/// One socket and one waker.
const MAX_EVENTS: usize = 8;
/// Bytes read before the program gets its messages, which bounds the memory that they hold.
const READ_BYTES: usize = 16 << 10;

impl Dialer {
    /// A dialer that makes its first attempt in the first [`Dialer::poll`]. Inside TLS it trusts whom the system trusts.
    pub fn new(url: DialUrl, options: ClientOptions) -> Result<Self, DialError> {
        #[cfg(feature = "tls")]
        let security = Security::new(&url, None)?;
        #[cfg(not(feature = "tls"))]
        let security = Security::default();
        Self::with(url, options, security)
    }

    /// As [`Dialer::new`], but inside TLS it trusts the authorities whose certificates are in this PEM file, and no
    /// others.
    #[cfg(feature = "tls")]
    pub fn trusting(ca: &Path, url: DialUrl, options: ClientOptions) -> Result<Self, DialError> {
        let security = Security::new(&url, Some(ca))?;
        Self::with(url, options, security)
    }

    fn with(url: DialUrl, options: ClientOptions, security: Security) -> Result<Self, DialError> {
        let poll = Poll::new().map_err(DialError::Poll)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(DialError::Poll)?;
        let registry = poll.registry().try_clone().map_err(DialError::Poll)?;
        let handle = DialerHandle::new(Room::new(url.wire, &options), waker);
        Ok(Self {
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            client: client(&url, options).map_err(DialError::Setting)?,
            link: Link::new(url, security, registry),
            handle,
            clock: Clock::start(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            wants_return: false,
        })
    }

    /// Waits for the next event, at most `timeout`; `None` waits for ever.
    ///
    /// Gives `None` when the time is over, when [`DialerHandle::wake`] was called, and at once when the client has
    /// ended. An error is one of the poll itself, and no further call will do better; those of the socket are the
    /// client's, which comes back.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<Event>> {
        let deadline = timeout.map(|timeout| self.clock.now() + timeout);
        let mut is_over = false;
        loop {
            if let Some(event) = self.client.poll_event() {
                return Ok(Some(event));
            }
            if is_over || self.client.is_ended() || std::mem::take(&mut self.wants_return) {
                return Ok(None);
            }
            is_over = deadline.is_some_and(|deadline| deadline <= self.clock.now());
            self.wait(deadline)?;
            self.work();
        }
    }

    /// Sends a message: now, or when the connection stands again. As [`DialerHandle::send`].
    pub fn send(&self, message: impl Into<OwnedMessage>) -> Result<(), SendError> {
        self.handle.send(message)
    }

    /// Reaches this dialer from other threads.
    pub fn handle(&self) -> DialerHandle {
        self.handle.clone()
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Whether it was stopped or gave up: it will not connect again.
    pub fn is_ended(&self) -> bool {
        self.client.is_ended()
    }

    /// Messages that have not wholly been handed to a socket.
    pub fn waiting_messages(&self) -> usize {
        self.handle.waiting_messages()
    }

    fn wait(&mut self, deadline: Option<Time>) -> io::Result<()> {
        let now = self.clock.now();
        let due = [self.client.poll_timeout(), deadline].into_iter().flatten().min();
        let timeout = if self.link.has_input() { Some(Duration::ZERO) } else { due.map(|at| at.saturating_since(now)) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        for event in &self.events {
            self.link.on_event(event);
        }
        Ok(())
    }

    /// What has come is looked at before the time: an answer that waits is no silence.
    fn work(&mut self) {
        let now = self.clock.now();
        self.take_orders();
        self.look(now);
        self.client.handle_timeout(now);
        self.act();
        self.transmit(now);
        self.act();
        self.handle.update(&self.client);
    }

    fn transmit(&mut self, now: Time) {
        let (Self { client, link, .. }, mut has_offered) = (self, false);
        client.poll_transmit(now, |slices| {
            has_offered = true;
            link.write(slices)
        });
        // Behind a write there is nothing left, or the stream is full.
        if !has_offered && let Err(error) = link.flush() {
            client.handle_error(error.kind(), now);
        }
    }

    fn take_orders(&mut self) {
        let (messages, wish) = self.handle.take();
        for message in messages {
            // Only an end that the handles have not been told of yet can be in its way.
            if let Err(error) = self.client.send(message) {
                log::debug!("{error}");
            }
        }
        match wish {
            Wish::Nothing => {}
            Wish::Return => self.wants_return = true,
            Wish::Stop => self.client.stop(),
        }
    }

    fn look(&mut self, now: Time) {
        match self.link.look(&mut self.buffer) {
            Found::Nothing => {}
            Found::Connected => self.client.handle_connected(now),
            Found::ConnectFailed(kind) => self.client.handle_connect_failed(kind, now),
            Found::Bytes(count) => self.client.handle_bytes(&self.buffer[..count], now),
            Found::End => self.client.handle_closed(now),
            Found::Failed(kind) => self.client.handle_error(kind, now),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::CloseSocket => self.link.close(),
                Action::Connect => {
                    if let Err(kind) = self.link.connect() {
                        // A name may have been looked up for long: the wait that is announced begins now.
                        self.client.handle_connect_failed(kind, self.clock.now());
                    }
                }
            }
        }
    }
}

impl Drop for Dialer {
    fn drop(&mut self) {
        self.handle.end();
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("client", &self.client).field("link", &self.link).finish()
    }
}

fn client(url: &DialUrl, options: ClientOptions) -> Result<Client, SettingError> {
    match url.wire {
        #[cfg(feature = "websocket")]
        Wire::WebSocket => Client::websocket(url.host(), url.path(), options, random_seed(), Time::ZERO),
        wire => Client::new(wire, options, random_seed(), Time::ZERO),
    }
}

/// The standard library seeds its hash maps from the system's randomness; one of its keys serves here.
fn random_seed() -> u64 {
    RandomState::new().hash_one(0u8)
}
