//! What happened during one call of the reactor, in order: socket calls, handler calls, and what handlers did.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::ops::Range;
use std::rc::Rc;
use tidegate::connection::CloseReason;
use tidegate::gateway::{ConnId, Offer, SendError};
use tidegate::timer::Time;
use tidegate::wire::Kind;
use tidegate::wire::http::{Response, Status};

/// Bytes kept in [`Journal::bytes`].
pub type Bytes = Range<usize>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Accepted {
        listener: usize,
        sock: usize,
    },
    AcceptFailed {
        kind: ErrorKind,
    },
    /// An accepted socket was dropped before it had an id, or could not be attached.
    Dropped {
        sock: usize,
    },
    Attached {
        id: ConnId,
        sock: usize,
    },
    AttachFailed {
        id: ConnId,
        kind: ErrorKind,
    },
    Read {
        id: ConnId,
        data: Bytes,
        room: usize,
    },
    ReadEnd {
        id: ConnId,
    },
    ReadFailed {
        id: ConnId,
        kind: ErrorKind,
    },
    Wrote {
        id: ConnId,
        data: Bytes,
        offered: usize,
    },
    WriteFailed {
        id: ConnId,
        kind: ErrorKind,
    },
    /// A write met no space at all.
    Blocked {
        id: ConnId,
        offered: usize,
    },
    ShutDown {
        id: ConnId,
    },
    Closed {
        id: ConnId,
    },
    Enter(Call),
    Did(Act),
    Return,
    /// The reactor used its sockets in a way no socket allows.
    Misuse(&'static str, ConnId),
}

/// A call of the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Opened(ConnId),
    Message(ConnId, Bytes, Kind),
    /// A page is asked for: its path, and the body of the request.
    Request(ConnId, Bytes, Bytes),
    /// A WebSocket is asked for on this path.
    Upgrade(ConnId, Bytes),
    Ended(ConnId, CloseReason),
    Timer(u64),
    Drained(ConnId),
    Task,
}

/// What a handler did through its context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    Send { to: ConnId, body: Bytes, kind: Kind, result: Result<(), SendError> },
    Broadcast { except: Option<ConnId>, body: Bytes, kind: Kind, receivers: Vec<ConnId>, took: Option<usize> },
    Close { id: ConnId, reason: CloseReason, live: bool },
    Arm { token: u64, deadline: Time },
    Cancel { token: u64, found: bool },
    Pause { id: ConnId, live: bool },
    Resume { id: ConnId },
    Offer { to: ConnId, body: Bytes, kind: Kind, waiting: usize, result: Offer },
    Watch { id: ConnId, live: bool },
    Panic,
    Answer(Box<Response>),
    Welcome(Result<Option<&'static str>, Status>),
}

#[derive(Debug, Default)]
pub struct Journal {
    pub entries: Vec<Entry>,
    pub bytes: Vec<u8>,
}

/// The one journal of a run, written by sockets and handler.
#[derive(Debug, Clone, Default)]
pub struct Shared(Rc<RefCell<Journal>>);

impl Shared {
    pub fn push(&self, entry: Entry) {
        self.0.borrow_mut().entries.push(entry);
    }

    /// Where the next entry will stand.
    pub fn mark(&self) -> usize {
        self.0.borrow().entries.len()
    }

    /// Puts an entry before those that followed a mark.
    pub fn insert(&self, mark: usize, entry: Entry) {
        self.0.borrow_mut().entries.insert(mark, entry);
    }

    pub fn keep(&self, bytes: &[u8]) -> Bytes {
        let journal = &mut self.0.borrow_mut().bytes;
        let from = journal.len();
        journal.extend_from_slice(bytes);
        from..journal.len()
    }

    /// Exchanges what was written for an empty journal.
    pub fn swap(&self, with: &mut Journal) {
        with.entries.clear();
        with.bytes.clear();
        std::mem::swap(&mut *self.0.borrow_mut(), with);
    }
}
