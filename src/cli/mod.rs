//! The program: arguments in, one call, exit code out.
//!
//! Settings go one way: `options` defines them, `sources` finds what flags, environment and file say of them,
//! `configuration` lets the winners act on the defaults. Each command is a file with its arguments and a `run`.

use clap::Parser;
use std::fmt;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;

mod bench;
mod check;
mod configuration;
mod connect;
mod greeting;
mod hub;
mod hub_options;
mod logger;
mod machine;
mod nearest;
mod options;
mod panics;
mod post;
mod publish;
mod sections;
mod serve;
mod sources;
mod token;
mod values;

/// Long-connection gateway: very many TCP connections kept alive and told apart
#[derive(Parser, Debug)]
#[command(name = "tidegate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Accept connections and serve them, until SIGTERM or SIGINT
    Serve(sources::Flags),
    /// Talk to a server by hand: typed lines are sent, arrivals, losses and attempts are shown
    Connect(connect::Arguments),
    /// Measure load and latency of a server, with a load that watches itself
    Bench(bench::Arguments),
    /// Make a token for a user, to connect or to subscribe with
    Token(token::Arguments),
    /// Publish once through the HTTP API of a running hub
    Publish(publish::Arguments),
    /// Read a configuration as serve would, say what is wrong with it and where, and what of this machine runs out first
    Check(sources::Flags),
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(flags) => serve::run(flags),
            Self::Connect(arguments) => connect::run(&arguments),
            Self::Bench(arguments) => bench::run(&arguments),
            Self::Token(arguments) => token::run(arguments),
            Self::Publish(arguments) => publish::run(&arguments),
            Self::Check(flags) => check::run(flags),
        }
    }
}

/// Runs the program; the exit code is 0 for fine, 1 for failed while running, 2 for wrong usage or configuration.
pub fn main() -> ExitCode {
    let command = Arguments::parse().command;
    // A panic outside of every handler is our own slip; the hook has told it, and what remains is the exit code.
    match panic::catch_unwind(|| command.run()) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => failure.tell(),
        Err(_) => ExitCode::from(1),
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be, for each of these reasons.
    Usage(Vec<String>),
    /// It went wrong on the way.
    Running(String),
}

impl Failure {
    fn tell(self) -> ExitCode {
        let (reasons, code) = match self {
            Self::Usage(reasons) => (reasons, 2),
            Self::Running(reason) => (vec![reason], 1),
        };
        for reason in reasons {
            // Nobody may be left to read this; the exit code still tells.
            let _ = writeln!(io::stderr(), "error: {reason}");
        }
        ExitCode::from(code)
    }
}

/// Prints a line on stdout; a reader who went away is no reason to stop.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}
