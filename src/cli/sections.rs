//! Namespaces of channels, which only the file can set: `[default_namespace]` and `[namespace.NAME]`.
//!
//! A field is read like a setting of the same name; what holds for settings, that every fault is told with its place,
//! holds for it.

use super::hub_options::{NamespaceOptions, shown_namespace};
use super::nearest::nearest;
use super::options::{keys_of, parse};
use super::sources::{Entry, File, text_of};
use super::values::quote_for_toml;
use crate::config::{HubSettings, Namespace};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// The keys of the file's top level that stand for namespaces.
pub(super) const KEYS: [&str; 2] = [DEFAULT, NAMED];
const DEFAULT: &str = "default_namespace";
const NAMED: &str = "namespace";

/// One table that sets a namespace.
#[derive(Debug)]
pub(super) struct Section {
    /// The prefix of its channels; `None` for those without one.
    name: Option<String>,
    place: String,
    /// What it says, in the order of the file.
    entries: Vec<Entry>,
    /// What comes of it.
    namespace: Namespace,
}

/// What the value of one of [`KEYS`] holds.
pub(super) fn read(file: &File<'_>, key: &Spanned<DeString<'_>>, value: &DeValue<'_>) -> (Vec<Section>, Vec<String>) {
    let (mut sections, mut problems) = (Vec::new(), Vec::new());
    match (key.get_ref().as_ref(), value) {
        (DEFAULT, DeValue::Table(table)) => sections.push(Section::read(file, key, None, table, &mut problems)),
        (_, DeValue::Table(tables)) => {
            for (name, value) in in_order(tables) {
                match value.get_ref() {
                    DeValue::Table(table) => {
                        let own = Some(name.get_ref().to_string());
                        sections.push(Section::read(file, name, own, table, &mut problems));
                    }
                    _ => problems.push(format!("{}: write a table, [{NAMED}.{}]", file.place(name), name.get_ref())),
                }
            }
        }
        (DEFAULT, _) => problems.push(format!("{}: write a table, [{DEFAULT}]", file.place(key))),
        _ => problems.push(format!("{}: write a table for each namespace, [{NAMED}.NAME]", file.place(key))),
    }
    (sections, problems)
}

/// Settles each section, and lets the hub have what comes of them.
pub(super) fn settle(sections: &mut [Section], problems: &mut Vec<String>) {
    sections.iter_mut().for_each(|section| section.settle(problems));
}

pub(super) fn apply(sections: &[Section], hub: &mut HubSettings) {
    for section in sections {
        match &section.name {
            None => hub.default_namespace = section.namespace.clone(),
            // One that cannot be named so has been told.
            Some(name) if Namespace::validate_name(name).is_err() => {}
            Some(name) => hub.namespaces.extend([(name.clone(), section.namespace.clone())]),
        }
    }
}

fn in_order<'a, 'b>(table: &'a DeTable<'b>) -> Vec<(&'a Spanned<DeString<'b>>, &'a Spanned<DeValue<'b>>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

impl Section {
    fn read(
        file: &File<'_>,
        key: &Spanned<DeString<'_>>,
        name: Option<String>,
        table: &DeTable<'_>,
        problems: &mut Vec<String>,
    ) -> Self {
        let place = file.place(key);
        if let Some(Err(fault)) = name.as_deref().map(Namespace::validate_name) {
            problems.push(format!("{place}: {fault}"));
        }
        let mut entries = Vec::new();
        for (key, value) in in_order(table) {
            match field(file, key, value.get_ref()) {
                Ok(entry) => entries.push(entry),
                Err(problem) => problems.push(problem),
            }
        }
        Self { name, place, entries, namespace: Namespace::default() }
    }

    /// Makes a namespace of the entries; one that cannot be is told and taken away.
    fn settle(&mut self, problems: &mut Vec<String>) {
        self.entries.retain(|entry| {
            let refusal = parse::<NamespaceOptions>([entry]).err();
            problems.extend(refusal.iter().map(|mend| entry.blame(mend)));
            refusal.is_none()
        });
        loop {
            let options: NamespaceOptions = parse(&self.entries).expect("entries that parse alone parse together");
            self.namespace = options.namespace();
            let Err(fault) = self.namespace.validate() else {
                return;
            };
            let at_fault = self.entries.iter().position(|entry| entry.key == fault.setting);
            let entry = self.entries.remove(at_fault.expect("the defaults of a namespace are valid"));
            problems.push(entry.blame(&fault.mend));
        }
    }

    /// Its lines as a file has them, each with its place.
    pub(super) fn shown(&self) -> Vec<(String, String)> {
        let header = match &self.name {
            None => format!("[{DEFAULT}]"),
            Some(name) if name.contains('.') => format!("[{NAMED}.\"{name}\"]"),
            Some(name) => format!("[{NAMED}.{name}]"),
        };
        let values = shown_namespace(&self.namespace);
        let place_of = |key: &str| Some(self.entries.iter().find(|entry| entry.key == key)?.place());
        let lines = values
            .into_iter()
            .filter_map(|(key, value)| Some((format!("{key} = {}", quote_for_toml(&value)), place_of(key)?)));
        std::iter::once((header, self.place.clone())).chain(lines).collect()
    }
}

fn field(file: &File<'_>, key: &Spanned<DeString<'_>>, value: &DeValue<'_>) -> Result<Entry, String> {
    let (name, known) = (key.get_ref(), keys_of::<NamespaceOptions>());
    if !known.iter().any(|known| known == name) {
        let guess = nearest(name, known.iter().map(String::as_str));
        let hint =
            guess.map_or_else(|| format!("; there are {}", known.join(", ")), |it| format!("; did you mean {it}?"));
        return Err(format!("{}: no setting of a namespace is called {name}{hint}", file.place(key)));
    }
    let text = text_of(value).ok_or_else(|| file.not_a_text(key, value))?;
    Ok(Entry { key: name.to_string(), text, origin: file.origin(key) })
}

#[cfg(test)]
mod tests {
    use super::super::configuration::Reading;
    use super::super::sources::Found;

    fn read(file: &str) -> Reading {
        let mut found = Found::default();
        found.read_file("gateway.toml", file);
        Reading::of(found)
    }

    /// The problems of a file, or else the lines of its namespaces.
    #[track_caller]
    fn check(file: &str, expected: &[&str]) {
        let reading = read(file);
        let lines = reading.sections.iter().flat_map(|section| section.shown());
        let lines = lines.map(|(line, place)| format!("{line} # {place}"));
        let told: Vec<String> = if reading.problems.is_empty() { lines.collect() } else { reading.problems };
        assert_eq!(told, expected);
    }

    #[test]
    fn namespaces_are_tables_of_the_file() {
        check(
            "max_errors = 7\n[default_namespace]\nhistory_size = 0\n[namespace.chat]\nhistory_ttl = '1h'\n\
             allow_publish = 'subscribers'\nmax_subscribers = 0\n[namespace.\"a.b\"]\nslow = 'drop'\n",
            &[
                "[default_namespace] # gateway.toml:2",
                "history_size = 0 # gateway.toml:3",
                "[namespace.chat] # gateway.toml:4",
                "history_ttl = \"1h\" # gateway.toml:5",
                "allow_publish = \"subscribers\" # gateway.toml:6",
                "max_subscribers = \"off\" # gateway.toml:7",
                "[namespace.\"a.b\"] # gateway.toml:8",
                "slow = \"drop\" # gateway.toml:9",
            ],
        );
    }

    #[test]
    fn every_field_of_a_namespace_can_be_set_and_what_is_shown_reads_back() {
        let file = "[namespace.all]\nhistory_size = 5\nhistory_ttl = '1m'\nforce_recovery = false\npresence = false\n\
                    join_leave = true\nallow_subscribe = 'anyone'\nallow_publish = 'clients'\nmax_subscribers = 9\n\
                    slow = 'disconnect'\n";
        let reading = read(file);
        assert_eq!(reading.problems, [""; 0]);
        let hub = &reading.configuration.hub;
        let default = super::shown_namespace(&hub.default_namespace);
        let set = super::shown_namespace(&hub.namespaces["all"]);
        assert!(set.iter().zip(&default).all(|(set, default)| set != default), "{set:?}");
        let lines: String = reading.sections[0].shown().into_iter().map(|(line, _)| line + "\n").collect();
        assert_eq!(read(&lines).configuration.hub, *hub);
    }

    #[test]
    fn an_empty_table_is_a_namespace_of_defaults() {
        let hub = read("[namespace.chat]").configuration.hub;
        assert_eq!(hub.namespaces["chat"], hub.default_namespace);
    }

    #[test]
    fn a_slip_in_a_namespace_tells_its_place_and_the_mend() {
        check(
            "[namespaces.chat]\n[default_namespace]\nhistory_sise = 1\ncolour = 'red'\n[namespace.chat]\n\
             presence = 1979-05-27\nallow_subscribe = 'all'\nhistory_ttl = 0\n[namespace.\"a b\"]\nhistory_ttl = '0s'\n",
            &[
                "gateway.toml:1: no setting is called namespaces; did you mean namespace?",
                "gateway.toml:3: no setting of a namespace is called history_sise; did you mean history_size?",
                "gateway.toml:4: no setting of a namespace is called colour; there are history_size, history_ttl, \
                 force_recovery, presence, join_leave, allow_subscribe, allow_publish, max_subscribers, slow",
                "gateway.toml:6: presence is a datetime: write text, a number, true or false",
                "gateway.toml:9: namespace is \"a b\": name it with letters, digits, - _ and .",
                "allow_subscribe = \"all\" (gateway.toml:7): choose from nobody, clients, anyone",
                "history_ttl = \"0\" (gateway.toml:8): make it longer; to keep no history set history_size to 0",
                "history_ttl = \"0s\" (gateway.toml:10): make it longer; to keep no history set history_size to 0",
            ],
        );
    }

    #[test]
    fn what_is_no_table_is_told() {
        check("default_namespace = 1", &["gateway.toml:1: write a table, [default_namespace]"]);
        check("namespace = 1", &["gateway.toml:1: write a table for each namespace, [namespace.NAME]"]);
        check("[namespace]\nchat = 1", &["gateway.toml:2: write a table, [namespace.chat]"]);
    }
}
