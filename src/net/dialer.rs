//! Drives a [`Client`] over real sockets, in the thread that polls it.
//!
//! All decisions are the client's; here are its socket, its clock, its seed and the way for other threads to reach it.
//! `driver` drives either kind of client.

pub(super) mod address;
mod dial_url;
mod driver;
mod handle;
#[cfg(feature = "hub")]
mod hub;
mod link;
pub(super) mod security;
#[cfg(test)]
mod tests;

#[cfg(feature = "tls")]
use super::place::UrlError;
#[cfg(feature = "tls")]
use super::tls::TlsError;
use crate::client::{Client, ClientOptions, Event, Room, SendError};
use crate::config::SettingError;
use crate::timer::Time;
use crate::wire::OwnedMessage;
#[cfg(feature = "websocket")]
use crate::wire::Wire;
use driver::Driver;
use link::FIRST_TOKEN;
use security::Security;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
#[cfg(feature = "tls")]
use std::path::Path;
use std::time::Duration;

pub use dial_url::DialUrl;
pub use handle::DialerHandle;
#[cfg(feature = "hub")]
pub use hub::{HubDialer, HubHandle};

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
    driver: Driver<Client, DialerHandle>,
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

/// One socket and one waker.
const MAX_EVENTS: usize = 8;
/// Bytes read before the program gets its messages, which bounds the memory that they hold.
const READ_BYTES: usize = 16 << 10;

impl Dialer {
    /// A dialer that makes its first attempt in the first [`Dialer::poll`]. Inside TLS it trusts whom the system trusts.
    pub fn new(url: DialUrl, options: ClientOptions) -> Result<Self, DialError> {
        let security = Security::new(&url, None)?;
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
        let room = Room::new(url.wire, &options);
        let client = client(&url, options).map_err(DialError::Setting)?;
        Ok(Self { driver: Driver::new(url, security, client, |waker| DialerHandle::new(room, waker))? })
    }

    /// Waits for the next event, at most `timeout`; `None` waits for ever.
    ///
    /// Gives `None` when the time is over, when [`DialerHandle::wake`] was called, and at once when the client has
    /// ended. An error is one of the poll itself, and no further call will do better; those of the socket are the
    /// client's, which comes back.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<Event>> {
        self.driver.poll(timeout)
    }

    /// Sends a message: now, or when the connection stands again. As [`DialerHandle::send`].
    pub fn send(&self, message: impl Into<OwnedMessage>) -> Result<(), SendError> {
        self.driver.orders.send(message)
    }

    /// Reaches this dialer from other threads.
    pub fn handle(&self) -> DialerHandle {
        self.driver.orders.clone()
    }

    /// Whether the connection stands.
    pub fn is_connected(&self) -> bool {
        self.driver.client.is_connected()
    }

    /// Whether it was stopped or gave up: it will not connect again.
    pub fn is_ended(&self) -> bool {
        self.driver.client.is_ended()
    }

    /// Messages that have not wholly been handed to a socket.
    pub fn waiting_messages(&self) -> usize {
        self.driver.orders.waiting_messages()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialer").field(&self.driver).finish()
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
