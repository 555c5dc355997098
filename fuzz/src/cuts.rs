//! Cuts of a stream into the pieces it could arrive in.

/// The bytes of a stream, piece by piece.
#[derive(Debug, Clone)]
pub struct Pieces<'b> {
    rest: &'b [u8],
    seed: u16,
    state: u64,
}

/// All bytes in one piece.
pub const WHOLE: u16 = 0;
/// Each byte by itself.
pub const SINGLE: u16 = 1;

/// Longest piece by the lowest bits of a random number: short ones are the rule.
const SIZES: [u64; 8] = [1, 2, 3, 5, 8, 16, 100, 1000];

/// Cuts `bytes` as `seed` says: not at all, everywhere, or in pieces of some length. None of them is empty.
pub fn pieces(bytes: &[u8], seed: u16) -> Pieces<'_> {
    Pieces { rest: bytes, seed, state: u64::from(seed) }
}

impl<'b> Iterator for Pieces<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (piece, rest) = self.rest.split_at(self.size().min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

impl Pieces<'_> {
    fn size(&mut self) -> usize {
        match self.seed {
            WHOLE => self.rest.len(),
            SINGLE => 1,
            _ => {
                let random = next_random(&mut self.state);
                (1 + (random >> 8) % SIZES[(random % 8) as usize]) as usize
            }
        }
    }
}

/// SplitMix64: one step.
pub fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
