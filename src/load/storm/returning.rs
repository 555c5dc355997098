//! Clients that are cut all at once while publications go on, and come back all at once: each has to get what it missed,
//! in order, once.

use crate::load::hub::{self, Position, Recovery, Standing, Told};
use crate::load::{
    End, Heard, Lines, Moment, Opened, Part, Reach, Reader, Rules, Scene, Seen, Sequence, Stamp, Ticket,
};
use std::sync::Arc;

/// What is to be played.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Channels of a hub, to which the clients are dealt in turn; none where there is no hub.
    pub channels: Vec<Arc<str>>,
    /// Clients: the lines behind the publisher's, if there is a hub.
    pub clients: usize,
    /// Publications in each channel while they are away.
    pub missed: u64,
    /// Bytes of a payload.
    pub size: usize,
    /// How fast they come back.
    pub rules: Rules,
    /// A number that no other run has.
    pub run: u32,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Clients that came back with everything.
    pub whole: u64,
    /// Clients that came back and were told that something is gone.
    pub unrecovered: u64,
    /// Clients that have not come back, or not with everything.
    pub away: u64,
    /// Publications that came to who had missed them.
    pub recovered: u64,
    /// That did not.
    pub lost: u64,
    /// That came more than once.
    pub doubled: u64,
    /// That came behind one that they should stand before.
    pub out_of_order: u64,
}

/// The scene of `bench storm --reconnect`.
#[derive(Debug)]
pub struct Returning {
    setting: Setting,
    clients: Vec<Client>,
    publisher: Option<Reader>,
    act: Act,
    /// Publications of which the answer has not come, and that have not left.
    unanswered: u64,
    unpublished: u64,
    /// Clients that have not come back with everything.
    outstanding: u64,
    progress: u64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// All connect for the first time.
    Gathering,
    /// They are cut, and publications are made.
    Away,
    /// They come back.
    Returning,
}

#[derive(Debug, Default)]
struct Client {
    reader: Option<Reader>,
    position: Position,
    sequence: Sequence,
    got: u64,
    is_done: bool,
}

/// Publications sent before their answers are waited for.
const BATCH: u64 = 64;

impl Returning {
    /// Nobody is there yet.
    pub fn new(setting: Setting) -> Self {
        Self {
            clients: (0..setting.clients).map(|_| Client::default()).collect(),
            publisher: None,
            act: Act::Gathering,
            unanswered: 0,
            unpublished: 0,
            outstanding: 0,
            progress: 0,
            counts: Counts::default(),
            setting,
        }
    }

    /// What came of it so far.
    pub fn counts(&self) -> Counts {
        let due = self.setting.clients as u64 * self.missed();
        Counts { away: self.counts.away + self.outstanding, lost: due - self.counts.recovered, ..self.counts }
    }

    /// Publications that each client misses.
    pub fn missed(&self) -> u64 {
        if self.setting.channels.is_empty() { 0 } else { self.setting.missed }
    }

    /// The publisher's line comes first, where there is one.
    fn offset(&self) -> usize {
        usize::from(!self.setting.channels.is_empty())
    }

    fn cut<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        for client in 0..self.clients.len() {
            let line = client + self.offset();
            if reach.crowd.on_closed(line) {
                reach.lines.reset(line);
            }
            if let Some(mut reader) = self.clients[client].reader.take() {
                reader.clear(&mut reach.crowd.pool);
            }
        }
        self.act = Act::Away;
        self.unpublished = self.missed() * self.setting.channels.len() as u64;
        self.publish(reach);
    }

    fn publish<L: Lines>(&mut self, reach: &mut Reach<'_, L>) {
        let channels = self.setting.channels.len() as u64;
        reach.crowd.out.clear();
        let mut payload = vec![0; self.setting.size];
        while self.unpublished > 0 && self.unanswered < BATCH {
            let number = self.missed() * channels - self.unpublished;
            let channel = &self.setting.channels[usize::try_from(number % channels).unwrap_or(0)];
            let stamp = Stamp { run: self.setting.run, stream: 0, number: number / channels, at: reach.now };
            stamp.write(&mut payload);
            let document = format!(
                r#"{{"id":{},"publish":{{"channel":{},"data":"{}"}}}}"#,
                u64::from(hub::FIRST_PUBLISH) + number,
                hub::quoted(channel),
                String::from_utf8_lossy(&payload)
            );
            let wire = reach.crowd.entrance(0).wire;
            hub::encode(wire, document.as_bytes(), &mut reach.crowd.jitter, &mut reach.crowd.out);
            self.unpublished -= 1;
            self.unanswered += 1;
        }
        if !reach.crowd.out.is_empty() {
            reach.lines.send_copy(0, &reach.crowd.out);
        }
    }

    fn return_all<L>(&mut self, reach: &mut Reach<'_, L>) {
        self.act = Act::Returning;
        self.outstanding = self.clients.len() as u64;
        reach.crowd.set_rules(self.setting.rules);
        for client in 0..self.clients.len() {
            reach.crowd.want(client + self.offset());
        }
    }

    /// Takes a publication that a client missed.
    fn take<L>(&mut self, client: usize, data: &str, reach: &mut Reach<'_, L>) {
        let payload = data.strip_prefix('"').and_then(|data| data.strip_suffix('"')).unwrap_or(data);
        let Some(stamp) = Stamp::read(payload.as_bytes()).filter(|stamp| stamp.run == self.setting.run) else {
            return;
        };
        let (member, counts) = (&mut self.clients[client], &mut self.counts);
        match member.sequence.see(stamp.number) {
            Seen::New { .. } => {}
            Seen::Late => counts.out_of_order += 1,
            Seen::Double => {
                counts.doubled += 1;
                return;
            }
        }
        member.got += 1;
        counts.recovered += 1;
        self.progress += 1;
        if self.clients[client].got == self.missed() {
            self.counts.whole += u64::from(self.complete(client, reach));
        }
    }

    /// Notes that nothing more is to come to a client; whether that is news.
    fn complete<L>(&mut self, client: usize, reach: &mut Reach<'_, L>) -> bool {
        let is_news = self.act == Act::Returning && !std::mem::replace(&mut self.clients[client].is_done, true);
        if is_news {
            self.outstanding -= 1;
            self.progress += 1;
            reach.record.done(1);
        }
        is_news
    }

    fn stand<L>(&mut self, client: usize, standing: Standing, reach: &mut Reach<'_, L>) {
        if self.act != Act::Returning {
            self.clients[client].position = standing.position;
            return;
        }
        for (_, data) in &standing.publications {
            self.take(client, data, reach);
        }
        if !standing.recovered && self.missed() > 0 && self.complete(client, reach) {
            self.counts.unrecovered += 1;
        }
    }

    fn hear<L>(&mut self, line: usize, message: &[u8], reach: &mut Reach<'_, L>) -> Result<(), End> {
        for document in hub::documents(message) {
            match hub::read(document)? {
                Told::Ping => {
                    let wire = reach.crowd.entrance(line).wire;
                    hub::encode(wire, hub::PONG, &mut reach.crowd.jitter, &mut reach.crowd.out);
                }
                Told::Publication { data, offset, .. } => {
                    if let Some(client) = line.checked_sub(self.offset()) {
                        self.clients[client].position.offset = self.clients[client].position.offset.max(offset);
                        self.take(client, data, reach);
                    }
                }
                Told::Done(id, _) if line == 0 && id >= hub::FIRST_PUBLISH => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    self.progress += 1;
                }
                Told::Denied(_, code, words) => return Err(End::Rejected { method: "publish", code, words }),
                Told::Disconnected(end) => return Err(end),
                Told::Unsubscribed(code, words) => return Err(End::Rejected { method: "subscription", code, words }),
                Told::Done(..) | Told::Other => {}
            }
        }
        Ok(())
    }

    fn reader(&mut self, line: usize) -> &mut Option<Reader> {
        match line.checked_sub(self.offset()) {
            None => &mut self.publisher,
            Some(client) => &mut self.clients[client].reader,
        }
    }
}

impl Scene for Returning {
    fn ticket(&self, line: usize) -> Ticket {
        let Some(client) = line.checked_sub(self.offset()) else {
            return Ticket::default();
        };
        let channel = self.setting.channels.get(client % self.setting.channels.len().max(1)).cloned();
        let recovery = match self.act {
            Act::Gathering | Act::Away => Recovery::Later,
            Act::Returning => Recovery::From(self.clients[client].position.clone()),
        };
        Ticket { channel, recovery }
    }

    fn on_ready<L: Lines>(
        &mut self,
        line: usize,
        opened: Opened,
        took: u64,
        reach: &mut Reach<'_, L>,
    ) -> Result<(), End> {
        *self.reader(line) = Some(opened.reader);
        let Some(client) = line.checked_sub(self.offset()) else {
            return Ok(());
        };
        if self.act == Act::Returning {
            reach.record.latency(took, 1);
        }
        if let Some(standing) = opened.standing {
            self.stand(client, *standing, reach);
        }
        if self.missed() == 0 {
            self.counts.whole += u64::from(self.complete(client, reach));
        }
        reach.crowd.out.clear();
        let met = self.hear(line, &opened.early, reach);
        if !reach.crowd.out.is_empty() {
            reach.lines.send_copy(line, &reach.crowd.out);
        }
        met
    }

    fn on_bytes<L: Lines>(&mut self, line: usize, bytes: &mut [u8], reach: &mut Reach<'_, L>) -> Result<(), End> {
        let Some(mut reader) = self.reader(line).take() else {
            return Ok(());
        };
        reach.crowd.out.clear();
        let (mut rest, mut met) = (bytes, Ok(()));
        while met.is_ok() {
            match reader.next(&mut rest, &mut reach.crowd.pool) {
                Ok(None) => break,
                Ok(Some(Heard::Message(body))) => {
                    if self.offset() > 0 {
                        met = self.hear(line, body.bytes(), reach);
                    }
                    body.give_back(&mut reach.crowd.pool);
                }
                Ok(Some(ping)) => hub::encode_pong(&ping, &mut reach.crowd.jitter, &mut reach.crowd.out),
                Err(end) => met = Err(end),
            }
        }
        *self.reader(line) = Some(reader);
        if !reach.crowd.out.is_empty() {
            reach.lines.send_copy(line, &reach.crowd.out);
        }
        if line == 0 && self.offset() == 1 && self.unanswered == 0 {
            self.publish(reach);
        }
        met
    }

    fn on_gone<L: Lines>(&mut self, line: usize, _was_ready: bool, reach: &mut Reach<'_, L>) {
        if let Some(mut reader) = self.reader(line).take() {
            reader.clear(&mut reach.crowd.pool);
        }
        match line.checked_sub(self.offset()) {
            // Without its publisher nothing more is published.
            None => (self.unanswered, self.unpublished) = (0, 0),
            Some(client) if self.act == Act::Returning => {
                if !std::mem::replace(&mut self.clients[client].is_done, true) {
                    self.outstanding -= 1;
                    self.counts.away += 1;
                }
            }
            Some(_) => {}
        }
    }

    fn begin<L: Lines>(&mut self, part: Part, _most: Option<u64>, reach: &mut Reach<'_, L>) {
        match part {
            Part::WarmUp => self.cut(reach),
            Part::Measured => self.return_all(reach),
        }
    }

    fn rest(&mut self, _now: Moment) {}

    fn is_at_rest(&self) -> bool {
        match self.act {
            Act::Gathering => true,
            Act::Away => self.unanswered == 0 && self.unpublished == 0,
            Act::Returning => self.outstanding == 0,
        }
    }

    fn progress(&self) -> u64 {
        self.progress
    }

    fn unanswered(&self) -> u64 {
        match self.act {
            Act::Gathering | Act::Away => self.unanswered,
            Act::Returning => self.outstanding,
        }
    }

    fn pauses(&self) -> bool {
        true
    }
}
