//! Other threads' way to a dialer: a bounded queue, and one wake-up however many messages wait.

use super::driver::Orders;
use crate::client::{Client, Refusal, Room, SendError};
use crate::timer::Time;
use crate::wire::OwnedMessage;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sends through a [`Dialer`](super::Dialer) from any thread. Clones are cheap and reach the same dialer.
#[derive(Debug, Clone)]
pub struct DialerHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    room: Room,
    waker: Waker,
    inbox: Mutex<Inbox>,
}

/// What other threads want. Together with what the client has, it keeps to the client's limits, so that what was taken
/// here the client takes too.
#[derive(Default)]
struct Inbox {
    messages: VecDeque<OwnedMessage>,
    /// Of these messages, with their frames.
    bytes: usize,
    /// What waits in the client: never less than really does.
    beyond: Load,
    wish: Wish,
    ended: bool,
}

/// Messages and their bytes, with frames.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

/// What is asked of the dialer besides sending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Wish {
    #[default]
    Nothing,
    /// Let the poll return early.
    Return,
    Stop,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("messages", &self.messages.len()).field("beyond", &self.beyond).finish()
    }
}

impl DialerHandle {
    pub(super) fn new(room: Room, waker: Waker) -> Self {
        Self { shared: Arc::new(Shared { room, waker, inbox: Mutex::default() }) }
    }

    /// Sends a message: now, or when the connection stands again. Never blocks.
    ///
    /// A message that can't be taken is handed back with the limit in its way; the limits are those of
    /// [`ClientOptions`](crate::client::ClientOptions), and what waits anywhere on the way to the socket counts.
    pub fn send(&self, message: impl Into<OwnedMessage>) -> Result<(), SendError> {
        let message = message.into();
        let mut inbox = self.lock();
        if inbox.ended {
            return Err(SendError { refusal: Refusal::Ended, message });
        }
        let (messages, bytes) = (inbox.waiting_messages(), inbox.bytes + inbox.beyond.bytes);
        let message = self.shared.room.admit(message, messages, bytes)?;
        let is_first = inbox.is_idle();
        inbox.bytes += self.shared.room.needed(&message);
        inbox.messages.push_back(message);
        drop(inbox);
        self.wake_if(is_first);
        Ok(())
    }

    /// Ends the client at once, whatever it is doing, before anything that waits to be sent.
    pub fn stop(&self) {
        self.wish(Wish::Stop);
    }

    /// Makes a poll return `None` before its time: the one that waits now, or else the next.
    pub fn wake(&self) {
        self.wish(Wish::Return);
    }

    /// Messages that have not wholly been handed to a socket.
    pub fn waiting_messages(&self) -> usize {
        self.lock().waiting_messages()
    }

    /// Takes everything that waits; the next message or wish wakes the dialer again.
    fn take(&self) -> (VecDeque<OwnedMessage>, Wish) {
        let mut inbox = self.lock();
        let messages = std::mem::take(&mut inbox.messages);
        inbox.beyond.messages += messages.len();
        inbox.beyond.bytes += std::mem::take(&mut inbox.bytes);
        (messages, std::mem::take(&mut inbox.wish))
    }

    fn wish(&self, wish: Wish) {
        let mut inbox = self.lock();
        let is_first = inbox.is_idle();
        if inbox.wish != Wish::Stop {
            inbox.wish = wish;
        }
        drop(inbox);
        self.wake_if(is_first);
    }

    /// Who found the inbox empty wakes the dialer for all that follow.
    fn wake_if(&self, is_first: bool) {
        if is_first && let Err(error) = self.shared.waker.wake() {
            // It is a write to a descriptor of our own that never fills up.
            log::error!("a dialer can't be woken and sends at its next deadline: {error}");
        }
    }

    /// A thread that panicked here has at most failed to push one message, so the inbox is sound.
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Orders<Client> for DialerHandle {
    fn carry_out(&self, client: &mut Client, _: Time) -> bool {
        let (messages, wish) = self.take();
        for message in messages {
            // Only an end that the handles have not been told of yet can be in its way.
            if let Err(error) = client.send(message) {
                log::debug!("{error}");
            }
        }
        if wish == Wish::Stop {
            client.stop();
        }
        wish == Wish::Return
    }

    /// Makes room for what has left the client since, or refuses everything once the client has ended.
    fn update(&self, client: &Client) {
        let mut inbox = self.lock();
        inbox.beyond = Load { messages: client.waiting_messages(), bytes: client.waiting_bytes() };
        inbox.ended = client.is_ended();
    }

    /// Refuses everything from here on.
    fn end(&self) {
        self.lock().ended = true;
    }
}

impl Inbox {
    fn is_idle(&self) -> bool {
        self.messages.is_empty() && self.wish == Wish::Nothing
    }

    fn waiting_messages(&self) -> usize {
        self.messages.len() + self.beyond.messages
    }
}
