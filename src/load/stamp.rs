//! What stands at the front of a published payload: whose it is, its number, and when it was to leave. All of it is text
//! that needs no escape in JSON.

use super::Moment;

/// The front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Of which run of the load.
    pub run: u32,
    /// Of which stream in it: a channel and a publisher.
    pub stream: u16,
    /// Its number in the stream, from 0 without a gap; up to 40 bits.
    pub number: u64,
    /// When it was to leave.
    pub at: Moment,
}

/// Bytes of a stamp, the least that a payload has.
pub const STAMP_BYTES: usize = 2 + 8 + 4 + 10 + 16;
const MARK: [u8; 2] = *b"tg";

impl Stamp {
    /// Writes it over the front of a payload, and what is behind it full of a letter.
    pub fn write(&self, payload: &mut [u8]) {
        let (front, rest) = payload.split_at_mut(STAMP_BYTES);
        front[..2].copy_from_slice(&MARK);
        write_hex(&mut front[2..10], self.run.into());
        write_hex(&mut front[10..14], self.stream.into());
        write_hex(&mut front[14..24], self.number);
        write_hex(&mut front[24..40], self.at.as_nanos());
        rest.fill(letter(self.number));
    }

    /// Where a payload stands among the latest `kept` ones, a power of two up to 256, of each stream; it may be no
    /// payload of ours at all.
    #[inline]
    pub fn place(payload: &[u8], kept: usize) -> Option<usize> {
        let front = payload.first_chunk::<STAMP_BYTES>()?;
        let (stream, number) = (read_hex(&front[10..14])?, read_hex(&front[22..24])?);
        Some(usize::try_from(stream).ok()? * kept + (usize::try_from(number).ok()? & (kept - 1)))
    }

    /// The stamp of a payload that is whole: all behind it is as [`Stamp::write`] leaves it.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (front, rest) = payload.split_first_chunk::<STAMP_BYTES>()?;
        if front[..2] != MARK {
            return None;
        }
        let stamp = Self {
            run: u32::try_from(read_hex(&front[2..10])?).ok()?,
            stream: u16::try_from(read_hex(&front[10..14])?).ok()?,
            number: read_hex(&front[14..24])?,
            at: Moment::from_nanos(read_hex(&front[24..40])?),
        };
        let expected = letter(stamp.number);
        rest.iter().all(|byte| *byte == expected).then_some(stamp)
    }
}

fn letter(number: u64) -> u8 {
    b'a' + u8::try_from(number % 26).unwrap_or(0)
}

fn write_hex(out: &mut [u8], mut number: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number & 15).unwrap_or(0)];
        number >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    let mut number = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u64::from(value);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(number: u64) -> Stamp {
        Stamp { run: 0xDEAD_BEEF, stream: 513, number, at: Moment::from_nanos(1_234_567_890_123) }
    }

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 25, 26, (1 << 40) - 1] {
            for size in [STAMP_BYTES, STAMP_BYTES + 1, 500] {
                let mut payload = vec![0; size];
                stamp(number).write(&mut payload);
                assert_eq!(Stamp::read(&payload), Some(stamp(number)));
                assert!(payload.iter().all(u8::is_ascii_alphanumeric), "JSON and lines take it as it is");
            }
        }
    }

    #[test]
    fn a_payload_that_is_not_whole_has_none() {
        let mut payload = vec![0; 100];
        stamp(7).write(&mut payload);
        for at in 0..payload.len() {
            let mut torn = payload.clone();
            torn[at] = b'!';
            assert_eq!(Stamp::read(&torn), None, "{at}");
        }
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
    }
}
