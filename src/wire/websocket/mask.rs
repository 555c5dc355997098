//! Masking (RFC 6455, section 5.3): every byte a client sends is combined with one of four key bytes in turn.

/// The key of one frame, turned so that it begins with the byte that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask(u32);

/// Bytes handled at once.
const WORD: usize = 8;
/// Bytes of a block, which the compiler makes vector instructions of without a look between them.
const BLOCK: usize = 128;
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

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
        let Some(last) = self.last_word(bytes) else {
            return self.apply_few(bytes);
        };
        let wide = self.wide();
        let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
        for block in blocks {
            for word in block.as_chunks_mut::<WORD>().0 {
                *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
            }
        }
        for word in rest.as_chunks_mut::<WORD>().0 {
            *word = (u64::from_le_bytes(*word) ^ wide).to_le_bytes();
        }
        put_last(bytes, last);
    }

    /// The same; true where each of `bytes` is ASCII now. To see that on the way costs less than a second look.
    #[inline]
    pub fn apply_whole_text(self, bytes: &mut [u8]) -> bool {
        let Some(last) = self.last_word(bytes) else {
            self.apply_few(bytes);
            return bytes.is_ascii();
        };
        let (wide, mut seen) = (self.wide(), last);
        for place in bytes.as_chunks_mut::<WORD>().0 {
            let word = u64::from_le_bytes(*place) ^ wide;
            seen |= word;
            *place = word.to_le_bytes();
        }
        put_last(bytes, last);
        seen & NOT_ASCII == 0
    }

    /// The last word as it is to be. It overlaps the one before it, so it is taken aside before that one changes: no
    /// shorter pieces remain.
    #[inline]
    fn last_word(self, bytes: &[u8]) -> Option<u64> {
        let turned = Self(self.0.rotate_right(8 * (bytes.len() as u32 % 4)));
        bytes.last_chunk::<WORD>().map(|last| u64::from_le_bytes(*last) ^ turned.wide())
    }

    #[inline]
    fn wide(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }

    fn apply_few(self, bytes: &mut [u8]) {
        for (byte, key) in bytes.iter_mut().zip(self.key().into_iter().cycle()) {
            *byte ^= key;
        }
    }
}

#[inline]
fn put_last(bytes: &mut [u8], last: u64) {
    if let Some(place) = bytes.last_chunk_mut::<WORD>() {
        *place = last.to_le_bytes();
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
            let (original, mut masked, mut mask) = (bytes.clone(), bytes, Mask::new(key));
            let mut rest = &mut masked[..];
            for cut in cuts {
                let (now, later) = rest.split_at_mut(cut.min(rest.len()));
                mask.apply(now);
                rest = later;
            }
            mask.apply(rest);
            prop_assert_eq!(&masked, &expected);
            let (mut whole, mut text) = (masked.clone(), masked);
            Mask::new(key).apply_whole(&mut whole);
            prop_assert_eq!(Mask::new(key).apply_whole_text(&mut text), text.is_ascii());
            prop_assert_eq!(&whole, &text);
            prop_assert_eq!(whole, original);
        }
    }
}
