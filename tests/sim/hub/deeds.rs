//! The events of a plan, done.

use super::clients::Client;
use super::ear::frame;
use super::link::Stage;
use super::plan::{Action, Deed};
use super::seen::Situation;
use super::world::{Owner, World};
use crate::model::Verdict;
use crate::net::Happening;
use crate::pipes::{Appetite, Segment};
use crate::rng::Rng;
use crate::websocket::frames;
use tidegate::wire::Wire;

/// What is no unit of commands.
const NONSENSE: [&str; 6] =
    ["hello", "{\"id\":1", "[]", "{\"id\":0,\"ping\":{}}", "{\"id\":7,\"connect\":{}}", "{\"id\":9}"];

impl World<'_> {
    /// One event of the plan, and the turns it takes.
    pub fn step(&mut self, action: &Action) -> Verdict {
        self.rng = Rng::new(action.seed);
        self.net.borrow_mut().rng = Rng::new(action.seed ^ 0x1234);
        self.desk.borrow_mut().rng = Rng::new(action.seed ^ 0x4321);
        self.advance(action.wait)?;
        self.trace.note(None, || format!("{} {:?} of {}", self.now, action.deed, action.who));
        self.act(action)?;
        self.advance(0)
    }

    fn act(&mut self, action: &Action) -> Verdict {
        let who = action.who;
        let link = self.clients[who].link.filter(|link| self.is_open(*link));
        match (action.deed, link) {
            (Deed::Say, _) => return self.say_something(who),
            (Deed::Flood, _) => self.flood(who),
            (Deed::TakeOver, Some(link)) if self.links[link].stage == Stage::Connected => {
                self.remember(link);
                return self.come(who);
            }
            (Deed::Cut, Some(link)) => self.cut(link),
            (Deed::FallSilent, Some(link)) => {
                self.links[link].was_slow = true;
                let sock = &mut self.net.borrow_mut().socks[self.links[link].sock];
                (sock.mute, sock.deaf) = (self.rng.chance(70), true);
            }
            (Deed::Thaw, _) => {
                for link in 0..self.links.len() {
                    self.thaw(link);
                }
            }
            (Deed::ReadSlowly, Some(link)) => {
                self.links[link].was_slow = true;
                let (bytes, every) = (self.rng.size(1, 400), self.rng.within(1, 500));
                let never = self.rng.chance(30);
                let sock = &mut self.net.borrow_mut().socks[self.links[link].sock];
                sock.appetite = if never { Appetite::Never } else { Appetite::Slow { bytes, every } };
            }
            (Deed::ReadQuickly, Some(link)) => self.read_quickly(link),
            (Deed::SayNonsense, Some(link)) if self.links[link].stage != Stage::Opening => self.say_nonsense(link),
            (Deed::Lurk, None) => self.lurk(who),
            (Deed::Call, _) => return self.call(),
            (Deed::Restart, _) => {
                let channels = self.reactor.gateway().handler().hub().table_sizes()[1];
                self.seen.hit_if(channels > 0, Situation::Restarted);
                self.desk.borrow_mut().restart(self.now);
                self.wake();
            }
            (Deed::Interrupt, _) => {
                let channels = self.reactor.gateway().handler().hub().table_sizes()[1];
                self.seen.hit_if(channels > 0, Situation::Interrupted);
                self.desk.borrow_mut().interrupt(self.now);
                self.wake();
            }
            _ => {}
        }
        Ok(())
    }

    /// The engine has something to say.
    pub fn wake(&mut self) {
        self.reactor.run(self.time(), tidegate::gateway::Handler::on_woken);
        self.reactor.end_turn(self.time());
    }

    fn flood(&mut self, who: usize) {
        let Some(link) = self.connected(who) else {
            return;
        };
        let count = self.rng.size(5, 60);
        let at = self.rng.below(self.plan.channels.len() as u64) as usize;
        let channel = self.plan.channels[at].clone();
        for _ in 0..count {
            let command = self.publish_on(link, channel.clone(), 300);
            self.say(link, &[command]);
        }
    }

    fn cut(&mut self, link: usize) {
        let sock = self.links[link].sock;
        let loses = self.rng.chance(50);
        match self.rng.below(4) {
            0 => self.net.borrow_mut().reset(sock, loses),
            1 => {
                self.net.borrow_mut().send(sock, Segment::End, self.now);
                return;
            }
            2 => {
                self.net.borrow_mut().send(sock, Segment::End, self.now);
                self.net.borrow_mut().vanish(sock);
            }
            // The cable is pulled: nobody is told.
            _ => {
                let of = &mut self.net.borrow_mut().socks[sock];
                (of.mute, of.deaf) = (true, true);
            }
        }
        self.on_link_over(link);
        self.net.borrow_mut().socks[sock].appetite = Appetite::Never;
    }

    pub fn thaw(&mut self, link: usize) {
        let sock = self.links[link].sock;
        let was_cut = self.links[link].stage == Stage::Over && self.links[link].code.is_none();
        let is_frozen = self.net.borrow().socks[sock].mute || self.net.borrow().socks[sock].deaf;
        if is_frozen && !was_cut {
            self.net.borrow_mut().thaw(sock);
            self.net.borrow_mut().enter(self.now, Happening::Ended(sock));
        }
    }

    pub fn read_quickly(&mut self, link: usize) {
        let sock = self.links[link].sock;
        if self.links[link].stage == Stage::Over && self.links[link].code.is_none() {
            return;
        }
        let mut net = self.net.borrow_mut();
        net.socks[sock].appetite = Appetite::Eager { after: 0 };
        net.socks[sock].taking = false;
        net.be_hungry(sock);
    }

    fn say_nonsense(&mut self, link: usize) {
        let text = self.rng.pick(&NONSENSE).to_owned();
        let wire = self.links[link].wire;
        // A second connect is one only where the first has come.
        self.links[link].said_garbage = true;
        let bytes = match wire {
            Wire::WebSocket if self.rng.chance(10) => {
                frames::from_client(frames::FIN | frames::TEXT, [1, 2, 3, 4], b"")
            }
            _ => frame(wire, &[text], &mut self.rng),
        };
        self.send(self.links[link].sock, &bytes);
    }

    fn lurk(&mut self, who: usize) {
        let number = self.links.len();
        let wire = self.rng.pick(&[Wire::Line, Wire::Length]);
        let sock = self.connect(wire, Owner::Link(number));
        let mut link = super::link::Link::new(sock, wire);
        link.stage = Stage::Opening;
        self.links.push(link);
        self.whose.push(who);
        self.clients[who] = Client { link: Some(number), ..Client::default() };
    }
}
