//! tokio-tungstenite on tokio's runtime of one thread: `tokio_tungstenite echo|broadcast PORT`.
//!
//! Buffers of 8 KiB instead of the default's 128 KiB, which tungstenite clears before each read. An echo is a `forward`,
//! which writes once for all messages of a read. A broadcast is a channel that all tasks listen to.

use futures_util::{SinkExt, StreamExt, TryStreamExt};
use peers::{App, Arguments, serve};
use tokio::net::TcpStream;
use tokio::sync::broadcast::{self, error::TryRecvError};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_async_with_config};

type Others = broadcast::Sender<(u16, Message)>;

fn main() -> std::io::Result<()> {
    let Arguments { app, port, .. } = Arguments::read();
    let others = Others::new(4096);
    serve(port, move |stream| {
        let others = others.clone();
        async move {
            // Errors are the load's leaving.
            let _ = handle(stream, app, others).await;
        }
    })
}

async fn handle(stream: TcpStream, app: App, others: Others) -> Result<(), Error> {
    let me = stream.peer_addr()?.port();
    let config = WebSocketConfig::default().read_buffer_size(8 << 10).write_buffer_size(8 << 10);
    let socket = accept_async_with_config(stream, Some(config)).await?;
    match app {
        App::Echo => echo(socket).await,
        App::Broadcast => broadcast(socket, me, others).await,
    }
}

async fn echo(socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    let (sink, stream) = socket.split();
    stream.try_filter(|message| std::future::ready(message.is_text() || message.is_binary())).forward(sink).await
}

async fn broadcast(mut socket: WebSocketStream<TcpStream>, me: u16, others: Others) -> Result<(), Error> {
    let mut heard = others.subscribe();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(message) => {
                    let message = message?;
                    if message.is_text() || message.is_binary() {
                        let _ = others.send((me, message));
                    }
                }
                None => return Ok(()),
            },
            first = heard.recv() => {
                let Ok(first) = first else { return Ok(()) };
                hand_over(&mut socket, me, first, &mut heard).await?;
            }
        }
    }
}

/// Sends what has been heard so far by one write.
async fn hand_over(
    socket: &mut WebSocketStream<TcpStream>,
    me: u16,
    first: (u16, Message),
    heard: &mut broadcast::Receiver<(u16, Message)>,
) -> Result<(), Error> {
    let mut next = Ok(first);
    while let Ok((from, message)) = next {
        if from != me {
            socket.feed(message).await?;
        }
        next = heard.try_recv();
    }
    match next {
        Err(TryRecvError::Empty) => socket.flush().await,
        _ => Err(Error::ConnectionClosed),
    }
}
