//! What `serve` says when it has started: where it listens, and what to try next. Secrets are not said.

use super::configuration::Configuration;
use super::values::App;
use crate::config::HubSettings;
use crate::connection::ListenWire;
use crate::net::ListenUrl;
use crate::wire::Wire;

/// What is running and what to do with it next.
pub(super) fn greeting(configuration: &Configuration, urls: &[ListenUrl], room: Option<u64>) -> Vec<String> {
    let mut lines = vec![format!("tidegate {}, app {}", env!("CARGO_PKG_VERSION"), configuration.app)];
    lines.extend(urls.iter().map(|url| format!("listening on {url} ({})", framing(url, configuration))));
    let max = configuration.settings.max_connections;
    if let Some(room) = room.filter(|room| *room < max as u64) {
        lines.push(format!(
            "descriptors run out at {room} connections, before max_connections ({max}): see tidegate check"
        ));
    }
    lines.extend(attempts(configuration, urls));
    lines.extend(configuration.access().map(str::to_owned));
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

/// Commands that show the gateway at work.
fn attempts(configuration: &Configuration, urls: &[ListenUrl]) -> Vec<String> {
    match (configuration.app, urls) {
        (_, []) => Vec::new(),
        (App::Hub, urls) => hub_attempts(&configuration.hub, urls),
        (App::Echo, [url, ..]) => vec![echo_attempt(url)],
        (App::Broadcast, [url, ..]) => vec![format!("try in two terminals, typing in both: nc {}", dialled(url))],
    }
}

fn echo_attempt(url: &ListenUrl) -> String {
    let target = dialled(url);
    match url.wire {
        ListenWire::Fixed(Wire::Length) => format!(r"try: printf '\0\0\0\2hi' | nc -q1 {target} | od -c"),
        _ if url.tls => format!("try: openssl s_client -quiet -connect {}", target.replace(' ', ":")),
        ListenWire::Fixed(Wire::WebSocket) => {
            format!("try: tidegate connect ws://{}, or curl http://{0}/health", target.replace(' ', ":"))
        }
        ListenWire::Fixed(Wire::Raw) => format!("try: printf ping | nc -q1 {target}"),
        ListenWire::Auto | ListenWire::Fixed(Wire::Line) => format!(r"try: printf 'hi\nping\n' | nc -q1 {target}"),
    }
}

/// Where clients connect, and how a back end publishes: where one of the listeners speaks HTTP.
fn hub_attempts(hub: &HubSettings, urls: &[ListenUrl]) -> Vec<String> {
    let speaks_http = |url: &&ListenUrl| matches!(url.wire, ListenWire::Auto | ListenWire::Fixed(Wire::WebSocket));
    let Some((url, (host, port))) =
        urls.iter().filter(speaks_http).find_map(|url| Some((url, url.tcp_address()?.rsplit_once(':')?)))
    else {
        return Vec::new();
    };
    let (secure, reached) = (if url.tls { "s" } else { "" }, reached(host));
    let mut lines = vec![format!("clients connect to ws{secure}://{reached}:{port}/connection/websocket")];
    let curl = |key: &str| {
        format!(
            r#"publish: curl {key}-d '{{"channel":"news","data":"hi"}}' http{secure}://{reached}:{port}/api/publish"#
        )
    };
    let is_loopback = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    lines.push(match &hub.api_key {
        Some(_) => curl(r#"-H "X-API-Key: $KEY" "#),
        None if hub.insecure || is_loopback => curl(""),
        None => format!("the API answers nobody on {host}: set api_key, or listen on 127.0.0.1 as well"),
    });
    lines
}

/// The host by which this machine reaches a listener.
fn reached(host: &str) -> &str {
    match host {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    }
}

/// A listening address as `nc` dials it: a listener on every address is reached on this machine's own.
fn dialled(url: &ListenUrl) -> String {
    let Some((host, port)) = url.tcp_address().and_then(|address| address.rsplit_once(':')) else {
        return format!("-U {}", url.to_string().trim_start_matches("unix://"));
    };
    format!("{} {port}", reached(host).trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(app: App, hub: HubSettings, url: &str) -> Vec<String> {
        let configuration = Configuration { app, hub, ..Configuration::default() };
        attempts(&configuration, &[url.parse().expect("a URL")])
    }

    #[track_caller]
    fn check(app: App, url: &str, expected: &str) {
        assert_eq!(told(app, HubSettings::default(), url), [expected]);
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
        let configuration = Configuration { app: App::Echo, ..Configuration::default() };
        let told = |room| greeting(&configuration, &[], room).len();
        assert_eq!(told(Some(19_984)), 2);
        assert_eq!(told(Some(1_000_000)), 1);
        assert_eq!(told(None), 1);
    }

    #[test]
    fn the_hub_says_where_clients_connect_and_how_to_publish() {
        let keyed = HubSettings { api_key: Some("k3y".to_owned()), ..HubSettings::default() };
        let data = r#"-d '{"channel":"news","data":"hi"}'"#;
        for (hub, url, connect, publish) in [
            (HubSettings::default(), "auto://127.0.0.1:8000", "ws://127.0.0.1:8000", "curl {} http://127.0.0.1:8000"),
            (keyed, "wss://[::]:1", "wss://[::1]:1", r#"curl -H "X-API-Key: $KEY" {} https://[::1]:1"#),
        ] {
            let publish = format!("publish: {}/api/publish", publish.replace("{}", data));
            assert_eq!(
                told(App::Hub, hub, url),
                [format!("clients connect to {connect}/connection/websocket"), publish]
            );
        }
        assert!(told(App::Hub, HubSettings::default(), "auto://0.0.0.0:1")[1].contains("set api_key"));
        assert_eq!(told(App::Hub, HubSettings::default(), "line://127.0.0.1:1"), [""; 0]);
    }

    #[test]
    fn who_is_let_in_is_told_where_it_is_everybody_or_nobody() {
        let told = |change: fn(&mut HubSettings)| {
            let mut configuration = Configuration::default();
            change(&mut configuration.hub);
            greeting(&configuration, &[], None).last().expect("a line").clone()
        };
        assert!(told(|_| ()).starts_with("no client can connect yet: set token_hmac_secret"));
        assert!(told(|hub| hub.insecure = true).starts_with("INSECURE: "));
        assert!(told(|hub| hub.allow_anonymous = true).starts_with("tidegate "));
        assert!(told(|hub| hub.tokens.hmac_secrets.push("x".to_owned())).starts_with("tidegate "));
    }
}
