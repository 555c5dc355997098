//! Finds the known name that a mistyped one was probably meant to be.

/// The name among `known` with the fewest slips from `typed`, unless even that one has little in common with it.
pub(super) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (slips, name) = known.into_iter().map(|name| (distance(typed, name), name)).min()?;
    (slips <= name.len().min(typed.len()) / 2).then_some(name)
}

/// Letters to insert, remove or replace to make one name of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        row = next_row(&row, i + 1, letter, &to);
    }
    row[to.len()]
}

fn next_row(above: &[usize], first: usize, letter: char, to: &[char]) -> Vec<usize> {
    let mut row = vec![first];
    for (j, other) in to.iter().enumerate() {
        let replaced = above[j] + usize::from(letter != *other);
        row.push(replaced.min(above[j + 1] + 1).min(row[j] + 1));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["heartbeat_interval", "heartbeat_timeout", "listen", "backlog"];

    #[track_caller]
    fn check(typed: &str, expected: Option<&str>) {
        assert_eq!(nearest(typed, KNOWN), expected, "nearest to {typed}");
    }

    #[test]
    fn a_slip_of_the_finger_is_found() {
        check("hartbeat_interval", Some("heartbeat_interval"));
        check("heartbeat-timeout", Some("heartbeat_timeout"));
        check("heartbeat_time", Some("heartbeat_timeout"));
        check("listne", Some("listen"));
        check("blacklog", Some("backlog"));
    }

    #[test]
    fn nothing_in_common_names_nothing() {
        check("colour", None);
        check("x", None);
        check("", None);
    }

    #[test]
    fn distance_counts_slips() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
