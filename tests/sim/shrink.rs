//! Cuts a failing run down: fewer events, fewer faults beside them, as long as the same rule breaks.

use crate::plan::Plan;
use crate::run::{Failure, Outcome, run};
use crate::seen::Seen;

/// Runs spent on one failure, and what they may come to together.
const MAX_RUNS: usize = 600;
const MAX_TURNS: u64 = 2_000_000;

/// The shortest failing plan that was found, and how it fails.
pub fn shrink(plan: &Plan, failure: &Failure) -> (Plan, Failure) {
    let rule = failure.violation.rule;
    let mut best = plan.clone();
    best.actions.truncate(failure.step + 1);
    if !breaks(&run(&best, &Seen::default(), false), rule) {
        best = plan.clone();
    }
    let (mut runs, mut turns) = (0, 0);
    let mut chunk = best.actions.len().div_ceil(2);
    while chunk > 0 && runs < MAX_RUNS && turns < MAX_TURNS {
        let before = best.actions.len();
        let mut at = 0;
        while at < best.actions.len() && runs < MAX_RUNS && turns < MAX_TURNS {
            let mut fewer = best.clone();
            fewer.actions.drain(at..(at + chunk).min(best.actions.len()));
            let outcome = run(&fewer, &Seen::default(), false);
            (runs, turns) = (runs + 1, turns + outcome.turns);
            if breaks(&outcome, rule) { best = fewer } else { at += chunk }
        }
        if best.actions.len() == before {
            chunk /= 2;
        }
    }
    let lines = run(&best, &Seen::default(), true).failure;
    let failure = lines.unwrap_or_else(|| failure.clone());
    (best, failure)
}

fn breaks(outcome: &Outcome, rule: &str) -> bool {
    outcome.failure.as_ref().is_some_and(|failure| failure.violation.rule == rule)
}
