//! Publications under way to very many: a slice of a channel's subscribers a turn, so that one publication to a hundred
//! thousand keeps nobody else waiting. No subscriber gets one twice, misses one, or gets two in the wrong order.

use super::Hub;
use super::channel::{Channel, ChannelKey, Standing, Subscriber};
use super::outbox::Outbox;
use crate::config::Slow;
use crate::engine::Engine;
use crate::gateway::{AHEAD, ConnId, Context, Offer};
use crate::wire::Prepared;
use std::collections::VecDeque;

/// A publication on its way to a channel's subscribers, from the last to the first.
#[derive(Debug)]
pub(super) struct UnderWay {
    push: Prepared,
    offset: u64,
    /// The first so many have yet to get it. Whoever subscribes comes behind them, and has heard of it otherwise.
    left: usize,
    /// Positions were lost meanwhile: whoever keeps one has begun anew, behind this.
    spares_positioned: bool,
}

/// Channels whose publications are under way.
#[derive(Debug)]
pub(super) struct FanOuts {
    /// In the order they are to go on; one that has ended meanwhile may still stand here.
    channels: VecDeque<ChannelKey>,
    slice: usize,
}

/// What one walk did.
#[derive(Debug, Default)]
struct Told {
    deliveries: u64,
    lagged: u64,
}

/// Subscribers told in one go, where the connections still to be flushed are not more than that already. Twice as many as
/// a turn flushes: it never waits for more, and what others are sent meanwhile waits for no more than two turns of it.
const SLICE: usize = 2048;
/// Steps of one slice: with many publications under way it has fewer subscribers.
const MAX_STEPS: usize = 16_384;
/// Publications under way in one channel. With more, each that comes makes as many steps of those before it as it takes
/// itself, whatever waits to be flushed: then the limits of the queues are in force.
const MAX_UNDER_WAY: usize = 256;

impl Default for FanOuts {
    fn default() -> Self {
        Self { channels: VecDeque::new(), slice: SLICE }
    }
}

impl<E: Engine> Hub<E> {
    /// Sets how many subscribers of a channel are told of a publication in one turn, at least one; 2,048 without. The
    /// next turns go on with the others.
    pub fn limit_slice(&mut self, subscribers: usize) {
        self.fan_outs.slice = subscribers.max(1);
    }

    /// The turn has come that was asked for.
    pub fn on_turn(&mut self, cx: &mut Context<'_>) {
        let mut room = self.fan_outs.slice.saturating_sub(cx.unflushed());
        while room > 0
            && let Some(key) = self.fan_outs.channels.pop_front()
        {
            room -= self.go_on_with(cx, key, room, MAX_STEPS);
            if self.channels.get(key).is_some_and(|channel| channel.under_way.is_some()) {
                self.fan_outs.channels.push_back(key);
            }
        }
        self.ask_turn(cx);
    }

    /// Tells a channel's subscribers of a publication: all of them, or a slice now and the others in the next turns.
    pub(super) fn fan_out(&mut self, cx: &mut Context<'_>, key: ChannelKey, offset: u64, push: Prepared) {
        let slice = self.fan_outs.slice;
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let all = channel.subscribers.len();
        let ahead = channel.under_way.as_ref().and_then(|under_way| Some((under_way.len(), under_way.last()?.left)));
        let until = match ahead {
            None if all <= slice => 0,
            None => all - slice.saturating_sub(cx.unflushed()),
            // Close behind another it joins it, so that both leave together.
            Some((_, left)) if all - left <= slice => left,
            Some(_) => all,
        };
        let mut next = UnderWay { push, offset, left: all, spares_positioned: false };
        self.tell(cx, key, &mut next, until);
        if next.left == 0 {
            return;
        }
        self.counters.sliced += 1;
        match ahead {
            None => self.fan_outs.channels.push_back(key),
            Some((under_way, _)) if under_way >= MAX_UNDER_WAY => _ = self.go_on_with(cx, key, all, all),
            Some(_) => {}
        }
        if let Some(channel) = self.channels.get_mut(key) {
            channel.under_way.get_or_insert_default().push(next);
        }
        self.ask_turn(cx);
    }

    /// Goes on with the publications that are furthest, for `room` subscribers and about `steps` of both at most; for how
    /// many subscribers it did.
    fn go_on_with(&mut self, cx: &mut Context<'_>, key: ChannelKey, room: usize, steps: usize) -> usize {
        let Some(mut under_way) = self.channels.get_mut(key).and_then(|channel| channel.under_way.take()) else {
            return 0;
        };
        let left = under_way.first().map_or(0, |first| first.left);
        let together = under_way.iter().take_while(|next| next.left == left).count();
        let width = room.min(left).min((steps / together.max(1)).max(1));
        for next in &mut under_way[..together] {
            self.tell(cx, key, next, left - width);
        }
        if width == left {
            under_way.drain(..together);
        }
        if !under_way.is_empty()
            && let Some(channel) = self.channels.get_mut(key)
        {
            channel.under_way = Some(under_way);
        }
        width
    }

    /// Tells subscribers of one publication, until only the first `until` have yet to get it.
    fn tell(&mut self, cx: &mut Context<'_>, key: ChannelKey, next: &mut UnderWay, until: usize) {
        let Self { channels, namespaces, outbox, counters, .. } = self;
        let Some(channel) = channels.get_mut(key) else {
            return;
        };
        let slow = namespaces.get(channel.namespace).slow;
        let mut told = Told::default();
        for group in channel.subscribers[until..next.left].rchunks_mut(AHEAD) {
            cx.expect(group.iter().map(|subscriber| subscriber.id));
            for subscriber in group.iter_mut().rev() {
                if !(next.spares_positioned && subscriber.is_positioned) && subscriber.is_next(next.offset) {
                    tell_one(cx, outbox, subscriber, next, slow, &mut told);
                }
            }
        }
        next.left = until;
        counters.deliveries += told.deliveries;
        counters.lagged += told.lagged;
    }

    fn ask_turn(&mut self, cx: &mut Context<'_>) {
        if !self.fan_outs.channels.is_empty() {
            cx.ask_turn();
        }
    }
}

#[inline(always)]
fn tell_one(
    cx: &mut Context<'_>,
    outbox: &mut Outbox,
    subscriber: &mut Subscriber,
    next: &UnderWay,
    slow: Slow,
    told: &mut Told,
) {
    let (push, offset) = (&next.push, next.offset);
    let is_sent = match slow {
        _ if outbox.is_for(subscriber.id) => {
            outbox.tell(cx, subscriber.id, |out| out.extend_from_slice(push.body()));
            true
        }
        Slow::Lag if offset > 0 && subscriber.is_positioned => {
            let offer = cx.offer(subscriber.id, push);
            if offer == Offer::Full {
                subscriber.standing = Standing::Lagging(offset - 1);
                told.lagged += 1;
            }
            offer == Offer::Sent
        }
        Slow::Drop => cx.offer(subscriber.id, push) == Offer::Sent,
        // Who leaves too much waiting is closed by the gateway.
        Slow::Lag | Slow::Disconnect => cx.send_prepared(subscriber.id, push).is_ok(),
    };
    told.deliveries += u64::from(is_sent);
}

impl Channel {
    /// Takes a subscriber out; `moved` hears who stands in another place now. Nobody crosses the place up to which a
    /// publication has come.
    pub(super) fn remove_subscriber(&mut self, at: usize, mut moved: impl FnMut(ConnId, usize)) -> Subscriber {
        let mut hole = at;
        // Those that are further have fewer left, so the hole goes from border to border towards the end.
        for next in self.under_way.iter_mut().flat_map(|under_way| under_way.iter_mut()) {
            if hole < next.left {
                next.left -= 1;
                self.subscribers.swap(hole, next.left);
                if hole != next.left {
                    moved(self.subscribers[hole].id, hole);
                }
                hole = next.left;
            }
        }
        let removed = self.subscribers.swap_remove(hole);
        if let Some(last) = self.subscribers.get(hole) {
            moved(last.id, hole);
        }
        removed
    }

    /// How far the subscriber in this place has heard, where it has heard all that it was told of so far.
    pub(super) fn heard(&self, at: usize) -> Option<u64> {
        let (top, _) = self.position.as_ref()?;
        let mut under_way = self.under_way.iter().flat_map(|under_way| under_way.iter());
        let next = under_way.find(|next| at < next.left && next.offset > 0 && !next.spares_positioned);
        Some(next.map_or(*top, |next| next.offset - 1))
    }

    /// Whoever keeps a position gets nothing any more of what is under way.
    pub(super) fn spare_positioned(&mut self) {
        for next in self.under_way.iter_mut().flat_map(|under_way| under_way.iter_mut()) {
            next.spares_positioned = true;
        }
    }

    /// Where a subscriber stands that has had everything: ahead of what is under way.
    pub(super) fn standing_of(&self, subscriber: &Subscriber, standing: Standing) -> Standing {
        match (standing, &self.position) {
            (Standing::Live, Some((top, _))) if self.under_way.is_some() && subscriber.is_positioned => {
                Standing::Ahead(*top)
            }
            _ => standing,
        }
    }
}
