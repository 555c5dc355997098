//! What many connections are sent alike between two flushes: runs of shared messages, each joined once however many
//! connections wait for it. Which run a connection waits for is kept with the connection.

use bytes::{Bytes, BytesMut};
use slab::Slab;
use std::num::NonZeroU32;

/// A run of messages; `Option<RunKey>` is as small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunKey(NonZeroU32);

/// Runs form a tree: each goes on from a shorter one by one message. Those who are sent the same messages in the same
/// order wait for the same run, so a message more costs each of them one step, and no memory.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    runs: Slab<Run>,
    /// The step that was made last: the next receiver of the same message makes the same.
    last: Option<Step>,
    /// Runs of one message that were begun last: as many as there are framings of it, so that receivers on different
    /// wires may take turns.
    first: [Option<RunKey>; 4],
}

#[derive(Debug)]
struct Run {
    before: Option<RunKey>,
    /// The message this run has more than the one before, in its wire's framing.
    message: Bytes,
    /// Bytes of all its messages.
    len: usize,
    joined: Option<Bytes>,
    /// Connections that wait for just this run.
    waiting: usize,
    /// Runs that go on from it.
    longer: usize,
    /// The one of them that was begun last.
    next: Option<RunKey>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    from: Option<RunKey>,
    message: Place,
    to: RunKey,
}

/// Where a message lies, which tells it from all others while a run holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    address: usize,
    len: usize,
}

impl Place {
    #[inline]
    fn of(message: &Bytes) -> Self {
        Self { address: message.as_ptr().addr(), len: message.len() }
    }
}

/// A table of so many runs is kept.
const FEW: usize = 256;

/// Longest run: longer ones are better queued for each connection than joined anew.
pub(super) const MAX_RUN: usize = 64 << 10;

impl Bundles {
    /// Bytes of a run; none without one.
    #[inline]
    pub(super) fn len(&self, run: Option<RunKey>) -> usize {
        run.map_or(0, |run| self.run(run).len)
    }

    /// Lets one connection that waits for `from` wait for one message more. `None` where the run would be longer than
    /// `most`, which is the same in every call.
    #[inline(always)]
    pub(super) fn extend(&mut self, from: Option<RunKey>, message: &Bytes, most: usize) -> Option<RunKey> {
        let to = match self.last {
            Some(step) if step.from == from && step.message == Place::of(message) => step.to,
            _ => self.step(from, message, most)?,
        };
        self.run_mut(to).waiting += 1;
        if let Some(from) = from {
            self.release(from);
        }
        Some(to)
    }

    /// The bytes of a run, to be sent by one write.
    #[inline]
    pub(super) fn bytes(&mut self, key: RunKey) -> &Bytes {
        let run = self.run(key);
        if run.before.is_some() && run.joined.is_none() {
            self.join(key);
        }
        let run = self.run(key);
        run.joined.as_ref().unwrap_or(&run.message)
    }

    /// One connection does not wait for this run any more. What nobody needs is forgotten.
    #[inline]
    pub(super) fn release(&mut self, key: RunKey) {
        let run = self.run_mut(key);
        run.waiting -= 1;
        if run.waiting == 0 && run.longer == 0 {
            self.forget(key);
        }
    }

    /// Runs there are.
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    /// Bytes of the table of runs.
    pub(super) fn held_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Whether [`Bundles::trim`] has anything to do: no run is left, and a table of many.
    pub(super) fn has_slack(&self) -> bool {
        self.runs.is_empty() && self.runs.capacity() > FEW
    }

    /// Gives up a table that a burst of different messages has left behind.
    pub(super) fn trim(&mut self) {
        if self.has_slack() {
            self.runs = Slab::new();
        }
    }

    fn step(&mut self, from: Option<RunKey>, message: &Bytes, most: usize) -> Option<RunKey> {
        if message.is_empty() || self.len(from) + message.len() > most {
            return None;
        }
        let place = Place::of(message);
        let is_this = |run: &RunKey| Place::of(&self.run(*run).message) == place;
        let known = match from {
            Some(from) => self.run(from).next.filter(is_this),
            None => self.first.into_iter().flatten().find(is_this),
        };
        let to = known.unwrap_or_else(|| self.begin(from, message));
        self.last = Some(Step { from, message: place, to });
        Some(to)
    }

    fn begin(&mut self, before: Option<RunKey>, message: &Bytes) -> RunKey {
        let len = self.len(before) + message.len();
        let run = Run { before, message: message.clone(), len, joined: None, waiting: 0, longer: 0, next: None };
        let key = key(self.runs.insert(run));
        match before {
            Some(before) => {
                let before = self.run_mut(before);
                before.longer += 1;
                before.next = Some(key);
            }
            None => {
                self.first.rotate_right(1);
                self.first[0] = Some(key);
            }
        }
        key
    }

    #[cold]
    fn join(&mut self, key: RunKey) {
        let mut messages = Vec::new();
        let mut at = Some(key);
        while let Some(run) = at.map(|at| self.run(at)) {
            messages.push(&run.message);
            at = run.before;
        }
        let mut joined = BytesMut::with_capacity(self.run(key).len);
        messages.iter().rev().for_each(|message| joined.extend_from_slice(message));
        let joined = joined.freeze();
        self.run_mut(key).joined = Some(joined);
    }

    #[cold]
    fn forget(&mut self, mut key: RunKey) {
        loop {
            self.last.take_if(|step| step.to == key);
            let Some(before) = self.runs.remove(index(key)).before else {
                for first in &mut self.first {
                    first.take_if(|first| *first == key);
                }
                return;
            };
            let run = self.run_mut(before);
            run.longer -= 1;
            run.next.take_if(|next| *next == key);
            if run.longer > 0 || run.waiting > 0 {
                return;
            }
            key = before;
        }
    }

    #[inline]
    fn run(&self, key: RunKey) -> &Run {
        &self.runs[index(key)]
    }

    #[inline]
    fn run_mut(&mut self, key: RunKey) -> &mut Run {
        &mut self.runs[index(key)]
    }
}

#[inline]
fn index(key: RunKey) -> usize {
    key.0.get() as usize - 1
}

fn key(index: usize) -> RunKey {
    let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
    RunKey(number.expect("there are no more runs than connections that wait for them, and messages between flushes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> [Bytes; 3] {
        [b"one", b"two", b"six"].map(|message| Bytes::copy_from_slice(message))
    }

    fn extend(bundles: &mut Bundles, from: Option<RunKey>, message: &Bytes) -> RunKey {
        bundles.extend(from, message, MAX_RUN).expect("it is short enough")
    }

    #[test]
    fn who_is_sent_the_same_waits_for_the_same_run_and_it_is_joined_once() {
        let (mut bundles, [one, two, six]) = (Bundles::default(), messages());
        let mut waiting = [None; 100];
        for message in [&one, &two, &six] {
            for run in &mut waiting {
                *run = Some(extend(&mut bundles, *run, message));
            }
        }
        let run = waiting[0].expect("it waits");
        assert!(waiting.iter().all(|other| *other == Some(run)));
        assert_eq!((bundles.len(Some(run)), bundles.runs.len()), (9, 3));
        let joined = bundles.bytes(run).clone();
        assert_eq!((&joined[..], bundles.bytes(run).as_ptr()), (&b"onetwosix"[..], joined.as_ptr()));
        waiting.iter().flatten().for_each(|run| bundles.release(*run));
        assert_eq!(bundles.count(), 0);
    }

    #[test]
    fn a_single_message_is_not_copied() {
        let (mut bundles, [one, ..]) = (Bundles::default(), messages());
        let run = extend(&mut bundles, None, &one);
        assert_eq!(bundles.bytes(run).as_ptr(), one.as_ptr());
        bundles.release(run);
        assert!(bundles.count() == 0 && bundles.last.is_none());
    }

    #[test]
    fn who_is_sent_other_messages_waits_for_other_runs() {
        let (mut bundles, [one, two, six]) = (Bundles::default(), messages());
        let both = extend(&mut bundles, None, &one);
        let (both, two_alone) = (extend(&mut bundles, Some(both), &two), extend(&mut bundles, None, &two));
        let one_alone = extend(&mut bundles, None, &one);
        let other = extend(&mut bundles, None, &one);
        let other = extend(&mut bundles, Some(other), &six);
        let said = [both, two_alone, one_alone, other].map(|run| bundles.bytes(run).to_vec());
        assert_eq!(said, [&b"onetwo"[..], b"two", b"one", b"onesix"]);
        // The shorter runs stay for as long as a longer one goes on from them.
        bundles.release(one_alone);
        assert_eq!(bundles.bytes(other).to_vec(), b"onesix");
        [both, two_alone, other].into_iter().for_each(|run| bundles.release(run));
        assert_eq!(bundles.count(), 0);
    }

    #[test]
    fn receivers_on_different_wires_may_take_turns() {
        let (mut bundles, [one, two, six]) = (Bundles::default(), messages());
        let mut waiting = [None; 99];
        for (at, run) in waiting.iter_mut().enumerate() {
            *run = Some(extend(&mut bundles, None, [&one, &two, &six][at % 3]));
        }
        assert_eq!(bundles.runs.len(), 3);
        waiting.iter().flatten().for_each(|run| bundles.release(*run));
        assert!(bundles.count() == 0 && bundles.first == [None; 4]);
    }

    #[test]
    fn a_run_is_never_longer_than_is_allowed() {
        let (mut bundles, [one, two, six]) = (Bundles::default(), messages());
        let both = [&one, &two].into_iter().fold(None, |run, message| bundles.extend(run, message, 6));
        assert!(both.is_some_and(|both| bundles.extend(Some(both), &six, 6).is_none() && bundles.len(Some(both)) == 6));
        assert_eq!(bundles.extend(None, &Bytes::new(), 6), None);
    }

    #[test]
    fn a_table_that_many_different_messages_made_large_is_given_up_when_no_run_is_left() {
        let mut bundles = Bundles::default();
        let messages: Vec<Bytes> = (0..2000u32).map(|number| number.to_be_bytes().to_vec().into()).collect();
        let runs: Vec<RunKey> = messages.iter().map(|message| extend(&mut bundles, None, message)).collect();
        assert!(bundles.held_bytes() >= 2000 * size_of::<Run>() && !bundles.has_slack());
        runs.into_iter().for_each(|run| bundles.release(run));
        assert!(bundles.has_slack());
        bundles.trim();
        assert_eq!((bundles.held_bytes(), bundles.has_slack()), (0, false));
        let run = extend(&mut bundles, None, &messages[0]);
        bundles.trim();
        assert_eq!(bundles.bytes(run), &messages[0]);
    }

    #[test]
    fn a_message_is_told_from_one_that_lay_where_it_lies() {
        let mut bundles = Bundles::default();
        for round in 0..50u8 {
            // Allocators give the same place again.
            let message = Bytes::from(vec![round; 16]);
            let run = extend(&mut bundles, None, &message);
            drop(message);
            assert_eq!(bundles.bytes(run)[..], [round; 16]);
            bundles.release(run);
        }
    }
}
