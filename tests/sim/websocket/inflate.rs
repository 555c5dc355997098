//! Compressed messages read (RFC 7692 over RFC 1951), bit by bit, without any crate.

/// What went before on one connection.
#[derive(Debug, Default)]
pub struct Inflater {
    history: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    Invalid,
    TooLarge,
}

const WINDOW: usize = 32 << 10;
/// What every message leaves out at its end.
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

impl Inflater {
    /// The message, of at most `max` bytes; it goes on from those before where `keeps`.
    pub fn inflate(&mut self, payload: &[u8], keeps: bool, max: usize) -> Result<Vec<u8>, Unreadable> {
        if !keeps {
            self.history.clear();
        }
        if payload.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = [payload, &TAIL].concat();
        let mut run =
            Run { bits: Bits { bytes: &bytes, at: 0 }, from: 0, base: self.history.len(), max, out: Vec::new() };
        run.out.append(&mut self.history);
        run.go(payload.len())?;
        self.history = run.out[run.from.max(run.out.len().saturating_sub(WINDOW))..].to_vec();
        Ok(run.out.split_off(run.base))
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl Bits<'_> {
    fn one(&mut self) -> Result<usize, Unreadable> {
        let byte = self.bytes.get(self.at / 8).ok_or(Unreadable::Invalid)?;
        let bit = byte >> (self.at % 8) & 1;
        self.at += 1;
        Ok(usize::from(bit))
    }

    fn some(&mut self, count: usize) -> Result<usize, Unreadable> {
        (0..count).try_fold(0, |sum, at| Ok(sum | self.one()? << at))
    }

    fn align(&mut self) {
        self.at = self.at.next_multiple_of(8);
    }
}

struct Run<'a> {
    bits: Bits<'a>,
    out: Vec<u8>,
    /// No copy reaches back before this.
    from: usize,
    /// Where the message begins.
    base: usize,
    max: usize,
}

impl Run<'_> {
    /// Block after block, until exactly all is used; `len` bytes are the sender's own.
    fn go(&mut self, len: usize) -> Result<(), Unreadable> {
        loop {
            let last = self.bits.one()? == 1;
            match self.bits.some(2)? {
                0 => self.stored()?,
                1 => self.codes(&fixed_literals()?, &Huffman::new(&[5; 32], true)?)?,
                2 => self.dynamic()?,
                _ => return Err(Unreadable::Invalid),
            }
            if last {
                // Whatever follows begins anew on the next byte.
                self.bits.align();
                self.from = self.out.len();
                if self.bits.at / 8 == len {
                    return Ok(());
                }
            }
            if self.bits.at == self.bits.bytes.len() * 8 {
                return Ok(());
            }
        }
    }

    fn push(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.out.len() - self.base == self.max {
            return Err(Unreadable::TooLarge);
        }
        self.out.push(byte);
        Ok(())
    }

    fn stored(&mut self) -> Result<(), Unreadable> {
        self.bits.align();
        let (len, check) = (self.bits.some(16)?, self.bits.some(16)?);
        if len ^ check != 0xFFFF {
            return Err(Unreadable::Invalid);
        }
        for _ in 0..len {
            let byte = self.bits.some(8)?;
            self.push(byte as u8)?;
        }
        Ok(())
    }

    fn dynamic(&mut self) -> Result<(), Unreadable> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (self.bits.some(5)? + 257, self.bits.some(5)? + 1);
        let count = self.bits.some(4)? + 4;
        if literals > 286 || distances > 30 {
            return Err(Unreadable::Invalid);
        }
        let mut lengths = [0; 19];
        for at in &ORDER[..count] {
            lengths[*at] = self.bits.some(3)? as u8;
        }
        let code = Huffman::new(&lengths, false)?;
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (value, times) = match code.read(&mut self.bits)? {
                16 => (*lengths.last().ok_or(Unreadable::Invalid)?, 3 + self.bits.some(2)?),
                17 => (0, 3 + self.bits.some(3)?),
                18 => (0, 11 + self.bits.some(7)?),
                length => (length as u8, 1),
            };
            lengths.extend(std::iter::repeat_n(value, times));
        }
        if lengths.len() > literals + distances || lengths[256] == 0 {
            return Err(Unreadable::Invalid);
        }
        let (first, second) = lengths.split_at(literals);
        self.codes(&Huffman::new(first, true)?, &Huffman::new(second, true)?)
    }

    /// Literals and copies up to the end of the block.
    fn codes(&mut self, literals: &Huffman, distances: &Huffman) -> Result<(), Unreadable> {
        loop {
            match literals.read(&mut self.bits)? {
                literal @ 0..256 => self.push(literal as u8)?,
                256 => return Ok(()),
                symbol @ 257..286 => {
                    let length = self.extended(symbol - 257, 4, 3, Some(28))?;
                    let symbol = distances.read(&mut self.bits)?;
                    if symbol > 29 {
                        return Err(Unreadable::Invalid);
                    }
                    let distance = self.extended(symbol, 2, 1, None)?;
                    self.copy(length, distance)?;
                }
                _ => return Err(Unreadable::Invalid),
            }
        }
    }

    /// A length or a distance: groups of symbols, each with one more bit behind them than the group before.
    fn extended(
        &mut self,
        symbol: usize,
        group: usize,
        least: usize,
        longest: Option<usize>,
    ) -> Result<usize, Unreadable> {
        if longest == Some(symbol) {
            return Ok(258);
        }
        let more = (symbol / group).saturating_sub(1);
        let base: usize = (0..symbol).map(|before| 1 << (before / group).saturating_sub(1)).sum();
        Ok(least + base + self.bits.some(more)?)
    }

    fn copy(&mut self, length: usize, distance: usize) -> Result<(), Unreadable> {
        if distance > (self.out.len() - self.from).min(WINDOW) {
            return Err(Unreadable::Invalid);
        }
        for _ in 0..length {
            self.push(self.out[self.out.len() - distance])?;
        }
        Ok(())
    }
}

/// A canonical Huffman code: symbols in order, and how many there are of each length.
struct Huffman {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Huffman {
    /// Fails where more codes are given than there can be, or fewer: but for none, or a single one where it `may_lack`.
    fn new(lengths: &[u8], may_lack: bool) -> Result<Self, Unreadable> {
        let mut counts = [0; 16];
        lengths.iter().for_each(|length| counts[usize::from(*length)] += 1);
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| lengths[*symbol]);
        counts[0] = 0;
        let left = counts[1..].iter().try_fold(1usize, |left, count| (left * 2).checked_sub(*count));
        let is_alone = symbols.is_empty() || may_lack && symbols.len() == 1 && counts[1] == 1;
        match left {
            Some(0) => Ok(Self { counts, symbols }),
            Some(_) if is_alone => Ok(Self { counts, symbols }),
            _ => Err(Unreadable::Invalid),
        }
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Unreadable> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.one()?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Unreadable::Invalid)
    }
}

fn fixed_literals() -> Result<Huffman, Unreadable> {
    let runs: [(u8, usize); 4] = [(8, 144), (9, 112), (7, 24), (8, 8)];
    let lengths: Vec<u8> = runs.into_iter().flat_map(|(length, times)| std::iter::repeat_n(length, times)).collect();
    Huffman::new(&lengths, false)
}
