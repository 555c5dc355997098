//! Other threads' way to the loop: a bounded queue and one wake-up however many commands are waiting.

use crate::connection::CloseReason;
use crate::gateway::{ConnId, Context};
use bytes::Bytes;
use mio::Waker;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reaches a running loop from any thread. Clones are cheap and reach the same loop.
#[derive(Debug)]
pub struct Handle<H> {
    shared: Arc<Shared<H>>,
}

/// Why a command was not taken.
#[derive(Debug)]
pub enum HandleError {
    /// The loop is behind by as many commands as its queue holds (65,536). Try again later.
    Full,
    /// The loop has ended.
    Ended,
    /// The loop could not be woken.
    Wake(io::Error),
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandleError::Full => f.write_str("the loop's command queue is full"),
            HandleError::Ended => f.write_str("the loop has ended"),
            HandleError::Wake(error) => write!(f, "the loop can't be woken: {error}"),
        }
    }
}

impl std::error::Error for HandleError {}

type Task<H> = Box<dyn FnOnce(&mut H, &mut Context<'_>) + Send>;

pub(super) enum Command<H> {
    Send(ConnId, Bytes),
    Broadcast(Bytes),
    Close(ConnId, CloseReason),
    Run(Task<H>),
    Wake,
    ShutDown,
    Stop,
}

pub(super) struct Shared<H> {
    queue: Mutex<Queue<H>>,
    waker: Waker,
}

struct Queue<H> {
    commands: VecDeque<Command<H>>,
    ended: bool,
}

/// Commands that may wait for the loop.
const MAX_COMMANDS: usize = 1 << 16;

impl<H> Clone for Handle<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<H> fmt::Debug for Shared<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("waiting", &self.lock().commands.len()).finish()
    }
}

impl<H> Handle<H> {
    pub(super) fn new(waker: Waker) -> Self {
        let queue = Mutex::new(Queue { commands: VecDeque::new(), ended: false });
        Self { shared: Arc::new(Shared { queue, waker }) }
    }

    /// Sends a message to one connection; nothing happens where it is gone by then.
    pub fn send(&self, id: ConnId, message: impl Into<Bytes>) -> Result<(), HandleError> {
        self.submit(Command::Send(id, message.into()))
    }

    /// Sends a message to every open connection.
    pub fn broadcast(&self, message: impl Into<Bytes>) -> Result<(), HandleError> {
        self.submit(Command::Broadcast(message.into()))
    }

    /// Ends a connection; nothing happens where it is gone by then.
    pub fn close(&self, id: ConnId, reason: CloseReason) -> Result<(), HandleError> {
        self.submit(Command::Close(id, reason))
    }

    /// Runs a closure on the loop's thread. It must not block.
    pub fn run(&self, task: impl FnOnce(&mut H, &mut Context<'_>) + Send + 'static) -> Result<(), HandleError> {
        self.submit(Command::Run(Box::new(task)))
    }

    /// Has the handler's `on_woken` called. Several calls before the loop gets to it may be one.
    pub fn wake(&self) -> Result<(), HandleError> {
        self.submit(Command::Wake)
    }

    /// Ends the loop in order, as SIGTERM does: closes are spread over `drain_window`, queues are flushed.
    pub fn shut_down(&self) -> Result<(), HandleError> {
        self.submit(Command::ShutDown)
    }

    /// Ends the loop at once.
    pub fn stop(&self) -> Result<(), HandleError> {
        self.submit(Command::Stop)
    }

    /// Takes everything that waits; the next command wakes the loop again.
    pub(super) fn take(&self, into: &mut VecDeque<Command<H>>) {
        into.append(&mut self.shared.lock().commands);
    }

    /// Refuses every further command.
    pub(super) fn end(&self) {
        let mut queue = self.shared.lock();
        queue.ended = true;
        queue.commands.clear();
    }

    /// Wakes the loop only where nothing waited: who found the queue empty has woken it for all that follow.
    fn submit(&self, command: Command<H>) -> Result<(), HandleError> {
        let mut queue = self.shared.lock();
        if queue.ended {
            return Err(HandleError::Ended);
        }
        if queue.commands.len() >= MAX_COMMANDS {
            return Err(HandleError::Full);
        }
        let wakes = queue.commands.is_empty();
        queue.commands.push_back(command);
        drop(queue);
        if wakes { self.shared.waker.wake().map_err(HandleError::Wake) } else { Ok(()) }
    }
}

impl<H> Shared<H> {
    /// A thread that panicked here has at most failed to push one command, so the queue is sound.
    fn lock(&self) -> MutexGuard<'_, Queue<H>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
