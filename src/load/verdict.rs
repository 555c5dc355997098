//! Whether what was measured is the server's doing or the load's own: said in words, with what to do about it.

/// What is known about a window that has been measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence {
    /// The share of the window that the load's thread was on a CPU.
    pub busy: f64,
    /// The share that it could have been, but others were.
    pub waiting: f64,
    /// How late 99 of 100 looks at what was due came at most, in nanoseconds; zero in a closed loop.
    pub lag: u64,
    /// What was asked for and what was reached.
    pub asked: Asked,
    /// The share of a CPU that the server took, where it is known.
    pub server: Option<f64>,
}

/// What a load asks of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Asked {
    /// As much as there can be: a closed loop.
    #[default]
    Most,
    /// So many a second, of which so many were reached.
    Rate(f64, f64),
    /// Nothing but to hold the connections.
    Rest,
}

/// Who set the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The load: the server may be better than was measured.
    Load,
    /// The server, or the way to it.
    Server,
    /// Nobody: all that was asked for was done.
    Nobody,
}

/// Above this share of a CPU the load has no time to spare.
pub const BUSY: f64 = 0.9;
/// Above this share of waiting for a CPU its figures are those of a machine that is full.
const CROWDED: f64 = 0.1;
/// Sends later than this are not those of the schedule: 1 ms.
const LATE: u64 = 1_000_000;
/// What is short of the asked rate by more is not the asked rate.
const SHORT: f64 = 0.99;

const MENDS: &str = "run several bench processes at once, give it a CPU of its own (taskset), or ask for less";

impl Limit {
    /// As scripts read it.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Load => "load",
            Limit::Server => "server",
            Limit::Nobody => "none",
        }
    }
}

/// Who set the limit, and the sentences that say why.
pub fn judge(evidence: &Evidence) -> (Limit, Vec<String>) {
    let mut words = own_limits(evidence);
    if !words.is_empty() {
        words.push(format!("This load was the bottleneck, not the server. To measure the server: {MENDS}."));
        return (Limit::Load, words);
    }
    match evidence.asked {
        Asked::Rate(asked, reached) if reached < asked * SHORT => {
            let missed = format!("Of {asked:.0} a second {reached:.0} came back, though the load had time to spare");
            (Limit::Server, vec![format!("{missed}: the server, or the way to it, takes no more.")])
        }
        Asked::Rate(..) => {
            (Limit::Nobody, vec!["All that was asked for was done, and the load had time to spare.".to_owned()])
        }
        Asked::Most => (Limit::Server, vec![format!("{}.", servers_share(evidence))]),
        Asked::Rest => (Limit::Nobody, vec!["Nothing was asked for but to be held.".to_owned()]),
    }
}

fn own_limits(evidence: &Evidence) -> Vec<String> {
    let Evidence { busy, waiting, lag, asked, .. } = *evidence;
    let mut words = Vec::new();
    if busy > BUSY {
        words.push(format!("The load was busy for {:.0} % of the time.", busy * 100.0));
    }
    if waiting > CROWDED {
        let share = waiting * 100.0;
        words.push(format!("The load waited for a CPU for {share:.0} % of the time: other programs were on it."));
    }
    if matches!(asked, Asked::Rate(..)) && lag > LATE {
        words.push(format!("Messages left up to {:.1} ms late (99 of 100 within it).", lag as f64 / 1e6));
    }
    words
}

fn servers_share(evidence: &Evidence) -> String {
    let spare = format!("The load was busy for {:.0} % of the time", evidence.busy * 100.0);
    match evidence.server {
        Some(share) if share > BUSY => {
            format!("{spare}, the server for {:.0} % of a CPU: it set the pace", share * 100.0)
        }
        Some(share) => {
            format!(
                "{spare}, the server for {:.0} % of a CPU: neither is full, and the way between them sets the pace",
                share * 100.0
            )
        }
        None => format!("{spare}: the server, or the way to it, sets the pace"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(evidence: Evidence, limit: Limit, part: &str) {
        let (judged, words) = judge(&evidence);
        assert!(judged == limit && words.join(" ").contains(part), "{evidence:?}: {judged:?} {words:?}");
    }

    #[test]
    fn a_load_without_time_to_spare_says_so_itself() {
        let at_ease = Evidence { busy: 0.4, ..Evidence::default() };
        check(Evidence { busy: 0.97, ..at_ease }, Limit::Load, "busy for 97 %");
        check(Evidence { waiting: 0.5, ..at_ease }, Limit::Load, "waited for a CPU for 50 %");
        let asked = Asked::Rate(1000.0, 1000.0);
        check(Evidence { lag: 2_500_000, asked, ..at_ease }, Limit::Load, "2.5 ms late");
        check(Evidence { busy: 0.97, ..at_ease }, Limit::Load, "taskset");
    }

    #[test]
    fn a_load_at_ease_blames_the_server_for_what_is_missing_and_nobody_else() {
        let at_ease = Evidence { busy: 0.4, ..Evidence::default() };
        check(Evidence { asked: Asked::Rate(1000.0, 900.0), ..at_ease }, Limit::Server, "takes no more");
        check(Evidence { asked: Asked::Rate(1000.0, 999.0), ..at_ease }, Limit::Nobody, "All that was asked");
        check(Evidence { server: Some(0.99), ..at_ease }, Limit::Server, "it set the pace");
        check(Evidence { server: Some(0.5), ..at_ease }, Limit::Server, "neither is full");
        check(at_ease, Limit::Server, "or the way to it");
        check(Evidence { asked: Asked::Rest, ..at_ease }, Limit::Nobody, "to be held");
    }
}
