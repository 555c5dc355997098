//! A client, its socket and its clock: what any dialer does, whatever its client tells.

use super::link::{Found, Link};
use super::security::Security;
use super::{DialError, DialUrl, FIRST_TOKEN, MAX_EVENTS, READ_BYTES};
#[cfg(feature = "hub")]
use crate::client::hub::{HubClient, HubEvent};
use crate::client::{Action, Client, Event};
use crate::net::clock::Clock;
use crate::timer::{Time, earliest};
use mio::{Events, Poll, Token, Waker};
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

/// A client that is driven as [`Client`] says.
pub(super) trait Driven {
    type Event;

    fn handle_connected(&mut self, now: Time);
    fn handle_connect_failed(&mut self, kind: ErrorKind, now: Time);
    fn handle_bytes(&mut self, bytes: &[u8], now: Time);
    fn handle_closed(&mut self, now: Time);
    fn handle_error(&mut self, kind: ErrorKind, now: Time);
    fn handle_timeout(&mut self, now: Time);
    fn poll_action(&mut self) -> Option<Action>;
    fn poll_transmit(&mut self, now: Time, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>);
    fn poll_event(&mut self) -> Option<Self::Event>;
    fn poll_timeout(&self) -> Option<Time>;
    fn is_ended(&self) -> bool;
}

/// The way of other threads to a client.
pub(super) trait Orders<C> {
    /// Does what they want; whether the poll is to return.
    fn carry_out(&self, client: &mut C, now: Time) -> bool;
    /// Tells them how the client is now.
    fn update(&self, client: &C);
    /// Tells them that it is no more.
    fn end(&self);
}

/// Drives a client, in the thread that polls it.
pub(super) struct Driver<C, O: Orders<C>> {
    pub(super) client: C,
    pub(super) orders: O,
    poll: Poll,
    events: Events,
    link: Link,
    clock: Clock,
    buffer: Box<[u8]>,
    wants_return: bool,
    /// The client was told something since the last wait, which may have to leave.
    is_touched: bool,
}

const WAKER: Token = Token(FIRST_TOKEN.0 - 1);

impl<C: Driven, O: Orders<C>> Driver<C, O> {
    /// A driver for a client that begins at [`Time::ZERO`]; `orders` is made from what wakes the poll.
    pub(super) fn new(
        url: DialUrl,
        security: Security,
        client: C,
        orders: impl FnOnce(Waker) -> O,
    ) -> Result<Self, DialError> {
        let poll = Poll::new().map_err(DialError::Poll)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(DialError::Poll)?;
        let registry = poll.registry().try_clone().map_err(DialError::Poll)?;
        Ok(Self {
            client,
            orders: orders(waker),
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            link: Link::new(url, security, registry),
            clock: Clock::start(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            wants_return: false,
            is_touched: false,
        })
    }

    /// The client, to be told something; the next wait is none.
    #[cfg(feature = "hub")]
    pub(super) fn client_mut(&mut self) -> &mut C {
        self.is_touched = true;
        &mut self.client
    }

    /// Waits for the next event, at most `timeout`.
    pub(super) fn poll(&mut self, timeout: Option<Duration>) -> io::Result<Option<C::Event>> {
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

    fn wait(&mut self, deadline: Option<Time>) -> io::Result<()> {
        let now = self.clock.now();
        let due = earliest([self.client.poll_timeout(), deadline]);
        let is_busy = std::mem::take(&mut self.is_touched) || self.link.has_input();
        let timeout = if is_busy { Some(Duration::ZERO) } else { due.map(|at| at.saturating_since(now)) };
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
        self.wants_return |= self.orders.carry_out(&mut self.client, now);
        self.look(now);
        self.client.handle_timeout(now);
        self.act();
        self.transmit(now);
        self.act();
        self.orders.update(&self.client);
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

impl<C, O: Orders<C>> Drop for Driver<C, O> {
    fn drop(&mut self) {
        self.orders.end();
    }
}

impl<C: fmt::Debug, O: Orders<C>> fmt::Debug for Driver<C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("client", &self.client).field("link", &self.link).finish()
    }
}

macro_rules! driven {
    ($client:ty, $event:ty) => {
        impl Driven for $client {
            type Event = $event;

            fn handle_connected(&mut self, now: Time) {
                <$client>::handle_connected(self, now);
            }
            fn handle_connect_failed(&mut self, kind: ErrorKind, now: Time) {
                <$client>::handle_connect_failed(self, kind, now);
            }
            fn handle_bytes(&mut self, bytes: &[u8], now: Time) {
                <$client>::handle_bytes(self, bytes, now);
            }
            fn handle_closed(&mut self, now: Time) {
                <$client>::handle_closed(self, now);
            }
            fn handle_error(&mut self, kind: ErrorKind, now: Time) {
                <$client>::handle_error(self, kind, now);
            }
            fn handle_timeout(&mut self, now: Time) {
                <$client>::handle_timeout(self, now);
            }
            fn poll_action(&mut self) -> Option<Action> {
                <$client>::poll_action(self)
            }
            fn poll_transmit(&mut self, now: Time, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
                <$client>::poll_transmit(self, now, write);
            }
            fn poll_event(&mut self) -> Option<$event> {
                <$client>::poll_event(self)
            }
            fn poll_timeout(&self) -> Option<Time> {
                <$client>::poll_timeout(self)
            }
            fn is_ended(&self) -> bool {
                <$client>::is_ended(self)
            }
        }
    };
}

driven!(Client, Event);
#[cfg(feature = "hub")]
driven!(HubClient, HubEvent);
