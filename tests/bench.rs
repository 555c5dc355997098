//! The program's `bench` against the program's own `serve`, and against servers that answer wrongly on purpose: figures
//! that add up, faults that are noticed, exit codes, and the words of wrong usage. Nothing here is timed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate");

/// A `tidegate serve` on a free port, killed when dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(scheme: &str, arguments: &[&str]) -> Self {
        let mut process = program("serve")
            .args(["--listen", &format!("{scheme}://127.0.0.1:0")])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listens = lines.find_map(|line| port_in(&line.unwrap())).expect("it says where it listens");
        // What it says later must not fill the pipe.
        thread::Builder::new().spawn(move || lines.count()).unwrap();
        Self { process, port: listens }
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://127.0.0.1:{}{path}", self.port)
    }

    fn pid(&self) -> String {
        self.process.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn port_in(line: &str) -> Option<u16> {
    let behind = line.split_once("127.0.0.1:")?.1;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn program(command: &str) -> Command {
    let mut program = Command::new(PROGRAM);
    program.arg(command).env_clear().stdin(Stdio::null());
    program
}

fn bench(arguments: &[&str]) -> Output {
    program("bench").args(arguments).output().unwrap()
}

/// What a bench printed, which must have gone well.
fn measured(arguments: &[&str]) -> Value {
    let output = bench(&[arguments, &["--json", "--quiet"]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    assert!(told.is_empty(), "{arguments:?}: {told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(arguments: &[&str], code: i32, part: &str) {
    let output = bench(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(told.contains(part), "{arguments:?} should tell {part:?}: {told}");
}

/// All of `count` came, in the window; in an open loop, which does not pause before it, also what was under way then.
fn check_arithmetic(json: &Value, count: u64) {
    let number = |value: &Value| value.as_f64().unwrap();
    assert_eq!(json["latency_us"]["count"], count);
    let done = (number(&json["rate"]) * number(&json["seconds"])).round();
    assert!(done == count as f64 || !json["settings"]["rate"].is_null() && done > count as f64, "{done}, not {count}");
    let rows: u64 = json["series"].as_array().unwrap().iter().map(|row| row["count"].as_u64().unwrap()).sum();
    assert_eq!(rows as f64, done, "the rows add up");
    let latency = &json["latency_us"];
    let order = ["min", "p50", "p90", "p99", "p99_9", "p99_99", "max"].map(|name| number(&latency[name]));
    assert!(order.is_sorted() && order[0] > 0.0, "{latency}");
    assert!(json["errors"].as_object().unwrap().is_empty(), "{}", json["errors"]);
    assert!(number(&json["load"]["cpu_us_per_message"]) > 0.0);
    assert!(!json["verdict"]["words"].as_array().unwrap().is_empty());
}

#[test]
fn echoes_add_up_on_every_wire_and_at_every_depth() {
    for (listen, scheme) in [("ws", "ws"), ("tcp", "tcp"), ("line", "line"), ("raw", "raw")] {
        let server = Server::start(listen, &["--app", "echo"]);
        for (depth, size) in [("1", "64"), ("7", "20000"), ("3", "1")] {
            let url = server.url(scheme, "");
            let common =
                ["--connections", "5", "--warm-up", "10ms", "--messages", "1000", "--server-pid", &server.pid()];
            let json = measured(&[&["echo", &url, "--depth", depth, "--size", size][..], &common].concat());
            check_arithmetic(&json, 1000);
            assert_eq!((&json["counts"]["messages"], &json["counts"]["unanswered"]), (&1000.into(), &0.into()));
            assert!(json["server"]["cpu_us_per_message"].as_f64().unwrap() > 0.0);
        }
    }
}

#[test]
fn an_open_loop_sends_what_was_asked_for_and_says_how_late_it_was() {
    let server = Server::start("ws", &["--app", "echo"]);
    let url = server.url("ws", "");
    let json = measured(&["echo", &url, "--rate", "2000", "--messages", "1000", "--warm-up", "0s", "--text"]);
    check_arithmetic(&json, 1000);
    let seconds = json["seconds"].as_f64().unwrap();
    assert!(seconds > 0.49, "a thousand at 2000 a second take half a second: {seconds}");
    assert!(json["load"]["late_us"]["max"].as_f64().unwrap() > 0.0);
}

#[test]
fn several_servers_and_sources_share_the_connections() {
    let (one, other) = (Server::start("ws", &["--app", "echo"]), Server::start("tcp", &["--app", "echo"]));
    let urls = [one.url("ws", "/x?y=z"), other.url("tcp", "")];
    let json = measured(&["echo", &urls[0], &urls[1], "--sources", "3", "--connections", "9", "--messages", "500"]);
    check_arithmetic(&json, 500);
    assert_eq!(json["targets"].as_array().unwrap().len(), 2);
}

#[test]
fn publications_reach_all_receivers_of_a_broadcast_and_of_a_hub() {
    for scheme in ["ws", "tcp", "line", "raw"] {
        let server = Server::start(scheme, &["--app", "broadcast"]);
        let url = server.url(scheme, "");
        let json =
            measured(&["fanout", &url, "--connections", "7", "--publishers", "2", "--depth", "3", "--messages", "30"]);
        check_arithmetic(&json, 210);
    }
    let shy = Server::start("auto", &["--app", "broadcast"]);
    let json = measured(&["fanout", &shy.url("line", ""), "--connections", "3", "--messages", "20"]);
    check_arithmetic(&json, 60);
    let hub = Server::start("auto", &["--insecure"]);
    for url in [hub.url("ws", "/connection/websocket"), hub.url("line", ""), hub.url("tcp", "")] {
        let channels = ["--channel", "c", "--channels", "3", "--connections", "6", "--messages", "30"];
        let json = measured(&[&["fanout", &url, "--depth", "5"][..], &channels].concat());
        check_arithmetic(&json, 60);
        assert_eq!(json["counts"]["lost"], 0);
        let json = measured(&[&["fanout", &url, "--rate", "500"][..], &channels].concat());
        check_arithmetic(&json, 60);
    }
}

#[test]
fn held_connections_are_counted_and_what_they_cost_is_told() {
    let hub = Server::start("auto", &["--insecure"]);
    let url = hub.url("ws", "/connection/websocket");
    let held = ["--connections", "300", "--duration", "300ms", "--warm-up", "100ms", "--server-pid", &hub.pid()];
    let json = measured(&[&["idle", &url, "--channel", "c", "--channels", "300"][..], &held].concat());
    assert_eq!((&json["counts"]["connections"], &json["counts"]["lost"]), (&300.into(), &0.into()));
    assert!(json["server"]["rss_anon_per_connection"].as_f64().unwrap() > 50.0, "{}", json["server"]);
    assert_eq!(json["verdict"]["bottleneck"], "none");
}

#[test]
fn lives_are_counted_and_clients_that_come_back_recover() {
    let hub = Server::start("auto", &["--insecure"]);
    for (url, channel) in [(hub.url("ws", "/connection/websocket"), "c"), (hub.url("line", ""), "d")] {
        let json = measured(&["storm", &url, "--channel", channel, "--connections", "200", "--warm-up", "10ms"]);
        check_arithmetic(&json, 200);
        let back = ["--reconnect", "--connections", "50", "--channel", channel];
        let json = measured(&[&["storm", &url][..], &back, &["--missed", "20"]].concat());
        let counts = &json["counts"];
        assert_eq!((&counts["whole"], &counts["recovered"], &counts["lost"]), (&50.into(), &1000.into(), &0.into()));
        let json = measured(&[&["storm", &url][..], &back, &["--missed", "500"]].concat());
        assert_eq!(json["counts"]["unrecovered"], 50, "the history holds a hundred");
    }
}

/// A server on lines that answers by what a function makes of each.
fn wrong_server(answer: fn(usize, &str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("line://{}", listener.local_addr().unwrap());
    let serve = move |stream: TcpStream| {
        let mut out = stream.try_clone().unwrap();
        for (number, line) in BufReader::new(stream).lines().map_while(Result::ok).enumerate() {
            if out.write_all(answer(number, &line).as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new()
        .spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::Builder::new().spawn(move || serve(stream)).unwrap();
            }
        })
        .unwrap();
    url
}

#[test]
fn a_server_that_answers_wrongly_is_noticed_and_the_exit_code_says_so() {
    let short = ["--connections", "2", "--depth", "4", "--warm-up", "0s", "--duration", "200ms", "--timeout", "300ms"];
    for (answer, part) in [
        (
            (|number, line| if number == 9 { format!("{line}!\n") } else { format!("{line}\n") })
                as fn(usize, &str) -> String,
            "other bytes",
        ),
        (|number, line| if number == 9 { String::new() } else { format!("{line}\n") }, "other bytes"),
        (|number, line| if number == 9 { format!("{line}\n{line}\n") } else { format!("{line}\n") }, "other bytes"),
    ] {
        let url = wrong_server(answer);
        let output = bench(&[&["echo", &url, "--json", "--quiet"][..], &short].concat());
        assert_eq!(output.status.code(), Some(1));
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors = json["errors"].to_string();
        assert!(errors.contains(part), "{errors}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("not what was sent"), "{told}");
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let url = wrong_server(|_, _| String::new());
    let arguments = ["echo", &url, "--connections", "1", "--warm-up", "0s", "--timeout", "200ms", "--quiet"];
    refused(&arguments, 1, "nothing came back for 200ms");
}

#[test]
fn a_close_is_told_with_its_code_and_words() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    thread::Builder::new()
        .spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut socket = tungstenite::accept(stream).unwrap();
                let _ = socket.read();
                let frame = tungstenite::protocol::CloseFrame { code: 3503.into(), reason: "go away".into() };
                let _ = socket.close(Some(frame));
                while socket.read().is_ok() {}
            }
        })
        .unwrap();
    let arguments = ["echo", &url, "--connections", "1", "--warm-up", "0s", "--duration", "1s", "--quiet"];
    refused(&arguments, 1, "closed by the server with 3503: go away");
}

#[test]
fn what_cannot_be_reached_is_one_clear_sentence() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("ws://127.0.0.1:{port}");
    for kind in ["echo", "fanout", "idle", "storm"] {
        let output = bench(&[kind, &url, "--quiet"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{kind}: {told}");
        assert!(told.contains(&url) && told.contains("connection refused"), "{kind}: {told}");
    }
    let hub = Server::start("auto", &["--insecure"]);
    refused(&["fanout", &hub.url("ws", "/"), "--channel", "c"], 1, "/connection/websocket");
    let strict = Server::start("auto", &[]);
    refused(&["fanout", &strict.url("line", ""), "--channel", "c", "--quiet"], 1, "connect refused with 101");
}

#[test]
fn wrong_usage_names_the_flag_its_value_and_the_mend() {
    let url = "ws://127.0.0.1:1";
    refused(&["echo"], 2, "URL");
    refused(&["echo", "http://x"], 2, "begin with ws://");
    refused(&["echo", url, "--size", "64K"], 2, "such as 64KiB");
    refused(&["echo", url, "--rate", "0"], 2, "above 0");
    refused(&["echo", url, "--rate", "5", "--depth", "2"], 2, "cannot be used with");
    refused(&["echo", url, "--connections", "0"], 2, "choose 1 or more");
    refused(&["echo", url, "--duration", "10"], 2, "such as 500ms");
    refused(&["echo", url, "--sources", "0"], 2, "choose 1 to 254");
    refused(&["echo", url, "--tls-ca", "x.pem"], 2, "--tls-ca is for wss://");
    refused(&["echo", url, "--server-pid", "4194999"], 2, "--server-pid 4194999");
    refused(&["echo", "raw://127.0.0.1:1", "--size", "0"], 2, "raw:// has no empty messages");
    refused(&["fanout", url, "--size", "10"], 2, "--size 10: choose 40");
    refused(&["fanout", url, "--channels", "3"], 2, "--channel");
    refused(&["fanout", url, "--channel", "c", "--channels", "300"], 2, "each channel needs a receiver");
    refused(&["storm", url, "--missed", "3"], 2, "--channel");
    refused(&["echo", url, "--connections", "16000000"], 2, "descriptors run out at");
}

#[test]
fn an_interrupt_ends_it_early_and_what_was_measured_is_shown() {
    let server = Server::start("ws", &["--app", "echo"]);
    let url = server.url("ws", "");
    let mut process = program("bench")
        .args(["echo", &url, "--duration", "1h", "--warm-up", "0s", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line of progress says that it runs.
    let mut progress = BufReader::new(process.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.contains("messages/s"), "{line}");
    let killed = Command::new("kill").args(["-INT", &process.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let (mut told, mut rest) = (String::new(), String::new());
    process.stdout.take().unwrap().read_to_string(&mut told).unwrap();
    progress.read_to_string(&mut rest).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0), "{rest}");
    let json: Value = serde_json::from_str(&told).unwrap();
    assert!(json["interrupted"] == true && json["counts"]["messages"].as_u64().unwrap() > 0);
    assert!(rest.contains("ended early"), "the table goes to stderr: {rest}");
}

#[test]
fn a_report_is_one_page_that_needs_nothing_else() {
    let server = Server::start("ws", &["--app", "echo"]);
    let url = server.url("ws", "");
    let path = std::env::temp_dir().join(format!("tidegate-bench-{}.html", std::process::id()));
    let path = path.to_str().unwrap();
    measured(&["echo", &url, "--duration", "2100ms", "--warm-up", "0s", "--report", path]);
    let page = std::fs::read_to_string(path).unwrap();
    std::fs::remove_file(path).unwrap();
    assert_eq!(page.matches("<svg").count(), 3, "three charts");
    assert!(page.contains(&url) && page.ends_with("</html>\n") && !page.contains("NaN"));
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside}");
    }
}
