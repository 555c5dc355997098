//! A whole hub on simulated sockets and a simulated engine, from one number.
//!
//! A seed decides everything ([`plan`]). [`world`] drives the real `Reactor` with a real `HubApp` over the same pipes as
//! the gateway's own worlds; its [`engine`] answers late, refuses, fails and forgets. Clients of the test's own
//! ([`clients`], each connection a [`link`], each subscription in [`subs`]) and a [`backend`] hold whatever they are told
//! against the [`truth`]; [`endgame`] has it all come to an end.
//!
//! `TIDEGATE_SIM_SEED=123 cargo test --test sim -- one_hub_seed --nocapture` shows one run; `TIDEGATE_SIM_SEEDS=5000`
//! sets how many `hub_seeds_hold_and_reach_every_situation` runs.

mod backend;
mod clients;
mod deeds;
mod ear;
mod endgame;
mod engine;
mod link;
mod plan;
mod run;
mod seen;
mod subs;
mod truth;
mod world;

use crate::asked;
use crate::run::quiet_panics;
use plan::Plan;
use run::{report, run};
use seen::Seen;
use std::hash::{BuildHasher, RandomState};

/// Events of one run.
const EVENTS: usize = 300;
/// Seeds of the main test where nobody asks for more.
const SEEDS: u64 = 60;
/// Fresh seeds of every run.
const FRESH: u64 = 3;
/// Seeds run twice to compare.
const TWICE: u64 = 5;

#[test]
fn hub_seeds_that_failed_once_hold() {
    let lines = include_str!("corpus.txt").lines().filter_map(|line| line.split('#').next()).map(str::trim);
    let seeds: Result<Vec<u64>, _> = lines.filter(|line| !line.is_empty()).map(str::parse).collect();
    hold(seeds.expect("each line of the corpus begins with a seed").into_iter(), &Seen::default());
}

#[test]
fn hub_seeds_hold_and_reach_every_situation() {
    let seen = Seen::default();
    hold(0..asked("TIDEGATE_SIM_SEEDS").unwrap_or(SEEDS), &seen);
    for (name, count) in seen.counts() {
        println!("{count:>9}  {name}");
    }
    assert!(seen.missing().is_empty(), "never reached, so nothing was proved about: {:?}", seen.missing());
}

#[test]
fn fresh_hub_seeds_hold() {
    let base = RandomState::new().hash_one(0u8) >> 16;
    println!("fresh seeds from {base}");
    hold(base..base + FRESH, &Seen::default());
}

#[test]
fn a_hub_seed_always_runs_the_same() {
    quiet_panics();
    for seed in 0..TWICE {
        let hashes = [0, 1].map(|_| run(&Plan::draw(seed, EVENTS), &Seen::default(), false).hash);
        assert_eq!(hashes[0], hashes[1], "seed {seed} does not decide everything");
    }
}

/// Shows the run of `TIDEGATE_SIM_SEED`, where one is asked for.
#[test]
fn one_hub_seed() {
    let Some(seed) = asked("TIDEGATE_SIM_SEED") else {
        return;
    };
    quiet_panics();
    let plan = Plan::draw(seed, EVENTS);
    let outcome = run(&plan, &Seen::default(), true);
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("{}", run::headline(&plan));
    if let Some(failure) = outcome.failure {
        report(&plan, &failure);
    }
}

/// Names every failing seed among `TIDEGATE_SIM_SURVEY` from `TIDEGATE_SIM_FROM` on, where that is asked for.
#[test]
fn hub_survey() {
    quiet_panics();
    let from = asked("TIDEGATE_SIM_FROM").unwrap_or(0);
    for seed in from..from + asked("TIDEGATE_SIM_SURVEY").unwrap_or(0) {
        let outcome = run(&Plan::draw(seed, EVENTS), &Seen::default(), false);
        if let Some(failure) = outcome.failure {
            println!("seed {seed} at {}: {} {}", failure.step, failure.violation.rule, failure.violation.detail);
        }
    }
}

/// Runs seeds and fails with all that is known about the first that breaks a rule.
fn hold(seeds: impl Iterator<Item = u64>, seen: &Seen) {
    quiet_panics();
    let (mut count, mut turns) = (0, 0);
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
        (count, turns) = (count + 1, turns + outcome.turns);
    }
    println!("{count} seeds, {turns} turns");
}
