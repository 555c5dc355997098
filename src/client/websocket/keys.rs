//! Numbers for the key of a handshake and the masks of frames: the same for the same seed, so that a run can be played
//! again.

use crate::wire::websocket::Mask;
use std::hash::{DefaultHasher, Hasher};

/// Numbers that nobody can tell who does not know the seed: SipHash over the seed and a count.
///
/// RFC 6455, section 5.3, wants masks that nobody can foretell, so that what a client is made to send by somebody else
/// never stands on the wire as that one chose it, and no cache on the way takes it for HTTP. SipHash serves that: from
/// any number of masks the next can't be told without trying all 2^64 seeds, which a generator such as
/// [`crate::timer::Jitter`] does not give. It is no cryptographic generator, and need not be: masks hide nothing, and
/// over `wss://` there is no cache on the way. The key of a handshake only has to differ from the one before.
#[derive(Debug, Clone)]
pub(in crate::client) struct Keys {
    seed: u64,
    drawn: u64,
}

impl Keys {
    pub(in crate::client) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The mask of one frame.
    pub(in crate::client) fn mask(&mut self) -> Mask {
        let [a, b, c, d, ..] = self.number().to_le_bytes();
        Mask::new([a, b, c, d])
    }

    /// The key of one handshake.
    pub(in crate::client) fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        for half in nonce.chunks_exact_mut(8) {
            half.copy_from_slice(&self.number().to_le_bytes());
        }
        nonce
    }

    /// One of 2^64 numbers.
    pub(in crate::client) fn number(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(self.drawn);
        self.drawn = self.drawn.wrapping_add(1);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_same_seed_gives_the_same_keys_and_another_gives_others() {
        let drawn = |seed| {
            let mut keys = Keys::new(seed);
            (keys.nonce(), keys.mask(), keys.mask())
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn no_key_comes_twice_in_a_while() {
        let mut keys = Keys::new(1);
        let nonces: HashSet<_> = (0..1000).map(|_| keys.nonce()).collect();
        assert_eq!(nonces.len(), 1000);
        let masks: HashSet<_> = (0..1000).map(|_| keys.mask().key()).collect();
        assert!(masks.len() > 990, "4 bytes may meet by chance");
    }
}
