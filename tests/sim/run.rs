//! Runs a plan from its first event to its end, and says what went wrong if anything did.

use crate::handler::HANDLER_PANIC;
use crate::model::{Verdict, Violation};
use crate::plan::Plan;
use crate::seen::Seen;
use crate::world::World;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub hash: u64,
    /// Events of the plan and entries of the journal.
    pub events: u64,
    pub entries: u64,
    pub turns: u64,
    pub failure: Option<Failure>,
    /// Everything that happened, where that was asked for.
    pub trace: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Failure {
    /// The event at which it happened; as many as there are where it was at the end.
    pub step: usize,
    pub violation: Violation,
    pub lines: Vec<String>,
}

/// Lines of a trace that are printed.
const LINES: usize = 150;

thread_local! {
    /// The last panic that was no handler's own.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Keeps panics quiet: those of handlers are part of the game, all others are told with the run that failed.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        if !text.contains(HANDLER_PANIC) {
            PANICKED.with_borrow_mut(|last| *last = Some(text));
        }
    }));
}

/// The last panic that was no handler's own, once.
#[cfg(feature = "hub")]
pub fn last_panic() -> Option<String> {
    PANICKED.take()
}

pub fn run(plan: &Plan, seen: &Seen, keeps_lines: bool) -> Outcome {
    PANICKED.take();
    let mut world = World::new(plan, seen.clone(), keeps_lines);
    let mut step = 0;
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world, &mut step)));
    let verdict = result.unwrap_or_else(|_| Err(World::fail("panicked", "")));
    let failure = verdict.err().map(|mut violation| {
        if let Some(text) = PANICKED.take() {
            violation.detail = format!("{} [{text}]", violation.detail);
        }
        let about = violation.conn;
        let lines = world.trace.tail(about, LINES).into_iter().map(str::to_owned).collect();
        Failure { step, violation, lines }
    });
    Outcome {
        hash: world.trace.hash(),
        events: plan.actions.len() as u64,
        entries: world.trace.entries,
        turns: world.turns,
        failure,
        trace: world.trace.tail(None, usize::MAX).into_iter().map(str::to_owned).collect(),
    }
}

fn play(world: &mut World<'_>, step: &mut usize) -> Verdict {
    let plan = world.plan;
    for action in &plan.actions {
        world.step(action)?;
        *step += 1;
        if world.reactor.gateway().is_drained() {
            break;
        }
    }
    world.finish()
}
