//! The loop: wait, then one turn of the reactor over what happened.

use super::clock::Clock;
use super::handle::{Command, Handle};
use super::listen_url::ListenUrl;
use super::listener::{ListenOptions, Listener};
#[cfg(feature = "signals")]
use super::signals::{Order, Orders};
use super::sockets::MioSockets;
#[cfg(feature = "tls")]
use super::tls::{TlsError, TlsFiles, TlsServer};
use crate::config::{SettingError, Settings};
use crate::connection::CloseReason;
use crate::gateway::{ConnId, Gateway, Handler, MAX_EVENTS, Reactor, Readiness, Seed};
use crate::stats::Counters;
use crate::timer::Time;
use crate::wire::Prepared;
use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

/// A gateway on real sockets, in the thread that calls [`EventLoop::run`].
pub struct EventLoop<H: Handler> {
    poll: Poll,
    events: Events,
    reactor: Reactor<H, MioSockets>,
    clock: Clock,
    handle: Handle<H>,
    /// Commands of other threads that this turn's budget did not reach.
    commands: VecDeque<Command<H>>,
    #[cfg(feature = "signals")]
    signals: Option<Orders>,
    listeners: usize,
    serves_tls: bool,
    /// When the date is looked at again.
    date_at: Time,
    busy_poll: Duration,
    stopped: bool,
}

/// What a turn of the loop left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There will be more.
    GoOn,
    /// Every connection is gone after a shut-down; the loop has ended.
    Ended,
}

/// Why a loop can't start.
#[derive(Debug)]
pub enum StartError {
    /// A setting is out of bounds.
    Setting(SettingError),
    /// An address can't be listened on.
    Listen {
        /// The address.
        url: ListenUrl,
        /// What the system says.
        error: io::Error,
    },
    /// The system has no poll for us.
    Poll(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Setting(error) => error.fmt(f),
            StartError::Listen { url, error } => write!(f, "can't listen on {url}: {error}"),
            StartError::Poll(error) => write!(f, "can't start the event loop: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Tokens of connections have a serial number from 1 in their upper bits; what is below belongs to the loop.
const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const FIRST_LISTENER: usize = 2;
const FIRST_CONNECTION: usize = 1 << 24;

const DATE_EVERY: Duration = Duration::from_secs(1);
/// Commands of other threads served in one turn, before sockets have theirs again.
const COMMAND_BUDGET: usize = 1024;

impl<H: Handler> EventLoop<H> {
    /// A loop that listens nowhere yet.
    pub fn new(handler: H, settings: Settings) -> Result<Self, StartError> {
        let poll = Poll::new().map_err(StartError::Poll)?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(StartError::Poll)?;
        let registry = poll.registry().try_clone().map_err(StartError::Poll)?;
        let clock = Clock::start();
        let gateway = Gateway::new(handler, settings, random_seed(), clock.now()).map_err(StartError::Setting)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(MAX_EVENTS),
            reactor: Reactor::new(gateway, MioSockets::new(registry)),
            clock,
            handle: Handle::new(waker),
            commands: VecDeque::new(),
            #[cfg(feature = "signals")]
            signals: None,
            listeners: 0,
            serves_tls: false,
            date_at: Time::ZERO,
            busy_poll: Duration::ZERO,
            stopped: false,
        })
    }

    /// Listens on one more address; gives back the real one, with the port the system chose for port 0.
    pub fn listen(&mut self, url: &ListenUrl, options: ListenOptions) -> Result<ListenUrl, StartError> {
        self.try_listen(url, options).map_err(|error| StartError::Listen { url: url.clone(), error })
    }

    /// Looks for events without sleeping for this long after each turn that had some; zero, as without this, sleeps at
    /// once. Spares a message that comes within that time the wake-up of the thread, for up to a core of CPU time.
    pub fn set_busy_poll(&mut self, time: Duration) {
        self.busy_poll = time;
    }

    /// Serves TLS with this certificate and key on every listener that is added from here on and takes it.
    #[cfg(feature = "tls")]
    pub fn serve_tls(&mut self, files: TlsFiles) -> Result<(), TlsError> {
        self.reactor.sockets_mut().set_tls(TlsServer::new(files)?);
        self.serves_tls = true;
        Ok(())
    }

    /// Loads certificate and key anew, for connections to come. Where they can't be loaded, the old ones stay.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&mut self) -> Result<(), TlsError> {
        self.reactor.sockets_mut().tls_mut().map_or(Ok(()), TlsServer::reload)
    }

    /// Makes SIGTERM and SIGINT end the loop in order, and a second one at once; SIGHUP loads certificates anew.
    #[cfg(feature = "signals")]
    pub fn drain_on_signals(&mut self) -> io::Result<()> {
        self.signals = Some(Orders::register(self.poll.registry(), SIGNALS)?);
        Ok(())
    }

    /// Reaches this loop from other threads.
    pub fn handle(&self) -> Handle<H> {
        self.handle.clone()
    }

    /// The gateway, to read counters from.
    pub fn gateway(&self) -> &Gateway<H> {
        self.reactor.gateway()
    }

    /// Turns until every connection is gone after a shut-down. Fails only where the poll itself does.
    pub fn run(&mut self) -> io::Result<()> {
        while self.turn(None)? == Turn::GoOn {}
        Ok(())
    }

    /// Waits for something to happen, at most `max_wait`, and acts on it.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> io::Result<Turn> {
        self.wait(max_wait)?;
        let now = self.clock.now();
        self.look_at_date(now);
        self.reactor.begin_turn(now);
        let (mut woken, mut signalled, mut count) = (!self.commands.is_empty(), false, 0);
        for event in &self.events {
            count += 1;
            match event.token() {
                WAKER => woken = true,
                SIGNALS => signalled = true,
                _ => handle_event(&mut self.reactor, event, now),
            }
        }
        self.reactor.on_batch(count);
        if signalled {
            self.handle_signals(now);
        }
        if woken {
            self.handle_commands(now);
        }
        self.reactor.end_turn(now);
        if self.stopped || self.reactor.gateway().is_drained() {
            self.handle.end();
            log::info!("ended: {}", summary(self.gateway().counters()));
            return Ok(Turn::Ended);
        }
        Ok(Turn::GoOn)
    }

    fn wait(&mut self, max_wait: Option<Duration>) -> io::Result<()> {
        let timeout = [self.own_wait(), max_wait].into_iter().flatten().min();
        if self.busy_poll.is_zero() || self.events.is_empty() {
            return self.poll(timeout);
        }
        let spins = timeout.map_or(self.busy_poll, |timeout| timeout.min(self.busy_poll));
        let began = self.clock.elapsed();
        loop {
            self.poll(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                return Ok(());
            }
            let spun = self.clock.elapsed().saturating_sub(began);
            if spun >= spins {
                return self.poll(timeout.map(|timeout| timeout.saturating_sub(spun)));
            }
        }
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            // The signal itself arrives as an event.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    fn own_wait(&self) -> Option<Duration> {
        if !self.commands.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        self.reactor.poll_timeout(now).map(|at| at.saturating_since(now))
    }

    fn handle_signals(&mut self, now: Time) {
        #[cfg(feature = "signals")]
        for order in self.signals.as_mut().map(Orders::take).unwrap_or_default() {
            match order {
                Order::End => self.end(now),
                Order::Reload => self.reload(),
            }
        }
        #[cfg(not(feature = "signals"))]
        let _ = now;
    }

    fn handle_commands(&mut self, now: Time) {
        self.handle.take(&mut self.commands);
        for _ in 0..COMMAND_BUDGET {
            match self.commands.pop_front() {
                None => break,
                Some(Command::ShutDown) => self.begin_drain(now),
                Some(Command::Stop) => self.stop(now),
                Some(Command::Send(id, message)) => self.reactor.run(now, move |_, cx| {
                    // Gone by now: nothing to do, as promised.
                    let _ = cx.send_prepared(id, &Prepared::new(message));
                }),
                Some(Command::Broadcast(message)) => self.reactor.run(now, |_, cx| {
                    cx.broadcast(&Prepared::new(message));
                }),
                Some(Command::Close(id, reason)) => self.reactor.run(now, |_, cx| cx.close(id, reason)),
                Some(Command::Run(task)) => self.reactor.run(now, task),
                Some(Command::Wake) => self.reactor.run(now, |handler, cx| handler.on_woken(cx)),
            }
        }
    }

    /// The first request to end is orderly, the second is not.
    #[cfg(feature = "signals")]
    fn end(&mut self, now: Time) {
        if self.reactor.gateway().is_draining() { self.stop(now) } else { self.begin_drain(now) }
    }

    #[cfg(feature = "signals")]
    fn reload(&mut self) {
        #[cfg(feature = "tls")]
        if self.serves_tls {
            return match self.reload_tls() {
                Ok(()) => log::info!("certificate and key loaded anew, for new connections"),
                Err(error) => log::error!("the certificate in use stays: {error}"),
            };
        }
        log::info!("nothing to load anew: no certificate is set");
    }

    /// The date may be set while we run; handlers rely on it to the second.
    fn look_at_date(&mut self, now: Time) {
        if self.date_at <= now {
            self.date_at = now + DATE_EVERY;
            self.reactor.gateway_mut().set_unix_time(self.clock.unix_millis(), now);
        }
    }

    fn begin_drain(&mut self, now: Time) {
        let (count, window) = (self.gateway().connection_count(), self.gateway().settings().drain_window);
        log::info!("shutting down: {count} connections are closed within {window:?}; a second signal ends at once");
        self.close_listeners();
        self.reactor.gateway_mut().begin_drain(now);
    }

    fn stop(&mut self, now: Time) {
        log::info!("stopped at once, {} connections were open", self.gateway().connection_count());
        self.close_listeners();
        self.reactor.stop(now);
        self.stopped = true;
    }

    fn close_listeners(&mut self) {
        self.reactor.clear_listeners();
        self.reactor.sockets_mut().close_listeners();
    }

    fn try_listen(&mut self, url: &ListenUrl, options: ListenOptions) -> io::Result<ListenUrl> {
        if url.tls && !self.serves_tls {
            return Err(io::Error::other("no certificate is set"));
        }
        let listener = Listener::bind(url, options)?;
        let real = listener.url(url)?;
        let token = Token(FIRST_LISTENER + self.listeners);
        self.reactor.sockets_mut().add_listener(listener, token)?;
        self.listeners += 1;
        self.reactor.add_listener(url.door(self.serves_tls));
        Ok(real)
    }
}

impl<H: Handler> fmt::Debug for EventLoop<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.gateway().connection_count();
        f.debug_struct("EventLoop").field("connections", &connections).field("listeners", &self.listeners).finish()
    }
}

fn handle_event<H: Handler>(reactor: &mut Reactor<H, MioSockets>, event: &Event, now: Time) {
    let token = event.token().0;
    if token >= FIRST_CONNECTION {
        // An error shows in the read.
        let closing = event.is_read_closed() || event.is_error();
        let readiness = Readiness { readable: event.is_readable() || closing, writable: event.is_writable(), closing };
        reactor.on_event(ConnId::from_bits(token as u64), readiness, now);
    } else if token >= FIRST_LISTENER {
        reactor.on_acceptable(token - FIRST_LISTENER);
    }
}

/// What was counted, in a line.
fn summary(counters: &Counters) -> String {
    let Counters { accepted, refused, messages_in, messages_out, bytes_in, bytes_out, handler_panics, .. } = counters;
    let closed = CloseReason::all().map(|reason| (reason.name(), counters.closed[reason.index()]));
    let closed: Vec<String> = closed.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    format!(
        "{accepted} connections accepted, {refused} refused; closed: {}; {messages_in} messages in, {messages_out} out; \
         {bytes_in} bytes in, {bytes_out} out; {handler_panics} handler panics",
        if closed.is_empty() { "none".to_owned() } else { closed.join(", ") }
    )
}

/// The standard library seeds its hash maps from the system's randomness; two of its keys serve here.
fn random_seed() -> Seed {
    Seed { jitter: RandomState::new().hash_one(0u8), ids: RandomState::new().hash_one(1u8) }
}
