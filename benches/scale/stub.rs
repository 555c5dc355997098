//! Sockets without a kernel: a read hands out what was prepared, a write swallows. They keep a table with an entry for
//! each connection, as large as the real one's, so that finding a socket costs a cache miss as it does in life.

use std::io::{self, ErrorKind, IoSlice};
use tidegate::gateway::{ConnId, Pages, Peer, Received, Sockets};

/// What stands for a socket: as many bytes as the real table has for one.
type Entry = (ConnId, [u64; 2]);

#[derive(Default)]
pub struct Stub {
    /// Peers in the backlog.
    pub waiting: usize,
    /// Peers that have come in all; each has an address of its own.
    come: u32,
    /// Those accepted since it was last emptied.
    pub accepted: Vec<ConnId>,
    /// What the next read brings.
    pub next: Vec<u8>,
    /// The next read brings the peer's end.
    pub ends: bool,
    /// Who was written to, noted while `listens`.
    pub written: Vec<ConnId>,
    pub listens: bool,
    /// Whose side was shut.
    pub shut: Vec<ConnId>,
    /// The bytes of the last write, kept while `hears`.
    pub heard: Vec<u8>,
    pub hears: bool,
    pub reads: u64,
    pub writes: u64,
    pub bytes_out: u64,
    table: Pages<Entry>,
}

impl Stub {
    fn entry(&mut self, id: ConnId) -> io::Result<&mut Entry> {
        self.table.get_mut(id.slot()).filter(|(owner, _)| *owner == id).ok_or(ErrorKind::NotConnected.into())
    }

    /// Makes the next read bring these bytes.
    pub fn prepare(&mut self, bytes: &[u8]) {
        self.next.clear();
        self.next.extend_from_slice(bytes);
        self.ends = false;
    }
}

impl Sockets for Stub {
    type Socket = ();

    fn accept(&mut self, _: usize) -> io::Result<((), Peer)> {
        self.waiting = self.waiting.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        self.come += 1;
        let [_, b, c, d] = self.come.to_be_bytes();
        Ok(((), Peer::Tcp(([10, b, c, d], 40_000).into())))
    }

    fn attach(&mut self, id: ConnId, (): ()) -> io::Result<()> {
        self.table.insert(id.slot(), (id, [0; 2]));
        self.accepted.push(id);
        Ok(())
    }

    #[inline]
    fn read(&mut self, id: ConnId, buffer: &mut [u8]) -> io::Result<Received> {
        self.reads += 1;
        self.entry(id)?;
        if self.ends {
            return Ok(Received::End);
        }
        let count = self.next.len();
        buffer[..count].copy_from_slice(&self.next);
        Ok(Received::of(count, buffer.len()))
    }

    #[inline]
    fn write(&mut self, id: ConnId, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes += 1;
        self.entry(id)?;
        let count = slices.iter().map(|slice| slice.len()).sum();
        self.bytes_out += count as u64;
        if self.listens {
            self.written.push(id);
        }
        if self.hears {
            self.heard.clear();
            slices.iter().for_each(|slice| self.heard.extend_from_slice(slice));
        }
        Ok(count)
    }

    #[inline]
    fn glance(&self, id: ConnId) -> usize {
        self.table.get(id.slot()).map_or(0, |(owner, _)| owner.slot())
    }

    fn shut_down(&mut self, id: ConnId) {
        self.shut.push(id);
    }

    fn close(&mut self, id: ConnId) {
        self.table.remove(id.slot());
    }
}
