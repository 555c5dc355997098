//! What the reactor sees of the network: [`Sockets`], every call of which is written down.

use crate::journal::{Bytes, Entry, Shared};
use crate::net::{Happening, Net};
use crate::pipes::Segment;
use crate::seen::Situation;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use tidegate::gateway::{ConnId, Peer, Received, Sockets};

/// The network as the reactor owns it.
pub struct Wires(pub Rc<RefCell<Net>>);

impl Sockets for Wires {
    type Socket = Fresh;

    fn accept(&mut self, listener: usize) -> io::Result<(Fresh, Peer)> {
        self.0.borrow_mut().accept(listener)
    }

    fn attach(&mut self, id: ConnId, socket: Fresh) -> io::Result<()> {
        self.0.borrow_mut().attach(id, socket)
    }

    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        self.0.borrow_mut().read(id, buffer)
    }

    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.borrow_mut().write(id, slices)
    }

    fn shut_down(&mut self, id: ConnId) {
        self.0.borrow_mut().shut_down(id);
    }

    fn close(&mut self, id: ConnId) {
        self.0.borrow_mut().close(id);
    }
}

/// An accepted socket before it has an id. Dropping it closes it.
#[derive(Debug)]
pub struct Fresh {
    sock: usize,
    journal: Shared,
    taken: bool,
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.taken {
            self.journal.push(Entry::Dropped { sock: self.sock });
        }
    }
}

impl Net {
    fn accept(&mut self, listener: usize) -> io::Result<(Fresh, Peer)> {
        match self.try_accept(listener) {
            Ok(sock) => {
                self.journal.push(Entry::Accepted { listener, sock });
                Ok((Fresh { sock, journal: self.journal.clone(), taken: false }, self.socks[sock].peer))
            }
            Err(kind) => {
                self.journal.push(Entry::AcceptFailed { kind });
                Err(kind.into())
            }
        }
    }

    fn attach(&mut self, id: ConnId, mut socket: Fresh) -> io::Result<()> {
        if let Some(kind) = self.attach_errors.pop_front() {
            self.journal.push(Entry::AttachFailed { id, kind });
            return Err(kind.into());
        }
        socket.taken = true;
        let sock = socket.sock;
        self.journal.push(Entry::Attached { id, sock });
        if self.owners.len() <= id.slot() {
            self.owners.resize(id.slot() + 1, None);
        }
        if self.owners[id.slot()].is_some() {
            self.journal.push(Entry::Misuse("attached a slot whose socket is still there", id));
        }
        self.owners[id.slot()] = Some((id, sock));
        self.attached += 1;
        let of = &mut self.socks[sock];
        of.id = Some(id);
        of.ready.write = true;
        self.list(sock);
        Ok(())
    }

    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        let Some(sock) = self.sock_of(id) else {
            self.journal.push(Entry::Misuse("read from a closed socket", id));
            return Err(ErrorKind::NotConnected.into());
        };
        let result = self.socks[sock].read(buffer, &mut self.rng);
        match result {
            Ok(0) => self.journal.push(Entry::ReadEnd { id }),
            Ok(n) => {
                let data = self.journal.keep(&buffer[..n]);
                self.journal.push(Entry::Read { id, data, room: buffer.len() });
            }
            Err(ErrorKind::WouldBlock) => {}
            Err(kind) => self.journal.push(Entry::ReadFailed { id, kind }),
        }
        result.map(|count| Received::of(count, buffer.len())).map_err(Into::into)
    }

    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let result = self.try_write(id, slices, offered);
        let sock = self.sock_of(id);
        match (result, sock) {
            (Ok(count), Some(sock)) => {
                let data = self.keep_written(slices, count);
                self.journal.push(Entry::Wrote { id, data, offered });
                self.on_written(sock);
            }
            (Err(ErrorKind::WouldBlock), Some(sock)) => {
                self.journal.push(Entry::Blocked { id, offered });
                self.on_written(sock);
            }
            (Err(ErrorKind::Interrupted), Some(_)) => self.seen.hit(Situation::InterruptedWrite),
            (Err(kind), _) => self.journal.push(Entry::WriteFailed { id, kind }),
            (Ok(_), None) => self.journal.push(Entry::Misuse("wrote to a closed socket", id)),
        }
        result.map_err(Into::into)
    }

    fn shut_down(&mut self, id: ConnId) {
        self.journal.push(Entry::ShutDown { id });
        if let Some(sock) = self.sock_of(id) {
            self.socks[sock].shut = true;
            self.enter(self.now, Happening::Ended(sock));
        }
    }

    fn close(&mut self, id: ConnId) {
        self.journal.push(Entry::Closed { id });
        if let Some(sock) = self.sock_of(id) {
            self.owners[id.slot()] = None;
            self.attached -= 1;
            self.socks[sock].closed = true;
            self.enter(self.now, Happening::Ended(sock));
        }
    }

    fn try_accept(&mut self, listener: usize) -> Result<usize, ErrorKind> {
        let listener = self.listeners.get_mut(listener).ok_or(ErrorKind::NotConnected)?;
        let waiting = *listener.backlog.front().ok_or(ErrorKind::WouldBlock)?;
        if let Some(kind) = self.accept_errors.pop_front() {
            self.seen.hit_if(kind == ErrorKind::ConnectionAborted, Situation::AcceptAborted);
            return Err(kind);
        }
        if self.attached >= self.descriptors {
            self.seen.hit(Situation::DescriptorsOut);
            return Err(ErrorKind::Other);
        }
        listener.backlog.pop_front();
        Ok(waiting)
    }

    fn try_write(&mut self, id: ConnId, slices: &[IoSlice<'_>], offered: usize) -> Result<usize, ErrorKind> {
        let sock = self.sock_of(id).ok_or(ErrorKind::NotConnected)?;
        let of = &mut self.socks[sock];
        if of.shut {
            self.journal.push(Entry::Misuse("wrote after it had shut its side", id));
        }
        // Else hardly a socket would be full just when nothing waits for it.
        if of.flaky > 0 && of.error.is_none() && !of.dead {
            if self.whims.chance(of.flaky / 4) {
                return Err(ErrorKind::Interrupted);
            }
            if self.whims.chance(of.flaky / 4) {
                of.blocked = true;
                return Err(ErrorKind::WouldBlock);
            }
        }
        let count = of.accepts(offered, &mut self.rng)?;
        let mut left = count;
        for slice in slices {
            let part = &slice[..left.min(slice.len())];
            of.outbox.extend(part);
            left -= part.len();
        }
        Ok(count)
    }

    fn keep_written(&self, slices: &[IoSlice<'_>], count: usize) -> Bytes {
        let mut left = count;
        let mut kept = self.journal.keep(&[]);
        for slice in slices {
            let part = &slice[..left.min(slice.len())];
            kept.end = self.journal.keep(part).end;
            left -= part.len();
        }
        kept
    }

    /// What follows from a write for the peer's side.
    fn on_written(&mut self, sock: usize) {
        let of = &mut self.socks[sock];
        if of.blocked && of.outbox.len() < of.room {
            let at = self.now + self.rng.below(3);
            self.enter(at, Happening::Space(sock));
        }
        if self.socks[sock].gone && !self.socks[sock].dead {
            self.send(sock, Segment::Reset(false), self.now);
        }
        self.be_hungry(sock);
    }
}
