//! The whole gateway on simulated sockets and a virtual clock, from one number.
//!
//! A seed decides everything ([`plan`]): settings, peers, which faults there are and when they strike. [`world`] drives
//! the real `Reactor` over [`net`] and [`pipes`], which tell of readiness exactly as an edge-triggered poll does;
//! [`peers`] follow scripts, [`customers`] are the crate's own reconnecting clients. A [`model`] reads what the sockets
//! and the [`handler`] have written into a [`journal`] and objects to whatever should not have happened, after every
//! call ([`reading`], [`handling`], [`door`]) and after every turn ([`check`]). [`endgame`] has it all come to an end.
//!
//! `TIDEGATE_SIM_SEED=123 cargo test --test sim -- one_seed --nocapture` shows one run; `TIDEGATE_SIM_SEEDS=2000` sets
//! how many `seeds_hold` runs; `TIDEGATE_SIM_SHRINK=0` leaves a failure as long as it is. `mutants.py` proves that it bites.

#![allow(unreachable_pub, reason = "nothing here is for another crate")]

#[macro_use]
mod situations;
mod check;
mod conn;
mod customers;
mod deeds;
mod dialling;
mod door;
mod endgame;
mod handler;
mod handling;
mod holding;
#[cfg(feature = "hub")]
mod hub;
mod incoming;
mod journal;
mod knobs;
mod model;
mod net;
mod outgoing;
mod peers;
mod pipes;
mod plan;
mod reading;
mod rng;
mod run;
mod seen;
mod shrink;
mod tally;
mod trace;
mod ways;
mod websocket;
mod wires;
mod world;

use plan::Plan;
use run::{Failure, Outcome, quiet_panics, run};
use seen::Seen;
use std::hash::{BuildHasher, RandomState};
use std::num::ParseIntError;

/// Events of one run.
const EVENTS: usize = 2000;
/// Seeds of the main test where nobody asks for more.
const SEEDS: u64 = 150;
/// Fresh seeds of every run.
const FRESH: u64 = 10;
/// Seeds run twice to compare.
const TWICE: u64 = 50;

#[test]
fn seeds_that_failed_once_hold() {
    let corpus = include_str!("corpus.txt").lines().filter_map(|line| line.split('#').next());
    let seeds: Result<Vec<u64>, ParseIntError> =
        corpus.map(str::trim).filter(|s| !s.is_empty()).map(str::parse).collect();
    hold(seeds.expect("each line of the corpus begins with a seed").into_iter(), &Seen::default());
}

#[test]
fn seeds_hold_and_reach_every_situation() {
    let seen = Seen::default();
    hold(0..asked("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS), &seen);
    for (name, count) in seen.counts() {
        println!("{count:>9}  {name}");
    }
    assert!(seen.missing().is_empty(), "never reached, so nothing was proved about: {:?}", seen.missing());
}

#[test]
fn fresh_seeds_hold() {
    let base = RandomState::new().hash_one(0u8) >> 16;
    println!("fresh seeds from {base}");
    hold(base..base + FRESH, &Seen::default());
}

#[test]
fn a_seed_always_runs_the_same() {
    quiet_panics();
    for seed in 0..TWICE {
        let hash = |_| run(&Plan::draw(seed, EVENTS / 4), &Seen::default(), false).hash;
        let hashes = [0, 1].map(hash);
        assert_eq!(hashes[0], hashes[1], "seed {seed} does not decide everything");
    }
}

/// Shows the run of `TIDEGATE_SIM_SEED`, where one is asked for.
#[test]
fn one_seed() {
    let Some(seed) = asked("TIDEGATE_SIM_SEED") else {
        return;
    };
    quiet_panics();
    let plan = Plan::draw(seed, EVENTS);
    let outcome = run(&plan, &Seen::default(), true);
    println!("{}", headline(&plan, &outcome));
    outcome.trace.iter().for_each(|line| println!("{line}"));
    if let Some(failure) = outcome.failure {
        report(&plan, &failure);
    }
}

/// Names every failing seed among `TIDEGATE_SIM_SURVEY` from `TIDEGATE_SIM_FROM` on, where that is asked for.
#[test]
fn survey() {
    quiet_panics();
    let from = asked("TIDEGATE_SIM_FROM").unwrap_or(0);
    for seed in from..from + asked("TIDEGATE_SIM_SURVEY").unwrap_or(0) {
        let outcome = run(&Plan::draw(seed, EVENTS), &Seen::default(), false);
        if let Some(Failure { step, violation, .. }) = outcome.failure {
            println!("seed {seed} at {step}: {} {:?} {}", violation.rule, violation.conn, violation.detail);
        }
    }
}

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value}")))
}

/// Runs seeds and fails with all that is known about the first that breaks a rule.
fn hold(seeds: impl Iterator<Item = u64>, seen: &Seen) {
    quiet_panics();
    let (mut count, mut events, mut entries, mut turns) = (0, 0, 0, 0);
    for seed in seeds {
        let plan = Plan::draw(seed, EVENTS);
        let outcome = run(&plan, seen, false);
        if let Some(failure) = outcome.failure {
            if asked("TIDEGATE_SIM_SHRINK") != Some(0) {
                report(&plan, &failure);
            }
            println!("seed {seed} broke a rule: {}", failure.violation.rule);
            panic!("seed {seed} breaks a rule: {}", failure.violation.rule);
        }
        (count, events) = (count + 1, events + outcome.events);
        (entries, turns) = (entries + outcome.entries, turns + outcome.turns);
    }
    println!("{count} seeds, {events} events, {turns} turns, {entries} journal entries");
}

fn headline(plan: &Plan, outcome: &Outcome) -> String {
    format!(
        "seed {}: {:?} {:?} {:?}, hash {:016x}, {} events, {} turns, {} entries\nfaults {:?}\n{:?}\n{:?}, {} chairs, {} clients, {:?}",
        plan.seed,
        plan.world,
        plan.mode,
        plan.ending,
        outcome.hash,
        outcome.events,
        outcome.turns,
        outcome.entries,
        plan.faults.names(),
        plan.settings,
        plan.listeners,
        plan.chairs,
        plan.clients,
        plan.habits
    )
}

/// Everything there is to say about a failure, the cut-down run last.
fn report(plan: &Plan, failure: &Failure) {
    println!("seed {} broke a rule at event {} of {}", plan.seed, failure.step, plan.actions.len());
    let (short, failure) = shrink::shrink(plan, failure);
    println!("{}", headline(&short, &run(&short, &Seen::default(), false)));
    println!("cut down to {} events:", short.actions.len());
    for action in &short.actions {
        println!("  {action:?}");
    }
    println!("trace:");
    failure.lines.iter().for_each(|line| println!("{line}"));
    let violation = failure.violation;
    println!("seed {} rule: {} {:?}: {}", plan.seed, violation.rule, violation.conn, violation.detail);
}
