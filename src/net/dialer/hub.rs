//! A dialer whose client is one of a hub.

use super::driver::{Driver, Orders};
use super::handle::Wish;
use super::security::Security;
use super::{DialError, DialUrl, random_seed};
use crate::client::hub::{HubClient, HubEvent, HubOptions};
use crate::config::SettingError;
use crate::timer::Time;
use crate::wire::Wire;
use mio::Waker;
#[cfg(feature = "tls")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

/// A connection to a hub that comes back by itself, to the same channels:
///
/// ```no_run
/// use tidegate::client::hub::{HubEvent, HubOptions, Json, SubscribeOptions};
/// use tidegate::net::HubDialer;
///
/// let mut dialer = HubDialer::new("ws://127.0.0.1:8000".parse()?, HubOptions::default())?;
/// dialer.client_mut().subscribe("news", SubscribeOptions::default())?;
/// dialer.client_mut().publish("news", Json::string("hello"))?;
/// while let Some(event) = dialer.poll(None)? {
///     match event {
///         HubEvent::Publication { channel, data, .. } => println!("{channel}: {data}"),
///         HubEvent::Gap { channel, from, to, reason } => println!("{channel}: {from} to {to} are lost: {reason}"),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Nothing happens outside of [`HubDialer::poll`]. Of a WebSocket without a path `/connection/websocket` is asked for.
/// The rest is as with [`Dialer`](super::Dialer).
#[derive(Debug)]
pub struct HubDialer {
    driver: Driver<HubClient, HubHandle>,
}

/// Reaches a [`HubDialer`] from other threads. Clones are cheap and reach the same dialer.
///
/// What other threads want to publish they hand over by a queue of the program's choice, then wake the dialer.
#[derive(Clone)]
pub struct HubHandle {
    shared: Arc<Shared>,
}

struct Shared {
    waker: Waker,
    wish: Mutex<Wish>,
}

/// Where hubs are to be found.
const PATH: &str = "/connection/websocket";

impl HubDialer {
    /// A dialer that makes its first attempt in the first [`HubDialer::poll`]. Inside TLS it trusts whom the system
    /// trusts.
    pub fn new(url: DialUrl, options: HubOptions) -> Result<Self, DialError> {
        let security = Security::new(&url, None)?;
        Self::with(url, options, security)
    }

    /// As [`HubDialer::new`], but inside TLS it trusts the authorities whose certificates are in this PEM file, and no
    /// others.
    #[cfg(feature = "tls")]
    pub fn trusting(ca: &Path, url: DialUrl, options: HubOptions) -> Result<Self, DialError> {
        let security = Security::new(&url, Some(ca))?;
        Self::with(url, options, security)
    }

    fn with(url: DialUrl, options: HubOptions, security: Security) -> Result<Self, DialError> {
        let client = client(&url, options).map_err(DialError::Setting)?;
        Ok(Self { driver: Driver::new(url, security, client, HubHandle::new)? })
    }

    /// Waits for the next event, at most `timeout`; `None` waits for ever.
    ///
    /// Gives `None` when the time is over, when [`HubHandle::wake`] was called, and at once when the client has ended.
    /// An error is one of the poll itself, and no further call will do better.
    pub fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<HubEvent>> {
        self.driver.poll(timeout)
    }

    /// The client, to be asked.
    pub fn client(&self) -> &HubClient {
        &self.driver.client
    }

    /// The client, to be told what to subscribe to, to publish, to ask for; the next poll does it.
    pub fn client_mut(&mut self) -> &mut HubClient {
        self.driver.client_mut()
    }

    /// Reaches this dialer from other threads.
    pub fn handle(&self) -> HubHandle {
        self.driver.orders.clone()
    }
}

impl HubHandle {
    fn new(waker: Waker) -> Self {
        Self { shared: Arc::new(Shared { waker, wish: Mutex::default() }) }
    }

    /// Ends the client at once, whatever it is doing.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
    }

    /// Makes a poll return `None` before its time: the one that waits now, or else the next.
    pub fn wake(&self) {
        self.wish(Wish::Return);
    }

    fn wish(&self, wish: Wish) {
        let mut wished = self.shared.wish.lock().unwrap_or_else(PoisonError::into_inner);
        if *wished != Wish::Stop {
            *wished = wish;
        }
        drop(wished);
        if let Err(error) = self.shared.waker.wake() {
            // It is a write to a descriptor of our own that never fills up.
            log::error!("a dialer can't be woken and notices at its next deadline: {error}");
        }
    }
}

impl Orders<HubClient> for HubHandle {
    fn carry_out(&self, client: &mut HubClient, now: Time) -> bool {
        let wish = std::mem::take(&mut *self.shared.wish.lock().unwrap_or_else(PoisonError::into_inner));
        if wish == Wish::Stop {
            client.stop(now);
        }
        wish == Wish::Return
    }

    fn update(&self, _: &HubClient) {}

    fn end(&self) {}
}

impl fmt::Debug for HubHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubHandle").finish_non_exhaustive()
    }
}

fn client(url: &DialUrl, options: HubOptions) -> Result<HubClient, SettingError> {
    match url.wire {
        Wire::WebSocket => {
            let path = if matches!(url.path(), "" | "/") { PATH } else { url.path() };
            HubClient::websocket(url.host(), path, options, random_seed(), Time::ZERO)
        }
        wire => HubClient::new(wire, options, random_seed(), Time::ZERO),
    }
}
