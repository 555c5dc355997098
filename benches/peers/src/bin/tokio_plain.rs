//! Plain wires on tokio's runtime of one thread: `tokio_plain raw|line|len echo PORT`.
//!
//! `line` and `len` are tokio-util's codecs, each forwarded to itself, which writes once for all messages of a read.

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt};
use peers::{Arguments, serve};
use std::io::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::codec::{Decoder, LengthDelimitedCodec, LinesCodec};

const RAW_BYTES: usize = 8 << 10;

fn main() -> Result<()> {
    let Arguments { wire, port, .. } = Arguments::read();
    match wire.as_deref() {
        Some("raw") => serve(port, |stream| async { drop(raw(stream).await) }),
        Some("line") => serve(port, |stream| async { drop(lines(stream).await) }),
        Some("len") => serve(port, |stream| async { drop(lengths(stream).await) }),
        _ => panic!("the wire is raw, line or len"),
    }
}

async fn raw(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; RAW_BYTES];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            got => stream.write_all(&buffer[..got]).await?,
        }
    }
}

async fn lines(stream: TcpStream) -> Result<()> {
    let (sink, stream) = LinesCodec::new_with_max_length(1 << 20).framed(stream).split();
    let ended = stream.forward(sink).await;
    ended.map_err(std::io::Error::other)
}

async fn lengths(stream: TcpStream) -> Result<()> {
    let (sink, stream) = LengthDelimitedCodec::new().framed(stream).split();
    stream.map_ok(BytesMut::freeze).forward(sink).await
}
