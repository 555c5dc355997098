//! Ten thousand to a million connections on the real gateway, over sockets without a kernel and on a virtual clock: what
//! each takes in memory, what an event costs, how long the longest turn lasts, what heartbeats cost.
//!
//! `cargo bench --bench scale -- [SIZE]... [--kind hub|ws|length]... [--batch EVENTS]`; by default 10000 100000 1000000
//! and every kind. Each run is a process of its own, so that no other's memory is in its figures; `--run --kind KIND SIZE`
//! makes just that one here (with `--wall` under valgrind, where the CPU's clock can't be read).

#![allow(unreachable_pub, reason = "modules of a program")]

mod bytes;
mod hub;
mod meter;
mod plain;
mod report;
mod stub;
mod twin;
mod world;

use report::Tables;
use std::process::{Command, ExitCode, Stdio};
use tidegate::gateway::MAX_EVENTS;
use tidegate::wire::Wire;

const KINDS: [&str; 3] = ["length", "ws", "hub"];
const SIZES: [usize; 3] = [10_000, 100_000, 1_000_000];
/// Sizes are multiples of this: channels of a thousand have to come out even.
const UNIT: usize = 1000;

struct Options {
    sizes: Vec<usize>,
    kinds: Vec<String>,
    batch: usize,
    /// This process is one run.
    is_run: bool,
}

fn main() -> ExitCode {
    match options() {
        Ok(options) if options.is_run => run(&options),
        Ok(options) => return run_all(&options),
        Err(wrong) => {
            eprintln!("error: {wrong}\nusage: scale [SIZE]... [--kind hub|ws|length]... [--batch 1..{MAX_EVENTS}]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn options() -> Result<Options, String> {
    let mut options = Options { sizes: Vec::new(), kinds: Vec::new(), batch: MAX_EVENTS, is_run: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            // Cargo adds it.
            "--bench" => {}
            "--run" => options.is_run = true,
            "--wall" => meter::use_wall_clock(),
            "--kind" => {
                options.kinds.push(arguments.next().filter(|kind| KINDS.contains(&&**kind)).ok_or("which kind?")?)
            }
            "--batch" => {
                let batch = arguments.next().and_then(|text| text.parse().ok());
                options.batch =
                    batch.filter(|batch| (1..=MAX_EVENTS).contains(batch)).ok_or("--batch is too large, or 0")?;
            }
            size => options.sizes.push(parse_size(size)?),
        }
    }
    if options.sizes.is_empty() {
        options.sizes = SIZES.to_vec();
    }
    if options.kinds.is_empty() {
        options.kinds = KINDS.map(str::to_owned).to_vec();
    }
    Ok(options)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let size = text.replace('_', "").parse::<usize>().ok().filter(|size| (1..=10_000).contains(&(size / UNIT)));
    let size = size.filter(|size| size.is_multiple_of(UNIT));
    size.ok_or_else(|| format!("a size is a multiple of {UNIT}, up to 10,000,000, not {text}"))
}

fn run(options: &Options) {
    for (kind, size) in options.kinds.iter().zip(&options.sizes) {
        match kind.as_str() {
            "hub" => hub::run(*size, options.batch),
            "ws" => plain::run(*size, Wire::WebSocket, options.batch),
            _ => plain::run(*size, Wire::Length, options.batch),
        }
        twin::run(*size, options.batch);
    }
}

fn run_all(options: &Options) -> ExitCode {
    let mut tables = Tables::default();
    for kind in &options.kinds {
        for size in &options.sizes {
            eprintln!("{kind}, {size} connections");
            let output = std::env::current_exe().and_then(|program| {
                let (size, batch) = (size.to_string(), options.batch.to_string());
                let arguments = ["--run", "--kind", kind, "--batch", &batch, &size];
                Command::new(program).args(arguments).stderr(Stdio::inherit()).output()
            });
            match output {
                Ok(output) if output.status.success() => {
                    tables.take(kind, *size, &String::from_utf8_lossy(&output.stdout));
                }
                Ok(output) => {
                    eprintln!("error: the run ended with {}", output.status);
                    return ExitCode::FAILURE;
                }
                Err(error) => {
                    eprintln!("error: the run could not be started: {error}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    tables.print(&options.sizes);
    ExitCode::SUCCESS
}
