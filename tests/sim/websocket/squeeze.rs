//! Compresses a visitor's messages (RFC 7692).

use flate2::{Compress, Compression, FlushCompress};

#[derive(Debug)]
pub struct Squeeze {
    zlib: Compress,
    /// Each message by itself.
    afresh: bool,
}

impl Squeeze {
    pub fn new(level: u32, afresh: bool) -> Self {
        Self { zlib: Compress::new(Compression::new(level), false), afresh }
    }

    pub fn squeeze(&mut self, message: &[u8]) -> Vec<u8> {
        if self.afresh {
            self.zlib.reset();
        }
        // Room for whatever a level makes of bytes that can't be compressed.
        let mut out = Vec::with_capacity(message.len() * 2 + 1024);
        self.zlib.compress_vec(message, &mut out, FlushCompress::Sync).expect("a compressor takes any bytes");
        out.truncate(out.len().saturating_sub(4));
        out
    }
}
