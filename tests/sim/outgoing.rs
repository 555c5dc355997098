//! What the server owes one peer: frames in order, compared byte by byte with what it writes.

use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug, Default)]
pub struct Outgoing {
    frames: VecDeque<Rc<[u8]>>,
    /// Bytes of the first frame that were written.
    front: usize,
    /// Bytes since a frame's end that may belong to a probe or to the next frame.
    lead: Vec<u8>,
    /// Bytes owed. Below zero while a probe was written that nobody has accounted for yet.
    pub pending: isize,
    /// Frames that were pushed since the last mark: what the gateway itself sends in a turn comes before them.
    after_mark: usize,
    pub written: u64,
}

impl Outgoing {
    pub fn push(&mut self, frame: Rc<[u8]>) {
        if !frame.is_empty() {
            self.pending += frame.len() as isize;
            self.frames.push_back(frame);
            self.after_mark += 1;
        }
    }

    /// The gateway serves its deadlines next.
    pub fn mark(&mut self) {
        self.settle();
        self.after_mark = 0;
    }

    /// A probe waits, perhaps not all of it any more.
    pub fn add_probe(&mut self, probe: &[u8]) {
        self.pending += probe.len() as isize;
        let at = self.frames.len() - self.after_mark;
        self.frames.insert(at, probe.into());
        self.settle();
    }

    /// What may have been either is known to belong to the first frame.
    pub fn settle(&mut self) {
        self.front += self.lead.len();
        self.lead.clear();
    }

    /// Forgets what is owed: it will never be written.
    pub fn clear(&mut self) {
        *self = Self { written: self.written, ..Self::default() };
    }

    /// Checks written bytes against what is owed. Up to `may_probe` probes that nobody knew of may stand between
    /// frames; how many did. The error is the offset of the first wrong byte in the stream.
    pub fn written(&mut self, mut data: &[u8], probe: &[u8], may_probe: usize) -> Result<usize, u64> {
        let mut probes = 0;
        self.pending -= data.len() as isize;
        while !data.is_empty() {
            // What waited before the deadlines were served goes first.
            let older = self.frames.len() > self.after_mark;
            let may_begin = self.front == 0 && !older && (may_probe > probes || !self.lead.is_empty());
            let count = if may_begin { self.lead_on(data[0], probe, &mut probes) } else { self.go_on(data) };
            let count = count.ok_or(self.written)?;
            self.written += count as u64;
            data = &data[count..];
        }
        Ok(probes)
    }

    fn go_on(&mut self, data: &[u8]) -> Option<usize> {
        let frame = self.frames.front()?;
        let rest = &frame[self.front..];
        let count = rest.len().min(data.len());
        (rest[..count] == data[..count]).then_some(())?;
        self.front += count;
        if self.front == frame.len() {
            self.pop();
            self.front = 0;
        }
        Some(count)
    }

    fn pop(&mut self) {
        self.frames.pop_front();
        self.after_mark = self.after_mark.min(self.frames.len());
    }

    /// One byte where either a frame or a probe may begin.
    fn lead_on(&mut self, byte: u8, probe: &[u8], probes: &mut usize) -> Option<usize> {
        self.lead.push(byte);
        let length = self.lead.len();
        let frame = self.frames.front().filter(|frame| frame.starts_with(&self.lead)).map(|frame| frame.len());
        let is_probe = !probe.is_empty() && probe.starts_with(&self.lead);
        match (frame, is_probe) {
            (Some(all), _) if all == length => {
                self.pop();
                self.lead.clear();
            }
            (Some(_), true) => {}
            (Some(_), false) => {
                self.front = length;
                self.lead.clear();
            }
            (None, true) if length == probe.len() => {
                self.lead.clear();
                self.pending += length as isize;
                *probes += 1;
            }
            (None, true) => {}
            (None, false) => return None,
        }
        Some(1)
    }
}
