//! What the server owes one peer: frames in order, compared byte by byte with what it writes.

use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Debug, Clone, Default)]
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
    /// All was dropped but what had begun to leave, which is not known yet; and what comes behind it.
    cut: Option<Rc<[u8]>>,
}

impl Outgoing {
    pub fn push(&mut self, frame: Rc<[u8]>) {
        if self.cut.is_some() {
            self.cut = Some(frame);
        } else if !frame.is_empty() {
            self.pending += frame.len() as isize;
            self.frames.push_back(frame);
            self.after_mark += 1;
        }
    }

    /// Frames of which some bytes are owed.
    pub fn frames_owed(&self) -> usize {
        self.frames.len()
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

    /// Drops what is owed but for what has begun to leave. One more frame that is pushed comes behind that.
    pub fn cut(&mut self) {
        self.settle();
        self.cut = Some(Rc::default());
    }

    /// After a cut `pending` bytes wait: whether these can be whole frames, what has begun to leave at least and `most`
    /// at most, and the last words. `probe` may be among them; whether it is.
    pub fn resolve(&mut self, pending: usize, most: usize, probe: &[u8]) -> Result<bool, ()> {
        let Some(words) = self.cut.take() else {
            return Ok(false);
        };
        for extra in [&[][..], probe] {
            let (mut kept, mut sum) = (0, 0);
            while sum + extra.len() + words.len() < pending || (kept == 0 && self.front > 0) {
                let Some(frame) = self.frames.get(kept) else {
                    break;
                };
                sum += frame.len() - if kept == 0 { self.front } else { 0 };
                kept += 1;
            }
            if sum + extra.len() + words.len() == pending && (kept <= 1 || sum <= most) {
                self.frames.truncate(kept);
                self.frames.extend([Rc::from(extra), words].into_iter().filter(|frame: &Rc<[u8]>| !frame.is_empty()));
                (self.pending, self.after_mark) = (pending as isize, 0);
                return Ok(!extra.is_empty());
            }
        }
        Err(())
    }

    /// Whether nothing more can be owed: all was written, or after a cut as much as must be.
    pub fn is_done(&self) -> bool {
        match &self.cut {
            None => self.pending <= 0,
            Some(words) => words.is_empty() && self.front == 0 && self.lead.is_empty(),
        }
    }

    /// After a cut the last words may stand at any frame's end: what was owed before them has been dropped.
    fn skip_to_words(&mut self, data: &[u8]) {
        let begins = |frame: &Rc<[u8]>| frame.iter().zip(data).all(|(ours, theirs)| ours == theirs);
        let is_between = self.front == 0 && self.lead.is_empty();
        if let Some(words) = self.cut.take_if(|words| is_between && !words.is_empty() && begins(words)) {
            self.frames.clear();
            self.pending = words.len() as isize - data.len() as isize;
            self.after_mark = 0;
            self.frames.push_back(words);
        }
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
            self.skip_to_words(data);
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
