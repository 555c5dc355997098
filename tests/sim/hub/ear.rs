//! A client's wire: what it says as bytes, and what it hears as documents, decoded in the plainest way.

use crate::rng::Rng;
use crate::websocket::frames;
use serde_json::Value;
use tidegate::wire::Wire;

/// What came from the server.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Document(Value),
    /// The last word, with its code.
    Close(u16),
}

/// Takes the server's bytes apart.
#[derive(Debug)]
pub struct Ear {
    wire: Wire,
    bytes: Vec<u8>,
    opened: bool,
}

/// How a client asks for a WebSocket.
pub const UPGRADE: &str = "GET /connection/websocket HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Documents as one unit of this wire, or one after the other where it carries no more.
pub fn frame(wire: Wire, documents: &[String], rng: &mut Rng) -> Vec<u8> {
    let all = documents.join("\n");
    match wire {
        Wire::WebSocket => frames::from_client(
            frames::FIN | frames::TEXT,
            rng.next().to_le_bytes()[..4].try_into().unwrap_or_default(),
            all.as_bytes(),
        ),
        Wire::Length => [&(all.len() as u32).to_be_bytes()[..], all.as_bytes()].concat(),
        Wire::Line | Wire::Raw => (all + "\n").into_bytes(),
    }
}

impl Ear {
    pub fn new(wire: Wire) -> Self {
        Self { wire, bytes: Vec::new(), opened: wire != Wire::WebSocket }
    }

    /// The next whole things; `Err` where no server may say that.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Vec<Told>, String> {
        self.bytes.extend_from_slice(bytes);
        let mut told = Vec::new();
        while let Some(len) = self.next(&mut told)? {
            self.bytes.drain(..len);
        }
        Ok(told)
    }

    fn next(&self, told: &mut Vec<Told>) -> Result<Option<usize>, String> {
        match self.wire {
            _ if !self.opened => Ok(None),
            Wire::Line | Wire::Raw => {
                let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
                    return Ok(None);
                };
                documents(&self.bytes[..end], told)?;
                Ok(Some(end + 1))
            }
            Wire::Length => {
                let Some(header) = self.bytes.first_chunk::<4>() else {
                    return Ok(None);
                };
                let end = 4 + u32::from_be_bytes(*header) as usize;
                let Some(body) = self.bytes.get(4..end) else {
                    return Ok(None);
                };
                documents(body, told)?;
                Ok(Some(end))
            }
            Wire::WebSocket => self.next_frame(told),
        }
    }

    fn next_frame(&self, told: &mut Vec<Told>) -> Result<Option<usize>, String> {
        let Some(length) = frames::length(&self.bytes) else {
            return Ok(None);
        };
        let (len, at) = length?;
        let end = at + len as usize;
        let Some(payload) = self.bytes.get(at..end) else {
            return Ok(None);
        };
        match self.bytes[0] {
            first if first == frames::FIN | frames::TEXT => documents(payload, told)?,
            first if first == frames::FIN | frames::CLOSE => {
                let code = payload.first_chunk::<2>().ok_or("a close without a code")?;
                told.push(Told::Close(u16::from_be_bytes(*code)));
            }
            other => return Err(format!("a frame that begins with {other:#x}")),
        }
        Ok(Some(end))
    }

    /// The answer to [`UPGRADE`], once it is whole.
    pub fn open(&mut self) -> Result<bool, String> {
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| !self.opened) else {
            return Ok(false);
        };
        if !self.bytes.starts_with(b"HTTP/1.1 101 ") {
            return Err(format!("a WebSocket refused: {}", String::from_utf8_lossy(&self.bytes[..end])));
        }
        self.bytes.drain(..end + 4);
        self.opened = true;
        Ok(true)
    }
}

/// Documents, one after the other.
fn documents(text: &[u8], told: &mut Vec<Told>) -> Result<(), String> {
    for document in text.split(|byte| *byte == b'\n') {
        let value: Value = serde_json::from_slice(document)
            .map_err(|error| format!("{error} in {}", String::from_utf8_lossy(document)))?;
        let disconnect = value.pointer("/push/disconnect/code").and_then(Value::as_u64);
        told.push(disconnect.map_or(Told::Document(value), |code| Told::Close(code as u16)));
    }
    Ok(())
}
