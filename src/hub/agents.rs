//! The programs that clients say they are, each kept once.

use std::collections::HashMap;
use std::sync::Arc;

/// Names and versions, by a small number. 0 is a program that did not say, or one too many to keep.
#[derive(Debug, Default)]
pub(super) struct Agents {
    numbers: HashMap<(Arc<str>, Arc<str>), u16>,
    known: Vec<(Arc<str>, Arc<str>)>,
}

/// Programs kept, over all time: a client can say what it likes.
const MAX_KNOWN: usize = 1000;
/// Bytes of a name or a version that are kept.
const MAX_BYTES: usize = 64;

impl Agents {
    /// The number of a program.
    pub(super) fn number(&mut self, name: &str, version: &str) -> u16 {
        let fits = name.len() <= MAX_BYTES && version.len() <= MAX_BYTES && !(name.is_empty() && version.is_empty());
        if !fits {
            return 0;
        }
        let key = (Arc::from(name), Arc::from(version));
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let Some(number) = u16::try_from(self.known.len() + 1).ok().filter(|_| self.known.len() < MAX_KNOWN) else {
            return 0;
        };
        self.known.push(key.clone());
        self.numbers.insert(key, number);
        number
    }

    /// Name and version of a program; empty for number 0.
    pub(super) fn get(&self, number: u16) -> (&str, &str) {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| self.known.get(at)).map_or(("", ""), |(name, version)| (name, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_kept_once_and_their_number_is_bounded() {
        let mut agents = Agents::default();
        let js = agents.number("js", "5.8");
        assert_eq!((agents.number("js", "5.8"), agents.get(js), agents.get(0)), (js, ("js", "5.8"), ("", "")));
        assert_eq!((agents.number("", ""), agents.number(&"x".repeat(65), "")), (0, 0));
        for at in 0..2 * MAX_KNOWN {
            agents.number("js", &at.to_string());
        }
        assert_eq!((agents.known.len(), agents.number("new", "1"), agents.number("js", "5.8")), (MAX_KNOWN, 0, js));
    }
}
