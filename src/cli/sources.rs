//! Where settings come from: flags, environment, file. Each is turned into entries of key and text, and what cannot be
//! such an entry is a problem told with its place. What a text means is not known here.

use super::nearest::nearest;
use super::sections::{self, Section};
use super::{options, values};
use clap::ArgMatches;
use clap::parser::ValueSource;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeInteger, DeString, DeTable, DeValue};

/// One setting as one source spells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its name, as files write it.
    pub(super) key: String,
    /// Its value, unread; the items of a list with commas between.
    pub(super) text: String,
    /// Who says so.
    pub(super) origin: Origin,
}

/// Who set a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// A flag of the command line.
    Flag,
    /// A variable of the environment.
    Environment,
    /// A line of the configuration file.
    File(String, usize),
}

impl Entry {
    /// Says what is wrong with this entry and what to write instead.
    pub(super) fn blame(&self, mend: &str) -> String {
        if self.is_secret() {
            return format!("{} = {} ({}): {mend}", self.key, values::HIDDEN, self.place());
        }
        format!("{} = {:?} ({}): {mend}", self.key, self.text, self.place())
    }

    fn is_secret(&self) -> bool {
        matches!(self.key.as_str(), "token_hmac_secret" | "api_key")
    }

    /// Where this entry stands, under the name it has there.
    pub(super) fn place(&self) -> String {
        match &self.origin {
            Origin::Flag => format!("flag --{}", self.key.replace('_', "-")),
            Origin::Environment => format!("environment {}", variable(&self.key)),
            Origin::File(path, line) => format!("{path}:{line}"),
        }
    }
}

/// What was found in the sources, lowest precedence first.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Settings under known names.
    pub(super) entries: Vec<Entry>,
    /// Tables of the file that set a namespace.
    pub(super) sections: Vec<Section>,
    /// What makes the configuration wrong.
    pub(super) problems: Vec<String>,
    /// What is probably a slip but stops nothing.
    pub(super) warnings: Vec<String>,
}

/// The flags of a command that takes settings.
#[derive(Debug)]
pub(super) struct Flags {
    config: Option<PathBuf>,
    entries: Vec<Entry>,
}

impl Flags {
    /// Those of a command that only reads settings: none but the name of the file.
    pub(super) fn of_file(config: Option<PathBuf>) -> Self {
        Self { config, entries: Vec::new() }
    }

    /// Reads the file that the flags or the environment name, then the environment, then the flags.
    pub(super) fn gather(self, environment: &[(OsString, OsString)]) -> Found {
        let mut found = Found::default();
        if let Some(path) = self.config.or_else(|| config_variable(environment)) {
            found.read_path(&path);
        }
        found.read_environment(environment);
        found.entries.extend(self.entries);
        found
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let entries = options::known_keys().into_iter().filter_map(|key| flag_entry(matches, key)).collect();
        Ok(Self { config: matches.get_one(CONFIG).cloned(), entries })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = clap::Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("TOML file of settings; else the one that {CONFIG_VARIABLE} names"));
        options::augment(command.arg(config).after_help(SPELLINGS))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

const CONFIG: &str = "config";
const CONFIG_VARIABLE: &str = "TIDEGATE_CONFIG";

const SPELLINGS: &str = "Every setting can also stand in the file, as heartbeat_interval = \"25s\", or in the \
                         environment, as TIDEGATE_HEARTBEAT_INTERVAL=25s. Flags win over environment over file.";

const PREFIX: &str = "TIDEGATE_";

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn config_variable(environment: &[(OsString, OsString)]) -> Option<PathBuf> {
    let (_, path) = environment.iter().find(|(name, path)| name == CONFIG_VARIABLE && !path.is_empty())?;
    Some(path.into())
}

fn flag_entry(matches: &ArgMatches, key: String) -> Option<Entry> {
    if matches.value_source(&key) != Some(ValueSource::CommandLine) {
        return None;
    }
    let texts: Vec<_> = matches.get_raw(&key)?.map(|text| text.to_string_lossy()).collect();
    Some(Entry { text: texts.join(","), key, origin: Origin::Flag })
}

/// A configuration file, as far as it tells where in it something stands.
pub(super) struct File<'a> {
    path: &'a str,
    text: &'a str,
}

impl File<'_> {
    pub(super) fn origin(&self, key: &Spanned<DeString<'_>>) -> Origin {
        Origin::File(self.path.to_owned(), line_of(self.text, key.span().start))
    }

    pub(super) fn place(&self, key: &Spanned<DeString<'_>>) -> String {
        format!("{}:{}", self.path, line_of(self.text, key.span().start))
    }

    /// Says that a setting has a value that no flag can spell.
    pub(super) fn not_a_text(&self, key: &Spanned<DeString<'_>>, value: &DeValue<'_>) -> String {
        let (place, name, kind) = (self.place(key), key.get_ref(), value.type_str());
        format!("{place}: {name} is a {kind}: write text, a number, true or false")
    }
}

impl Found {
    fn read_path(&mut self, path: &Path) {
        match std::fs::read_to_string(path) {
            Ok(text) => self.read_file(&path.display().to_string(), &text),
            Err(error) => {
                self.problems.push(format!("{}: the configuration file cannot be read: {error}", path.display()))
            }
        }
    }

    /// Takes what stands in a file, from its first line to its last; of one that does not parse, every fault and nothing
    /// else.
    pub(super) fn read_file(&mut self, path: &str, text: &str) {
        let (table, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(error_start);
        for error in &errors {
            self.problems.push(format!("{path}:{}: {}", line_of(text, error_start(error)), error.message()));
        }
        if errors.is_empty() {
            let (file, table) = (File { path, text }, table.into_inner());
            let mut pairs: Vec<_> = table.iter().collect();
            pairs.sort_by_key(|(key, _)| key.span().start);
            for (key, value) in pairs {
                self.take(&file, key, value.get_ref());
            }
        }
    }

    fn take(&mut self, file: &File<'_>, key: &Spanned<DeString<'_>>, value: &DeValue<'_>) {
        let (name, known) = (key.get_ref().as_ref(), options::known_keys());
        if sections::KEYS.contains(&name) {
            let (sections, problems) = sections::read(file, key, value);
            self.sections.extend(sections);
            self.problems.extend(problems);
        } else if !known.iter().any(|known| known == name) {
            let guess = nearest(name, known.iter().map(String::as_str).chain(sections::KEYS));
            self.problems.push(format!("{}: no setting is called {name}{}", file.place(key), did_you_mean(guess)));
        } else if let Some(text) = text_of(value) {
            self.entries.push(Entry { key: name.to_owned(), text, origin: file.origin(key) });
        } else {
            self.problems.push(file.not_a_text(key, value));
        }
    }

    /// Takes the variables that carry our prefix. Others may own such a name too, so an unknown one is only a warning;
    /// an empty one is not set, as container files write it.
    pub(super) fn read_environment(&mut self, variables: &[(OsString, OsString)]) {
        let known: Vec<String> = options::known_keys();
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(key) = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else {
                continue;
            };
            if !known.contains(&key) || variable(&key) != name {
                self.warn_of_variable(&name, &key, &known);
            } else if !value.is_empty() {
                let text = value.to_string_lossy().into_owned();
                self.entries.push(Entry { key, text, origin: Origin::Environment });
            }
        }
    }

    fn warn_of_variable(&mut self, name: &str, key: &str, known: &[String]) {
        if name != CONFIG_VARIABLE {
            let guess = nearest(key, known.iter().map(String::as_str)).map(variable);
            self.warnings.push(format!("environment {name} sets nothing{}", did_you_mean(guess.as_deref())));
        }
    }
}

fn did_you_mean(guess: Option<&str>) -> impl fmt::Display {
    guess.map_or_else(|| "; `tidegate serve --help` lists all".to_owned(), |name| format!("; did you mean {name}?"))
}

fn error_start(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// A value as a flag would spell it, or nothing for what no flag can spell.
pub(super) fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(decimal(number)),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => {
            items.iter().map(|item| text_of(item.get_ref())).collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// Files may write 0x10 or 0b1, flags do not. What is too large for us is left for its setting to refuse.
fn decimal(number: &DeInteger<'_>) -> String {
    i64::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The problems, or else the entries as `key=text@place`, that a file gives.
    #[track_caller]
    fn check(file: &str, expected: &[&str]) {
        let mut found = Found::default();
        found.read_file("gateway.toml", file);
        let entries = found.entries.iter().map(|entry| format!("{}={}@{}", entry.key, entry.text, entry.place()));
        let told: Vec<String> = entries.chain(found.problems.iter().cloned()).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_file_gives_text_numbers_switches_and_lists() {
        check("# ours\nheartbeat_interval = \"10s\"\n", &["heartbeat_interval=10s@gateway.toml:2"]);
        check("max_connections = 1_000", &["max_connections=1000@gateway.toml:1"]);
        check("max_message_bytes = 0x100", &["max_message_bytes=256@gateway.toml:1"]);
        check("reuse_port = true", &["reuse_port=true@gateway.toml:1"]);
        check("listen = ['tcp://[::1]:1',\n 'raw://[::1]:2']", &["listen=tcp://[::1]:1,raw://[::1]:2@gateway.toml:1"]);
        check("", &[]);
    }

    #[test]
    fn an_unknown_key_names_its_nearest() {
        check(
            "\nhartbeat_interval = '1s'\n[colours]\nred = 1\n",
            &[
                "gateway.toml:2: no setting is called hartbeat_interval; did you mean heartbeat_interval?",
                "gateway.toml:3: no setting is called colours; `tidegate serve --help` lists all",
            ],
        );
    }

    #[test]
    fn a_value_no_flag_can_spell_is_refused() {
        check("app = 2026-11-21", &["gateway.toml:1: app is a datetime: write text, a number, true or false"]);
        check("[app]\nname = 'echo'", &["gateway.toml:1: app is a table: write text, a number, true or false"]);
    }

    #[test]
    fn every_line_that_does_not_parse_is_told() {
        check(
            "app = \nbacklog = 7\nlisten = [\n",
            &[
                "gateway.toml:1: string values must be quoted, expected literal string",
                "gateway.toml:3: unclosed array, expected `]`",
            ],
        );
    }

    fn environment(variables: &[(&str, &str)]) -> Found {
        let mut found = Found::default();
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        found.read_environment(&variables);
        found
    }

    #[test]
    fn the_environment_can_name_the_file_unless_a_flag_does() {
        let told = |flag: Option<&str>, variable: &str| {
            let flags = Flags { config: flag.map(PathBuf::from), entries: Vec::new() };
            flags.gather(&[(CONFIG_VARIABLE.into(), variable.into())]).problems
        };
        assert!(told(None, "/no/such.toml")[0].starts_with("/no/such.toml: "));
        assert!(told(Some("/nor/this.toml"), "/no/such.toml")[0].starts_with("/nor/this.toml: "));
        assert_eq!(told(None, ""), [""; 0]);
    }

    #[test]
    fn the_environment_is_read_by_prefix() {
        let found = environment(&[("HOME", "/root"), ("TIDEGATE_APP", "echo"), ("TIDEGATE_LISTEN", "")]);
        let expected = Entry { key: "app".to_owned(), text: "echo".to_owned(), origin: Origin::Environment };
        assert_eq!(found.entries, [expected]);
        assert_eq!(found.warnings, [""; 0]);
    }

    #[test]
    fn an_unknown_variable_is_a_warning_that_names_its_nearest() {
        let found = environment(&[
            ("TIDEGATE_BACKLOGS", "1"),
            ("TIDEGATE_PORT", "tcp://10.0.0.1:80"),
            ("TIDEGATE_CONFIG", "x"),
        ]);
        assert_eq!(
            found.warnings,
            [
                "environment TIDEGATE_BACKLOGS sets nothing; did you mean TIDEGATE_BACKLOG?",
                "environment TIDEGATE_PORT sets nothing; `tidegate serve --help` lists all",
            ]
        );
        assert_eq!(found.problems, [""; 0]);
    }
}
