//! Connection ids: two numbers inside, a UUID outside, computed and never stored.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::num::NonZeroU64;

/// One connection, for as long as the gateway lives: no other ever has the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(
    /// Never zero, as serial numbers begin at 1: an absent id takes no more memory, and no second comparison.
    NonZeroU64,
);

const SLOT_BITS: u32 = 24;

impl ConnId {
    /// The connection in `slot` (under 2^24) that was accepted as number `serial` (from 1, under 2^40).
    pub(super) fn new(slot: usize, serial: u64) -> Self {
        assert!(slot < 1 << SLOT_BITS && serial < 1 << (64 - SLOT_BITS));
        Self(NonZeroU64::new(serial << SLOT_BITS | slot as u64).expect("serial numbers begin at 1"))
    }

    /// The id as one number, for a poll's token.
    #[inline]
    pub fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The id that [`ConnId::to_bits`] gave. Bits from elsewhere find no connection.
    #[inline]
    pub fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MAX))
    }

    /// Its place in tables; used again by later connections.
    #[inline]
    pub fn slot(self) -> usize {
        (self.0.get() & ((1 << SLOT_BITS) - 1)) as usize
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({}@{})", self.0.get() >> SLOT_BITS, self.slot())
    }
}

/// A connection id as people and other programs see it: a UUID of version 8 (RFC 9562, section 5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnText(u128);

impl From<ConnText> for u128 {
    fn from(text: ConnText) -> u128 {
        text.0
    }
}

impl fmt::Display for ConnText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// Turns ids into UUIDs and back by a keyed permutation of 122 bits: a registry by text without a map.
///
/// A Feistel network of four rounds over two halves of 61 bits, its round function the standard library's SipHash.
/// An id fills 64 of the 122 bits; the other 58 must come back as zeros, so guessed texts find nothing.
#[derive(Debug, Clone)]
pub(super) struct IdCipher {
    key: u64,
}

const HALF_BITS: u32 = 61;
const HALF: u128 = (1 << HALF_BITS) - 1;
const ROUNDS: u8 = 4;

impl IdCipher {
    pub(super) fn new(key: u64) -> Self {
        Self { key }
    }

    pub(super) fn text(&self, id: ConnId) -> ConnText {
        let (mut left, mut right) = split(u128::from(id.to_bits()));
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mix(round, right));
        }
        ConnText(with_version(left << HALF_BITS | right))
    }

    /// The id behind a UUID that this gateway may have printed; anything else is `None`.
    pub(super) fn id(&self, text: &str) -> Option<ConnId> {
        let (mut left, mut right) = split(without_version(parse_uuid(text)?)?);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mix(round, left), left);
        }
        u64::try_from(left << HALF_BITS | right).ok().and_then(NonZeroU64::new).map(ConnId)
    }

    fn mix(&self, round: u8, half: u128) -> u128 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write_u8(round);
        hasher.write_u128(half);
        u128::from(hasher.finish()) & HALF
    }
}

fn split(value: u128) -> (u128, u128) {
    (value >> HALF_BITS & HALF, value & HALF)
}

const VERSION_8: u128 = 8 << 76;
const VARIANT: u128 = 0b10 << 62;

/// Spreads 122 bits around the six that say version and variant.
fn with_version(bits: u128) -> u128 {
    let (high, mid, low) = (bits >> 74, bits >> 62 & 0xfff, bits & ((1 << 62) - 1));
    high << 80 | VERSION_8 | mid << 64 | VARIANT | low
}

fn without_version(uuid: u128) -> Option<u128> {
    let fixed = uuid & (0xf << 76 | 0b11 << 62);
    let (high, mid, low) = (uuid >> 80, uuid >> 64 & 0xfff, uuid & ((1 << 62) - 1));
    (fixed == VERSION_8 | VARIANT).then_some(high << 74 | mid << 62 | low)
}

fn parse_uuid(text: &str) -> Option<u128> {
    let hyphens_stand_right = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    hyphens_stand_right.then(|| u128::from_str_radix(&text.replace('-', ""), 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn texts_are_uuids_that_lead_back_and_never_collide() {
        let cipher = IdCipher::new(7);
        let mut seen = HashSet::new();
        for serial in 1..2000 {
            let id = ConnId::new(serial as usize % 50, serial);
            let text = cipher.text(id).to_string();
            assert_eq!((text.len(), &text[14..15]), (36, "8"));
            assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
            assert_eq!(cipher.id(&text), Some(id));
            assert!(seen.insert(text));
        }
    }

    #[test]
    fn the_largest_id_survives() {
        let (cipher, id) = (IdCipher::new(1), ConnId::new((1 << 24) - 1, (1 << 40) - 1));
        assert_eq!(cipher.id(&cipher.text(id).to_string()), Some(id));
    }

    #[test]
    fn texts_of_another_start_or_with_a_slip_find_nothing() {
        let id = ConnId::new(3, 9);
        let text = IdCipher::new(1).text(id).to_string();
        assert_eq!(IdCipher::new(2).id(&text), None);
        for at in 0..36 {
            let mut slip = text.clone().into_bytes();
            slip[at] = if slip[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(IdCipher::new(1).id(std::str::from_utf8(&slip).unwrap()), None, "changed at {at}");
        }
        for not_uuid in ["", "x", &text[1..], &text.replace('-', "+")] {
            assert_eq!(IdCipher::new(1).id(not_uuid), None);
        }
    }
}
