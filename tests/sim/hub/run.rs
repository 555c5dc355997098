//! Runs a plan from its first event to its end, says what went wrong if anything did, and cuts a failing run down.

use super::plan::Plan;
use super::seen::Seen;
use super::world::World;
use crate::model::{Verdict, Violation};
use crate::run::last_panic;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    pub hash: u64,
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
}

/// Lines of a trace that are printed.
const LINES: usize = 150;
/// Runs spent on cutting one failure down.
const MAX_RUNS: usize = 600;

pub fn run(plan: &Plan, seen: &Seen, keeps_lines: bool) -> Outcome {
    last_panic();
    let mut world = World::new(plan, seen.clone(), keeps_lines);
    let mut step = 0;
    let result = catch_unwind(AssertUnwindSafe(|| play(&mut world, &mut step)));
    let panicked = || Err(Violation { rule: "panicked", detail: String::new(), conn: None });
    let verdict = result.unwrap_or_else(|_| panicked());
    let failure = verdict.err().map(|mut violation| {
        if let Some(text) = last_panic() {
            violation.detail = format!("{} [{text}]", violation.detail);
        }
        Failure { step, violation }
    });
    Outcome {
        hash: world.trace.hash(),
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
    }
    world.finish()
}

pub fn headline(plan: &Plan) -> String {
    format!(
        "seed {}: {:?}, {} clients, {:?}, splits {}, room {}\n{:?}\n{:?}",
        plan.seed, plan.temper, plan.clients, plan.channels, plan.splits, plan.room, plan.settings, plan.hub
    )
}

/// Everything there is to say about a failure, the cut-down run last.
pub fn report(plan: &Plan, failure: &Failure) {
    println!("seed {} broke a rule at event {} of {}", plan.seed, failure.step, plan.actions.len());
    let short = shrink(plan, failure);
    println!("{}\ncut down to {} events:", headline(&short), short.actions.len());
    short.actions.iter().for_each(|action| println!("  {action:?}"));
    let outcome = run(&short, &Seen::default(), true);
    println!("trace:");
    outcome.trace[outcome.trace.len().saturating_sub(LINES)..].iter().for_each(|line| println!("{line}"));
    let violation = outcome.failure.map_or_else(|| failure.violation.clone(), |failure| failure.violation);
    println!("seed {} rule: {} {}", plan.seed, violation.rule, violation.detail);
}

/// The shortest failing plan that was found: fewer events, as long as the same rule breaks.
fn shrink(plan: &Plan, failure: &Failure) -> Plan {
    let breaks = |plan: &Plan| {
        run(plan, &Seen::default(), false).failure.is_some_and(|other| other.violation.rule == failure.violation.rule)
    };
    let mut best = plan.clone();
    best.actions.truncate(failure.step + 1);
    if !breaks(&best) {
        best = plan.clone();
    }
    let (mut runs, mut chunk) = (0, best.actions.len().div_ceil(2));
    while chunk > 0 && runs < MAX_RUNS {
        let (before, mut at) = (best.actions.len(), 0);
        while at < best.actions.len() && runs < MAX_RUNS {
            let mut fewer = best.clone();
            fewer.actions.drain(at..(at + chunk).min(best.actions.len()));
            runs += 1;
            if breaks(&fewer) { best = fewer } else { at += chunk }
        }
        if best.actions.len() == before {
            chunk /= 2;
        }
    }
    best
}
