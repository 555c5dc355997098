//! One connection and the ways to cut what is written to it.

use super::{Answer, PATIENCE};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How a stream is cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// One write.
    Whole,
    /// One write for each frame.
    ByFrame,
    /// One write for each byte, or for each 997 where there are thousands.
    ByByte,
    /// One write, and the upgrade request in it.
    WithTheRequest,
}

pub const WAYS: [Way; 4] = [Way::Whole, Way::ByFrame, Way::ByByte, Way::WithTheRequest];

pub struct Pipe {
    pub stream: TcpStream,
    pub way: Way,
    incoming: Vec<u8>,
    reset: bool,
}

impl Pipe {
    pub fn connect(address: &str, way: Way) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, way, incoming: Vec::new(), reset: false }
    }

    /// Writes in this pipe's way. Where the server has ended already, what it said is judged by whoever reads it.
    pub fn write(&mut self, bytes: &[u8]) {
        let size = match (self.way, bytes.len()) {
            (Way::ByByte, 0..2000) => 1,
            (Way::ByByte, _) => 997,
            (_, len) => len.max(1),
        };
        for piece in bytes.chunks(size) {
            if self.stream.write_all(piece).is_err() {
                return;
            }
            if self.way != Way::Whole {
                pause(Duration::from_micros(20));
            }
        }
    }

    /// The next thing that `parse` finds at the front of what comes, `None` at the end of the stream.
    pub fn take<T>(&mut self, parse: impl Fn(&[u8]) -> Option<(T, usize)>) -> Option<T> {
        loop {
            if let Some((thing, len)) = parse(&self.incoming) {
                self.incoming.drain(..len);
                return Some(thing);
            }
            if !self.fill() {
                assert_eq!(self.incoming.escape_ascii().to_string(), "", "the stream ends within something");
                return None;
            }
        }
    }

    pub fn answer(&mut self) -> Option<Answer> {
        self.take(|bytes| Answer::parse(bytes, false))
    }

    pub fn expect_end(&mut self) {
        while self.fill() {}
        assert_eq!(self.incoming.escape_ascii().to_string(), "");
    }

    /// Whether the server's end was a reset, as it is where it leaves bytes of ours unread.
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 32 << 10];
        match self.stream.read(&mut chunk) {
            Ok(len) => {
                self.incoming.extend_from_slice(&chunk[..len]);
                len > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                self.reset = true;
                false
            }
            Err(error) => panic!("{error}, after {:?}", self.incoming.escape_ascii().to_string()),
        }
    }
}

/// Lets time pass, so that what was written leaves by itself, or a deadline comes.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
