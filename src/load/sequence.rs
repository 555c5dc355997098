//! What of a numbered stream has come to one receiver: in order, twice, too late, or not at all. It holds two words.

/// What the numbers that came say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    /// All numbers that came are below.
    next: u64,
    /// Of the 64 below `next`, those that came: the lowest bit is the highest number.
    came: u64,
}

/// What a number is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Its turn. Perhaps some before it were left out, so many.
    New {
        /// How many.
        skipped: u64,
    },
    /// It had been left out, and comes behind one that it should stand before.
    Late,
    /// It had come, or is so old that nobody knows.
    Double,
}

/// How far back a late number is told from a double.
const MEMORY: u64 = 64;

impl Sequence {
    /// A number comes.
    #[inline]
    pub fn see(&mut self, number: u64) -> Seen {
        if number >= self.next {
            let skipped = number - self.next;
            self.came = if skipped + 1 < MEMORY { self.came << (skipped + 1) | 1 } else { 1 };
            self.next = number + 1;
            return Seen::New { skipped };
        }
        let back = self.next - 1 - number;
        if back >= MEMORY || self.came >> back & 1 == 1 {
            return Seen::Double;
        }
        self.came |= 1 << back;
        Seen::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[u64], expected: &[Seen]) {
        let mut sequence = Sequence::default();
        let seen: Vec<Seen> = numbers.iter().map(|number| sequence.see(*number)).collect();
        assert_eq!(seen, expected, "{numbers:?}");
    }

    const NEXT: Seen = Seen::New { skipped: 0 };

    #[test]
    fn a_whole_run_is_in_order() {
        check(&[0, 1, 2, 3], &[NEXT; 4]);
    }

    #[test]
    fn what_is_left_out_is_counted_and_what_comes_behind_is_late() {
        check(&[0, 3, 1, 2, 4], &[NEXT, Seen::New { skipped: 2 }, Seen::Late, Seen::Late, NEXT]);
        check(&[2], &[Seen::New { skipped: 2 }]);
    }

    #[test]
    fn what_comes_twice_is_a_double_also_when_it_was_late() {
        check(
            &[0, 0, 2, 1, 1, 2],
            &[NEXT, Seen::Double, Seen::New { skipped: 1 }, Seen::Late, Seen::Double, Seen::Double],
        );
    }

    #[test]
    fn after_a_long_gap_the_oldest_are_not_told_apart() {
        check(&[0, 200, 199, 137, 136], &[NEXT, Seen::New { skipped: 199 }, Seen::Late, Seen::Late, Seen::Double]);
    }

    #[test]
    fn any_order_of_any_numbers_is_counted_as_a_naive_twin_does() {
        let mut jitter = crate::timer::Jitter::new(11);
        for _ in 0..200 {
            let (mut sequence, mut seen, mut highest) = (Sequence::default(), std::collections::BTreeSet::new(), None);
            for _ in 0..300 {
                let number = jitter.below(60);
                let twin = match (seen.insert(number), highest.is_none_or(|highest| number > highest)) {
                    (true, true) => Seen::New { skipped: number - highest.map_or(0, |highest| highest + 1) },
                    (true, false) => Seen::Late,
                    (false, _) => Seen::Double,
                };
                highest = highest.max(Some(number));
                assert_eq!(sequence.see(number), twin, "{number}");
            }
        }
    }
}
