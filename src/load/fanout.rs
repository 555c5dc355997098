//! Publications that reach many: by the channels of a hub, or by a server that sends each message to every other
//! connection. What arrives is dated, numbered and compared, for each receiver.

mod ear;
mod gathering;
mod voice;

use super::sequence::{Seen, Sequence};
use super::{Crowd, End, Lines, Moment, Opened, Pace, Part, Reach, Scene, Stamp, Ticket};
use ear::Ear;
use gathering::Gathering;
use std::sync::Arc;
use voice::Voice;

/// What is published and to whom.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Channels of a hub; none where a server sends to every other connection.
    pub channels: Vec<Arc<str>>,
    /// Connections that publish: the first lines.
    pub publishers: usize,
    /// Connections that receive: the lines behind.
    pub receivers: usize,
    /// Bytes of a payload, at least those of a stamp.
    pub size: usize,
    /// Text on WebSocket, where no hub wants it anyhow.
    pub text: bool,
    /// Closed loop: publications of a round in each channel; open loop: publications a second in all.
    pub how: How,
    /// A number that no other run has.
    pub run: u32,
}

/// When publications leave.
#[derive(Debug, Clone, Copy)]
pub enum How {
    /// So many in each channel at once, and the next when all have come everywhere.
    Rounds(u64),
    /// So many a second.
    Rate(f64),
}

/// What came where it should not, or did not come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Came more than once.
    pub doubled: u64,
    /// Came behind one that it should stand before.
    pub out_of_order: u64,
    /// Did not come to a receiver that is still there.
    pub lost: u64,
    /// Did not come to a receiver whose connection has ended.
    pub cut_off: u64,
    /// Came from another run, or from somebody else.
    pub foreign: u64,
}

/// The scene of `bench fanout`.
#[derive(Debug)]
pub struct Fanout {
    setting: Setting,
    ears: Vec<Ear>,
    voices: Vec<Voice>,
    /// How a push of each channel begins, up to its payload, as servers write it.
    fronts: Vec<Vec<u8>>,
    /// Of each receiver and publisher.
    sequences: Vec<Sequence>,
    /// The latest payloads of each stream and their stamps, by the low bits of their numbers: all receivers get the
    /// same bytes.
    latest: Vec<(Vec<u8>, Stamp)>,
    /// Of each stream: a power of two.
    kept: usize,
    /// Receivers of each channel that are there, and publications made in it.
    audience: Vec<u64>,
    published_in: Vec<u64>,
    published: u64,
    /// Publications of a schedule that are known to be due.
    seen_due: u64,
    /// Publications that may still be made.
    until: u64,
    window: std::ops::Range<u64>,
    measured: bool,
    pace: Option<Pace>,
    voices_open: usize,
    outstanding: u64,
    arrived: u64,
    faults: Faults,
    gathering: Gathering,
}

/// Payloads that are kept to be compared with, in all and of each stream.
const KEPT_BYTES: usize = 1 << 20;
const MOST_KEPT: usize = 64;

impl Fanout {
    /// Nothing is open yet. Lines are the publishers, then the receivers.
    pub fn new(setting: Setting) -> Self {
        let channels = setting.channels.len().max(1);
        let (publishers, receivers) = (setting.publishers, setting.receivers);
        let streams = channels * publishers;
        assert!(publishers > 0 && receivers > 0 && streams <= usize::from(u16::MAX), "streams have numbers");
        let kept = 1 << (KEPT_BYTES / (streams * setting.size)).clamp(1, MOST_KEPT).ilog2();
        let stamp = Stamp { run: setting.run, stream: 0, number: 0, at: Moment::ZERO };
        Self {
            ears: (0..receivers).map(|receiver| Ear::new(receiver % channels)).collect(),
            voices: (0..publishers).map(|_| Voice::default()).collect(),
            fronts: setting.channels.iter().map(|channel| front(channel)).collect(),
            sequences: vec![Sequence::default(); receivers * publishers],
            latest: vec![(Vec::new(), stamp); streams * kept],
            kept,
            audience: vec![0; channels],
            published_in: vec![0; channels],
            published: 0,
            seen_due: 0,
            until: 0,
            window: 0..0,
            measured: false,
            pace: None,
            voices_open: 0,
            outstanding: 0,
            arrived: 0,
            faults: Faults::default(),
            gathering: Gathering::default(),
            setting,
        }
    }

    /// Publications made.
    pub fn published(&self) -> u64 {
        self.window.end.min(self.published).saturating_sub(self.window.start)
    }

    /// What was wrong so far. What is under way counts as lost.
    pub fn faults(&self) -> Faults {
        Faults { lost: self.outstanding, ..self.faults }
    }

    fn channels(&self) -> u64 {
        self.published_in.len() as u64
    }

    /// Publishes what is due, as far as its publishers' sockets take it.
    fn publish<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        if self.voices_open < self.voices.len() {
            return;
        }
        let due = match self.pace {
            Some(pace) => pace.due(reach.now).min(self.until),
            None => self.until,
        };
        let publishers = self.voices.len() as u64;
        while self.published < due {
            let number = self.published;
            let channel = usize::try_from(number % self.channels()).unwrap_or(0);
            let publisher = usize::try_from(number / self.channels() % publishers).unwrap_or(0);
            if !reach.lines.is_clear(publisher) {
                break;
            }
            let stamp = Stamp {
                run: self.setting.run,
                stream: u16::try_from(channel * self.voices.len() + publisher).unwrap_or(u16::MAX),
                number: number / (self.channels() * publishers),
                at: self.pace.map_or(reach.now, |pace| pace.at(number)),
            };
            let voice = &mut self.voices[publisher];
            voice.say(&self.setting, channel, &stamp, reach.crowd.entrance(publisher).wire, &mut reach.crowd.jitter);
            if voice.is_full() {
                voice.send(publisher, reach.lines);
            }
            self.published += 1;
            self.published_in[channel] += 1;
            self.outstanding += self.audience[channel];
        }
        for (publisher, voice) in self.voices.iter_mut().enumerate() {
            voice.send(publisher, reach.lines);
        }
    }

    /// Begins another round if all of the last one has come.
    fn go_on<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        if let How::Rounds(depth) = self.setting.how
            && self.outstanding == 0
            && self.published < self.window.end
            && self.has_audience()
        {
            let left = self.window.end - self.published;
            self.until = self.published + left.min(depth * self.channels());
            self.publish(reach);
        }
    }

    fn has_audience(&self) -> bool {
        self.voices_open == self.voices.len() && self.audience.iter().any(|audience| *audience > 0)
    }

    /// A payload came to a receiver.
    #[inline]
    fn arrive<L>(&mut self, receiver: usize, payload: &[u8], reach: &mut Reach<'_, L>) {
        let Some(stamp) = self.stamp(payload) else {
            self.on_foreign(receiver, payload);
            return;
        };
        let publishers = self.voices.len();
        let (channel, publisher) = (usize::from(stamp.stream) / publishers, usize::from(stamp.stream) % publishers);
        if channel != self.ears[receiver].channel {
            // It is of this run, but not for this receiver.
            self.faults.foreign += 1;
            return;
        }
        match self.sequences[receiver * publishers + publisher].see(stamp.number) {
            Seen::New { .. } => {}
            Seen::Late => self.faults.out_of_order += 1,
            Seen::Double => {
                self.faults.doubled += 1;
                return;
            }
        }
        self.ears[receiver].got += 1;
        self.outstanding = self.outstanding.saturating_sub(1);
        self.arrived += 1;
        reach.record.done(1);
        let number = (stamp.number * publishers as u64 + publisher as u64) * self.channels() + channel as u64;
        if self.measured && self.window.contains(&number) {
            reach.record.latency(reach.now.nanos_since(stamp.at), 1);
        }
    }

    /// The stamp of a payload of this run that is whole.
    #[inline]
    fn stamp(&mut self, payload: &[u8]) -> Option<Stamp> {
        let place = Stamp::place(payload, self.kept).filter(|place| *place < self.latest.len())?;
        let (known, stamp) = &mut self.latest[place];
        if known == payload {
            return Some(*stamp);
        }
        let is_ours = |stamp: &Stamp| stamp.run == self.setting.run && payload.len() == self.setting.size;
        *stamp = Stamp::read(payload).filter(is_ours)?;
        known.clear();
        known.extend_from_slice(payload);
        Some(*stamp)
    }
}

impl Scene for Fanout {
    fn ticket(&self, line: usize) -> Ticket {
        let receiver = line.checked_sub(self.voices.len());
        let channel = receiver.and_then(|receiver| self.setting.channels.get(self.ears[receiver].channel));
        Ticket { channel: channel.cloned(), ..Ticket::default() }
    }

    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        opened: Opened,
        _took: u64,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        match line.checked_sub(self.voices.len()) {
            None => {
                self.voices[line].open(opened.reader);
                self.voices_open += 1;
                Ok(())
            }
            Some(receiver) => {
                let ear = &mut self.ears[receiver];
                ear.open(opened.reader);
                // What was published before is not for it.
                self.audience[ear.channel] += 1;
                ear.got = self.published_in[ear.channel];
                let early = opened.early;
                if early.is_empty() { Ok(()) } else { ear::hear_message(self, receiver, &early, reach) }
            }
        }
    }

    #[inline]
    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<(), End> {
        match line.checked_sub(self.voices.len()) {
            None => self.voices[line].hear(line, bytes, !self.setting.channels.is_empty(), reach)?,
            Some(receiver) => ear::hear(self, receiver, bytes, reach)?,
        }
        if self.outstanding == 0 {
            self.go_on(reach);
        }
        Ok(())
    }

    fn on_drained<L: Lines>(&mut self, line: usize, reach: &mut Reach<'_, L>) {
        if line < self.voices.len() {
            self.publish(reach);
        }
    }

    fn on_gone<L: Lines>(&mut self, line: usize, was_ready: bool, reach: &mut Reach<'_, L>) {
        if !was_ready {
            return;
        }
        match line.checked_sub(self.voices.len()) {
            None => {
                self.voices[line].close(&mut reach.crowd.pool);
                self.voices_open -= 1;
            }
            Some(receiver) => {
                let ear = &mut self.ears[receiver];
                ear.close(&mut reach.crowd.pool);
                self.audience[ear.channel] -= 1;
                let missing = self.published_in[ear.channel].saturating_sub(ear.got);
                self.outstanding = self.outstanding.saturating_sub(missing);
                self.faults.cut_off += missing;
                self.go_on(reach);
            }
        }
    }

    fn prepare<L: Lines>(&mut self, reach: &mut Reach<'_, L>) -> bool {
        self.gather(reach)
    }

    fn begin<L: Lines>(&mut self, part: Part, most: Option<u64>, reach: &mut Reach<'_, L>) {
        self.measured = part == Part::Measured;
        let end = most.map_or(u64::MAX, |most| self.published + most);
        self.window = self.published..end;
        match self.setting.how {
            How::Rounds(_) => self.go_on(reach),
            How::Rate(rate) => {
                let now = reach.now;
                self.pace.get_or_insert_with(|| Pace::new(now, rate));
                self.until = end;
            }
        }
    }

    fn on_turn<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        let Some(pace) = self.pace else {
            // A round in which nobody listens is over as soon as it is published.
            return self.go_on(reach);
        };
        let due = pace.due(reach.now).min(self.until);
        if due > self.seen_due {
            reach.record.lag(reach.now.nanos_since(pace.at(self.seen_due)));
            self.seen_due = due;
            self.publish(reach);
        }
    }

    fn next_at(&self) -> Option<Moment> {
        if let Some(at) = self.gathering.next_at() {
            return Some(at);
        }
        // What is known to be due waits for a socket, not for a time.
        self.pace.filter(|_| self.seen_due < self.until && self.has_audience()).map(|pace| pace.at(self.seen_due))
    }

    fn rest(&mut self, now: Moment) {
        // What is due is still published, when its publisher's socket takes it.
        let last = self.pace.map_or(self.published, |pace| pace.due(now));
        self.window.end = self.window.end.min(last);
        self.until = self.until.min(last);
    }

    fn can_go_on(&self) -> bool {
        self.has_audience()
    }

    fn is_at_rest(&self) -> bool {
        self.outstanding == 0 && (self.published >= self.window.end || !self.has_audience())
    }

    fn progress(&self) -> u64 {
        self.arrived
    }

    fn unanswered(&self) -> u64 {
        self.outstanding
    }

    fn pauses(&self) -> bool {
        matches!(self.setting.how, How::Rounds(_))
    }
}

fn front(channel: &str) -> Vec<u8> {
    format!(r#"{{"push":{{"channel":{},"pub":{{"data":""#, super::hub::quoted(channel)).into_bytes()
}

/// The tools that reading takes, apart from each other.
fn tools<'r, L>(reach: &'r mut Reach<'_, L>) -> (&'r mut L, &'r mut Crowd) {
    (reach.lines, reach.crowd)
}
