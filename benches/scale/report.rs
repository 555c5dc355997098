//! What one run tells, a line a figure, and the tables made of the lines of many.

use crate::meter::Tally;
use std::collections::BTreeMap;
use tidegate::gateway::{Gateway, Handler};

/// A figure of a run: what it is, and its value.
pub fn tell(table: &str, name: &str, value: impl std::fmt::Display) {
    println!("{table}\t{name}\t{value}");
}

/// Nanoseconds an event, and the longest turn.
pub fn tell_phase(name: &str, tally: &Tally) {
    tell("ns", name, format!("{:.0}", tally.nanos()));
    tell_turns(name, tally);
}

/// The longest turn, in microseconds.
pub fn tell_turns(name: &str, tally: &Tally) {
    tell("turn", name, format!("{:.0} ({} events)", tally.longest.as_nanos() as f64 / 1e3, tally.longest_events));
}

/// Memory that came with `count` of something: of the process, and in the gateway's own books.
pub struct Memory {
    rss: u64,
    held: usize,
    engine: usize,
}

impl Memory {
    pub fn now<H: Handler>(gateway: &Gateway<H>, engine: usize) -> Self {
        let held = gateway.held();
        Self { rss: crate::meter::rss_anon(), held: held.queued + held.lent + held.kept + held.tables, engine }
    }

    pub fn tell_since(&self, before: &Self, name: &str, count: usize) {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count as f64;
        tell("bytes", &format!("{name}: RssAnon"), format!("{:.0}", each(self.rss, before.rss)));
        let held = each(self.held as u64, before.held as u64);
        tell("bytes", &format!("{name}: the gateway's ledger"), format!("{held:.0}"));
        if self.engine > 0 {
            let engine = each(self.engine as u64, before.engine as u64);
            tell("bytes", &format!("{name}: the engine's ledger"), format!("{engine:.0}"));
        }
    }
}

/// The figures of many runs.
#[derive(Default)]
pub struct Tables {
    /// Table and row, in the order they were first told; values by column.
    rows: Vec<(String, String, BTreeMap<usize, String>)>,
}

impl Tables {
    /// Takes the lines of one run.
    pub fn take(&mut self, kind: &str, size: usize, lines: &str) {
        for line in lines.lines() {
            let mut parts = line.splitn(3, '\t');
            let (Some(table), Some(name), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let name = format!("{kind}: {name}");
            let found = self.rows.iter_mut().find(|(of, row, _)| of == table && *row == name);
            match found {
                Some((.., values)) => _ = values.insert(size, value.to_owned()),
                None => self.rows.push((table.to_owned(), name, [(size, value.to_owned())].into())),
            }
        }
    }

    /// Prints them for people.
    pub fn print(&self, sizes: &[usize]) {
        for (table, title) in [
            ("bytes", "Bytes"),
            ("ns", "Nanoseconds an event"),
            ("turn", "Longest turn, microseconds"),
            ("share", "Heartbeats every 25 s: share of a core, without system calls"),
        ] {
            self.print_table(table, title, sizes);
        }
    }

    fn print_table(&self, table: &str, title: &str, sizes: &[usize]) {
        let rows: Vec<_> = self.rows.iter().filter(|(of, ..)| of == table).collect();
        if rows.is_empty() {
            return;
        }
        let grows = table == "ns" && sizes.len() > 1;
        let columns = sizes.iter().map(ToString::to_string).chain(grows.then(|| "last / first".to_owned()));
        println!("\n| {title} | {} |", columns.collect::<Vec<_>>().join(" | "));
        println!("|---|{}", "---|".repeat(sizes.len() + usize::from(grows)));
        for (_, name, values) in rows {
            let shown: Vec<&str> = sizes.iter().map(|size| values.get(size).map_or("", String::as_str)).collect();
            let number = |text: Option<&&str>| text.and_then(|text| text.parse::<f64>().ok());
            let ratio =
                number(shown.last()).zip(number(shown.first())).map(|(last, first)| format!("{:.2}", last / first));
            let shown = shown.into_iter().map(ToOwned::to_owned).chain(grows.then(|| ratio.unwrap_or_default()));
            println!("| {name} | {} |", shown.collect::<Vec<_>>().join(" | "));
        }
    }
}
