//! `serve`: a configuration in, a gateway that listens and runs until it is drained.

use super::configuration::{Configuration, Reading};
use super::sources::Flags;
use super::values::App;
use super::{Failure, logger, machine, panics, say};
use crate::apps::{Broadcast, Echo};
use crate::connection::ListenWire;
use crate::gateway::Handler;
use crate::net::{EventLoop, ListenUrl, StartError};
use crate::wire::Wire;
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
    match configuration.app {
        App::Echo => serve(Echo, &configuration),
        App::Broadcast => serve(Broadcast, &configuration),
    }
}

fn serve<H: Handler>(handler: H, configuration: &Configuration) -> Result<(), Failure> {
    let room = machine::raise_descriptors();
    let mut gateway = EventLoop::new(handler, configuration.settings.clone()).map_err(failure)?;
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

/// What is running and what to do with it next.
fn greeting(configuration: &Configuration, urls: &[ListenUrl], room: Option<u64>) -> Vec<String> {
    let mut lines = vec![format!("tidegate {}, app {}", env!("CARGO_PKG_VERSION"), configuration.app)];
    lines.extend(urls.iter().map(|url| format!("listening on {url} ({})", framing(url, configuration))));
    let max = configuration.settings.max_connections;
    if let Some(room) = room.filter(|room| *room < max as u64) {
        lines.push(format!(
            "descriptors run out at {room} connections, before max_connections ({max}): see tidegate check"
        ));
    }
    lines.extend(urls.first().map(|url| attempt(configuration.app, url)));
    lines
}

fn framing(url: &ListenUrl, configuration: &Configuration) -> &'static str {
    match url.wire {
        ListenWire::Auto if url.tls => "TLS, and inside length prefix, line, HTTP or WebSocket",
        ListenWire::Auto if configuration.tls.certificate.is_some() => {
            "length prefix, line, HTTP, WebSocket, with or without TLS"
        }
        ListenWire::Auto => "length prefix, line, HTTP or WebSocket, told by the first bytes",
        ListenWire::Fixed(Wire::WebSocket) if url.tls => "HTTP and WebSocket over TLS",
        ListenWire::Fixed(Wire::WebSocket) => "HTTP and WebSocket",
        ListenWire::Fixed(Wire::Length) => "4-byte big-endian length, then the message",
        ListenWire::Fixed(Wire::Line) => "a message a line",
        ListenWire::Fixed(Wire::Raw) => "a message a read",
    }
}

/// A command that shows the gateway at work.
fn attempt(app: App, url: &ListenUrl) -> String {
    let target = dialled(url);
    match (app, url.wire) {
        (App::Broadcast, _) => format!("try in two terminals, typing in both: nc {target}"),
        (App::Echo, ListenWire::Fixed(Wire::Length)) => {
            format!(r"try: printf '\0\0\0\2hi' | nc -q1 {target} | od -c")
        }
        (_, _) if url.tls => format!("try: openssl s_client -quiet -connect {}", target.replace(' ', ":")),
        (App::Echo, ListenWire::Fixed(Wire::WebSocket)) => {
            format!("try: tidegate connect ws://{}, or curl http://{0}/health", target.replace(' ', ":"))
        }
        (App::Echo, ListenWire::Fixed(Wire::Raw)) => format!("try: printf ping | nc -q1 {target}"),
        (App::Echo, ListenWire::Auto | ListenWire::Fixed(Wire::Line)) => {
            format!(r"try: printf 'hi\nping\n' | nc -q1 {target}")
        }
    }
}

/// A listening address as `nc` dials it: a listener on every address is reached on this machine's own.
fn dialled(url: &ListenUrl) -> String {
    let Some((host, port)) = url.tcp_address().and_then(|address| address.rsplit_once(':')) else {
        return format!("-U {}", url.to_string().trim_start_matches("unix://"));
    };
    match host {
        "0.0.0.0" => format!("127.0.0.1 {port}"),
        "[::]" => format!("::1 {port}"),
        host => format!("{} {port}", host.trim_matches(['[', ']'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(app: App, url: &str, expected: &str) {
        assert_eq!(attempt(app, &url.parse().expect("a URL")), expected);
    }

    #[test]
    fn each_wire_has_a_command_to_try() {
        check(App::Echo, "auto://127.0.0.1:8000", r"try: printf 'hi\nping\n' | nc -q1 127.0.0.1 8000");
        check(App::Echo, "line://[::]:8000", r"try: printf 'hi\nping\n' | nc -q1 ::1 8000");
        check(App::Echo, "tcp://0.0.0.0:8000", r"try: printf '\0\0\0\2hi' | nc -q1 127.0.0.1 8000 | od -c");
        check(App::Echo, "raw://127.0.0.1:8000", "try: printf ping | nc -q1 127.0.0.1 8000");
        check(App::Echo, "unix:///run/tide.sock", r"try: printf 'hi\nping\n' | nc -q1 -U /run/tide.sock");
        check(App::Broadcast, "auto://127.0.0.1:8000", "try in two terminals, typing in both: nc 127.0.0.1 8000");
    }

    #[test]
    fn scarce_descriptors_are_told_at_the_start() {
        let told = |room| greeting(&Configuration::default(), &[], room).len();
        assert_eq!(told(Some(19_984)), 2);
        assert_eq!(told(Some(1_000_000)), 1);
        assert_eq!(told(None), 1);
    }

    #[test]
    fn an_address_in_use_is_told_with_its_url_and_the_mend() {
        let url = "auto://127.0.0.1:8000".parse().expect("a URL");
        let failed = failure(StartError::Listen { url, error: ErrorKind::AddrInUse.into() });
        let Failure::Running(told) = failed else { panic!("an address in use is not wrong usage") };
        assert!(told.contains("auto://127.0.0.1:8000") && told.contains("--listen"), "{told}");
    }
}
