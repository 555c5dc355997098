//! Masking (RFC 6455, section 5.3): every byte a client sends is combined with one of four key bytes in turn.

/// The key of one frame, turned so that it begins with the byte that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(u32);

impl Mask {
    /// The key as it stands in the frame's header.
    #[inline]
    pub fn new(key: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(key))
    }

    /// The key as it stands in a frame's header.
    pub fn key(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// Masks or unmasks `bytes` in place, and goes on where they end when it is called for what follows them.
    ///
    /// Blocks of 64 bytes, so that the compiler makes vector instructions of them.
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        const LANES: usize = 8;
        let wide = u64::from(self.0) << 32 | u64::from(self.0);
        let len = bytes.len();
        let (words, rest) = bytes.as_chunks_mut::<8>();
        let (blocks, words) = words.as_chunks_mut::<LANES>();
        for block in blocks {
            for word in block {
                *word = (u64::from_ne_bytes(*word) ^ wide.to_le()).to_ne_bytes();
            }
        }
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ wide.to_le()).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(wide.to_le_bytes()) {
            *byte ^= key;
        }
        self.0 = self.0.rotate_right(8 * u32::try_from(len % 4).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cut_gives_what_one_byte_after_the_other_gives(
            key: [u8; 4],
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cuts in prop::collection::vec(0usize..90, 1..8),
        ) {
            let expected: Vec<u8> = bytes.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            let (mut masked, mut mask) = (bytes, Mask::new(key));
            let mut rest = &mut masked[..];
            for cut in cuts {
                let (now, later) = rest.split_at_mut(cut.min(rest.len()));
                mask.apply(now);
                rest = later;
            }
            mask.apply(rest);
            prop_assert_eq!(masked, expected);
        }
    }
}
