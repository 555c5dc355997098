//! Inflates what a server sends (RFC 1951), and minds the window: libraries allow more than was agreed on.

/// The stream of one connection. Whatever is no deflate data panics.
pub struct Inflater {
    window: usize,
    history: Vec<u8>,
}

impl Inflater {
    /// Distances reach back 2 to the power of `bits`.
    pub fn new(bits: u8) -> Self {
        Self { window: 1 << bits, history: Vec::new() }
    }

    /// Forgets what came before.
    pub fn reset(&mut self) {
        self.history.clear();
    }

    /// One message, with the end that the wire leaves out.
    pub fn inflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let known = self.history.len();
        let (mut bits, mut out) = (Bits { bytes, next: 0, held: 0, count: 0 }, std::mem::take(&mut self.history));
        loop {
            assert_eq!(bits.take(1), 0, "a server that ends its stream can't go on");
            match bits.take(2) {
                0 => stored(&mut bits, &mut out),
                1 => self.compressed(&mut bits, &mut out, &fixed()),
                2 => {
                    let codes = dynamic(&mut bits);
                    self.compressed(&mut bits, &mut out, &codes);
                }
                _ => panic!("no such block (3.2.3)"),
            }
            if bits.next == bytes.len() && bits.count == 0 {
                self.history = out[out.len().saturating_sub(self.window)..].to_vec();
                return out.split_off(known);
            }
        }
    }

    /// RFC 1951, 3.2.5.
    fn compressed(&self, bits: &mut Bits<'_>, out: &mut Vec<u8>, (lengths, distances): &(Code, Code)) {
        loop {
            let symbol = usize::from(lengths.decode(bits));
            match symbol {
                0..=255 => out.push(symbol as u8),
                256 => return,
                _ => {
                    let (base, extra) = length(symbol);
                    let length = base + bits.take(extra);
                    let (base, extra) = distance(usize::from(distances.decode(bits)));
                    let distance = base + bits.take(extra);
                    assert!(distance <= self.window, "{distance} back in a window of {}", self.window);
                    let from = out.len().checked_sub(distance).expect("nothing lies before the beginning");
                    (from..from + length).for_each(|at| out.push(out[at]));
                }
            }
        }
    }
}

/// Bits from the lowest of the first byte.
struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
    held: u32,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> usize {
        while self.count < u32::from(count) {
            self.held |= u32::from(self.bytes[self.next]) << self.count;
            self.next += 1;
            self.count += 8;
        }
        let value = self.held & ((1 << count) - 1);
        self.held >>= count;
        self.count -= u32::from(count);
        value as usize
    }
}

/// RFC 1951, 3.2.4.
fn stored(bits: &mut Bits<'_>, out: &mut Vec<u8>) {
    bits.take((bits.count % 8) as u8);
    let (len, complement) = (bits.take(16), bits.take(16));
    assert_eq!(len, !complement & 0xFFFF, "a length and its complement (3.2.4)");
    out.extend_from_slice(&bits.bytes[bits.next..bits.next + len]);
    bits.next += len;
}

/// RFC 1951, 3.2.6.
fn fixed() -> (Code, Code) {
    let lens: Vec<u8> =
        [(8, 144), (9, 112), (7, 24), (8, 8)].iter().flat_map(|(len, count)| vec![*len; *count]).collect();
    (Code::new(&lens), Code::new(&[5; 30]))
}

/// RFC 1951, 3.2.7.
fn dynamic(bits: &mut Bits<'_>) -> (Code, Code) {
    const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    let (literals, distances, count) = (bits.take(5) + 257, bits.take(5) + 1, bits.take(4) + 4);
    let mut lens = [0; 19];
    ORDER[..count].iter().for_each(|at| lens[*at] = bits.take(3) as u8);
    let (code, mut lens) = (Code::new(&lens), Vec::new());
    while lens.len() < literals + distances {
        let (len, times) = match code.decode(bits) {
            16 => (*lens.last().expect("a length to repeat"), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            len => (len as u8, 1),
        };
        lens.resize(lens.len() + times, len);
    }
    assert_eq!(lens.len(), literals + distances);
    (Code::new(&lens[..literals]), Code::new(&lens[literals..]))
}

/// A Huffman code: how many symbols have each length, and the symbols in order (3.2.2).
struct Code {
    counts: [u16; 16],
    symbols: Vec<u16>,
}

impl Code {
    fn new(lens: &[u8]) -> Self {
        let mut counts = [0; 16];
        lens.iter().filter(|len| **len > 0).for_each(|len| counts[usize::from(*len)] += 1);
        let mut symbols: Vec<u16> = (0..lens.len() as u16).filter(|at| lens[usize::from(*at)] > 0).collect();
        symbols.sort_by_key(|symbol| lens[usize::from(*symbol)]);
        Self { counts, symbols }
    }

    fn decode(&self, bits: &mut Bits<'_>) -> u16 {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in self.counts[1..].iter().map(|count| usize::from(*count)) {
            code |= bits.take(1);
            if code < first + count {
                return self.symbols[index + code - first];
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no such code (3.2.2)");
    }
}

/// What symbols from 257 mean: the least length, and how many bits add to it (3.2.5).
fn length(symbol: usize) -> (usize, u8) {
    match symbol - 257 {
        short @ 0..8 => (short + 3, 0),
        28 => (258, 0),
        step => (((4 + step % 4) << (step / 4 - 1)) + 3, (step / 4 - 1) as u8),
    }
}

/// The least distance a symbol means, and how many bits add to it (3.2.5).
fn distance(symbol: usize) -> (usize, u8) {
    match symbol {
        0..4 => (symbol + 1, 0),
        step => (((2 + step % 2) << (step / 2 - 1)) + 1, (step / 2 - 1) as u8),
    }
}
