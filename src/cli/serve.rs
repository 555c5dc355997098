//! `serve`: a configuration in, a gateway that listens and runs until it is drained.

use super::configuration::{Configuration, Reading};
use super::greeting::greeting;
use super::sources::Flags;
use super::values::App;
use super::{Failure, hub, logger, machine, panics, say};
use crate::apps::{Broadcast, Echo};
use crate::gateway::Handler;
use crate::net::{EventLoop, StartError};
use std::env;
use std::io::ErrorKind;

/// Serves until a signal has drained the gateway.
pub(super) fn run(flags: Flags) -> Result<(), Failure> {
    let Reading { configuration, problems, warnings, .. } =
        Reading::of(flags.gather(&env::vars_os().collect::<Vec<_>>()));
    if !problems.is_empty() {
        return Err(Failure::Usage(problems));
    }
    logger::install(configuration.log_level);
    panics::log_them();
    for warning in warnings {
        log::warn!("{warning}");
    }
    if let Some(access) = configuration.access().filter(|_| configuration.hub.insecure) {
        log::warn!("{access}");
    }
    match configuration.app {
        App::Hub => serve(hub::hub(&configuration.hub)?, &configuration),
        App::Echo => serve(Echo, &configuration),
        App::Broadcast => serve(Broadcast, &configuration),
    }
}

fn serve<H: Handler>(handler: H, configuration: &Configuration) -> Result<(), Failure> {
    let room = machine::raise_descriptors();
    let mut gateway = EventLoop::new(handler, configuration.settings.clone()).map_err(failure)?;
    gateway.set_busy_poll(configuration.busy_poll);
    if let Some(files) = configuration.tls.files() {
        gateway.serve_tls(files).map_err(|error| Failure::Usage(vec![error.to_string()]))?;
    }
    let mut urls = Vec::new();
    for url in &configuration.listen {
        urls.push(gateway.listen(url, configuration.listen_options()).map_err(failure)?);
    }
    gateway.drain_on_signals().map_err(|error| Failure::Running(format!("signals cannot be caught: {error}")))?;
    greeting(configuration, &urls, room).iter().for_each(say);
    gateway.run().map_err(|error| Failure::Running(format!("the event loop failed: {error}")))
}

/// A setting at fault is wrong usage; everything else is the machine's answer.
fn failure(error: StartError) -> Failure {
    match &error {
        StartError::Setting(_) => Failure::Usage(vec![error.to_string()]),
        StartError::Listen { error: cause, .. } => Failure::Running(format!("{error}; {}", mend(cause.kind()))),
        StartError::Poll(_) => Failure::Running(error.to_string()),
    }
}

fn mend(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "stop what listens there (ss -lntxp shows it), or choose another port with --listen",
        ErrorKind::PermissionDenied => "choose a port from 1024 on, or a path where this user may write",
        ErrorKind::AddrNotAvailable => "choose an address of this machine, or 0.0.0.0 for all",
        _ => "choose another address with --listen",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_told_with_its_url_and_the_mend() {
        let url = "auto://127.0.0.1:8000".parse().expect("a URL");
        let failed = failure(StartError::Listen { url, error: ErrorKind::AddrInUse.into() });
        let Failure::Running(told) = failed else { panic!("an address in use is not wrong usage") };
        assert!(told.contains("auto://127.0.0.1:8000") && told.contains("--listen"), "{told}");
    }
}
