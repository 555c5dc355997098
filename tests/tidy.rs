//! The rules of the house that the compiler does not check: who may use whom, how large a file may be, what the docs
//! must name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate::connection::CloseReason;

/// Rooms by level. A room may use rooms of lower levels, and what stands beside it in the same list entry.
const LEVELS: [&[&str]; 9] = [
    &["buffer", "config", "stats", "timer", "wire"],
    &["connection"],
    &["gateway", "client"],
    &["engine", "load"],
    &["hub"],
    &["admin"],
    &["apps"],
    &["net"],
    &["cli"],
];
const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `src`, with its path from there.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut files, mut folders) = (Vec::new(), vec![root().join("src")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
                _ => {}
            }
        }
    }
    let from_src = |path: PathBuf| path.strip_prefix(root().join("src")).unwrap().to_owned();
    files.into_iter().map(|path| (from_src(path.clone()), fs::read_to_string(path).unwrap())).collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "twin.rs")))
}

/// The lines of a file up to its tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn level(room: &str) -> Option<usize> {
    LEVELS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that `text` names after `crate::`.
fn used(text: &str) -> BTreeSet<&str> {
    let names = text.split("crate::").skip(1);
    names.filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()).collect()
}

/// Fails with every complaint at once.
fn check(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_room_has_a_level() {
    let top = sources().into_iter().filter(|(path, _)| !matches!(room(path).as_str(), "lib" | "main"));
    check(top.filter(|(path, _)| level(&room(path)).is_none()).map(|(path, _)| path.display().to_string()).collect());
}

#[test]
fn rooms_use_lower_rooms_only() {
    let mut complaints = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| level(&room(path)).is_some() && !is_test(path)) {
        let own = room(path);
        let too_high = |other: &&&str| **other != own && level(other).is_some_and(|of| Some(of) >= level(&own));
        for other in used(production(text)).iter().filter(too_high) {
            complaints.push(format!("{}: {own} must not use {other}", path.display()));
        }
    }
    check(complaints);
}

#[test]
fn only_net_and_the_program_know_the_operating_system() {
    let mut complaints = Vec::new();
    let names = ["mio::", "std::net::Tcp", "std::os::unix", "std::thread", "Instant", "SystemTime", "std::fs"];
    for (path, text) in sources() {
        let outside = matches!(room(&path).as_str(), "net" | "cli" | "main") || is_test(&path);
        for name in names.iter().filter(|name| !outside && production(&text).contains(**name)) {
            complaints.push(format!("{} names {name}", path.display()));
        }
    }
    check(complaints);
}

#[test]
fn files_stay_small_enough_to_read() {
    let mut complaints = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let lines = production(text).lines().count();
        if lines > MAX_LINES {
            complaints.push(format!("{} has {lines} lines", path.display()));
        }
    }
    check(complaints);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|(_, text)| !text.starts_with("//! "));
    check(silent.map(|(path, _)| path.display().to_string()).collect());
}

#[test]
fn every_setting_stands_in_the_operators_manual() {
    let manual = fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let mut names = fields("src/config/settings.rs", "Settings");
    names.extend(fields("src/config/hub.rs", "HubSettings"));
    names.extend(fields("src/config/hub.rs", "Namespace"));
    // These two are written as others: keys by names that begin with `token_`, namespaces as tables.
    names.retain(|name| !matches!(name.as_str(), "tokens" | "namespaces"));
    assert!(names.len() > 45, "the settings are found");
    check(names.into_iter().filter(|name| !manual.contains(&format!("`{name}`"))).collect());
}

/// The names of the public fields of a struct.
fn fields(file: &str, name: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let fields = text.split(&format!("pub struct {name} {{")).nth(1).unwrap().split("\n}").next().unwrap();
    let names = fields.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next());
    names.map(str::to_owned).collect()
}

#[test]
fn every_close_reason_and_its_code_stand_in_the_protocol() {
    let protocol = fs::read_to_string(root().join("docs/PROTOCOL.md")).unwrap();
    let row = |reason: CloseReason| format!("| `{}` | {} |", reason.name(), reason.advice().code);
    check(CloseReason::all().map(row).filter(|row| !protocol.contains(row.as_str())).collect());
}

#[test]
fn the_bare_library_depends_on_four_crates_and_what_they_bring() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--no-default-features", "--prefix", "depth"])
        .current_dir(root())
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crate_of = |line: &str, depth: &str| Some(line.strip_prefix(depth)?.split(' ').next()?.to_owned());
    let direct: BTreeSet<String> = tree.lines().filter_map(|line| crate_of(line, "1")).collect();
    assert_eq!(direct, ["bytes", "log", "mio", "slab"].map(String::from).into());
    let brought: BTreeSet<String> = tree.lines().filter_map(|line| crate_of(line, "2")).collect();
    assert!(brought.is_subset(&["libc", "log", "wasi", "windows-sys"].map(String::from).into()), "{brought:?}");
}
