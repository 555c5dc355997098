//! Masking (RFC 6455, section 5.3): every byte a client sends is combined with one of four key bytes in turn.

/// The key of one frame, turned so that it begins with the byte that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(u32);

/// Bytes handled at once.
const BLOCK: usize = 16;

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
    #[inline]
    pub fn apply(&mut self, bytes: &mut [u8]) {
        self.apply_whole(bytes);
        self.0 = self.0.rotate_right(8 * u32::try_from(bytes.len() % 4).unwrap_or_default());
    }

    /// The same where nothing follows `bytes`.
    #[inline]
    pub fn apply_whole(self, bytes: &mut [u8]) {
        let Some(last) = bytes.last_chunk::<BLOCK>() else {
            return self.apply_few(bytes);
        };
        // The last block overlaps the one before it, so it is taken aside as it was: no shorter pieces remain.
        let last = Self(self.0.rotate_right(8 * (bytes.len() as u32 % 4))).block(*last);
        for block in bytes.as_chunks_mut::<BLOCK>().0 {
            *block = self.block(*block);
        }
        if let Some(place) = bytes.last_chunk_mut::<BLOCK>() {
            *place = last;
        }
    }

    /// Compilers make one vector instruction of it.
    #[inline]
    fn block(self, mut bytes: [u8; BLOCK]) -> [u8; BLOCK] {
        for lane in bytes.as_chunks_mut::<4>().0 {
            *lane = (u32::from_le_bytes(*lane) ^ self.0).to_le_bytes();
        }
        bytes
    }

    fn apply_few(self, bytes: &mut [u8]) {
        for (byte, key) in bytes.iter_mut().zip(self.key().into_iter().cycle()) {
            *byte ^= key;
        }
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
