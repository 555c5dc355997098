//! Numbers that scatter what would otherwise happen all at once. Never a source of secrets: whoever sees one number
//! can tell all that follow.

use std::time::Duration;

/// A stream of evenly spread numbers, the same for the same seed (the generator is splitmix64).
///
/// For spreading reconnects, heartbeats and retries; tokens, masks and ids that must not be guessed come from elsewhere.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// The stream that belongs to `seed`; any number will do, zero included.
    pub const fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// The next of 2^64 equally likely numbers.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `0` to `n - 1`, or `0` if `n` is zero. No number is favoured by more than `n` parts in 2^64.
    pub fn below(&mut self, n: u64) -> u64 {
        let scaled = u128::from(self.next_u64()) * u128::from(n);
        (scaled >> 64) as u64
    }

    /// A duration from `min` to `max`, both included; `min` if `max` is not above it.
    ///
    /// Of a range wider than 584 years only the first 584 are used.
    pub fn within(&mut self, min: Duration, max: Duration) -> Duration {
        let span = max.saturating_sub(min).as_nanos();
        let choices = u64::try_from(span + 1).unwrap_or(u64::MAX);
        min + Duration::from_nanos(self.below(choices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let stream = [(); 3].map(|()| jitter.next_u64());
        assert_eq!(stream, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_below_a_bound_are_all_met_equally_often() {
        let mut jitter = Jitter::new(7);
        let mut met = [0_u32; 10];
        for _ in 0..100_000 {
            met[jitter.below(10) as usize] += 1;
        }
        assert!(met.iter().all(|count| (9_500..10_500).contains(count)), "{met:?}");
    }

    #[test]
    fn nothing_lies_below_zero_and_only_zero_below_one() {
        let mut jitter = Jitter::new(7);
        assert_eq!((jitter.below(0), jitter.below(1)), (0, 0));
    }

    #[test]
    fn a_duration_is_never_outside_its_range() {
        let mut jitter = Jitter::new(7);
        let mut check = |min, max, lowest, highest| {
            for _ in 0..1_000 {
                let drawn = jitter.within(min, max);
                assert!((lowest..=highest).contains(&drawn), "{drawn:?} of {min:?} to {max:?}");
            }
        };
        let (short, long) = (Duration::from_nanos(3), Duration::from_nanos(5));
        check(short, long, short, long);
        check(short, short, short, short);
        check(long, short, long, long);
        check(Duration::ZERO, Duration::MAX, Duration::ZERO, Duration::from_nanos(u64::MAX));
        check(Duration::MAX, Duration::MAX, Duration::MAX, Duration::MAX);
    }

    #[test]
    fn both_ends_of_a_range_are_met() {
        let mut jitter = Jitter::new(7);
        let mut drawn = [(); 100].map(|()| jitter.within(Duration::from_nanos(3), Duration::from_nanos(5)));
        drawn.sort();
        assert_eq!((drawn[0].as_nanos(), drawn[99].as_nanos()), (3, 5));
    }
}
