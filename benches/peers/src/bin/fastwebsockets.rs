//! fastwebsockets on hyper and tokio's runtime of one thread: `fastwebsockets echo|broadcast PORT`.
//!
//! As the library's examples do it: hyper's upgrade, messages put together by a collector. Each frame is written by a call
//! of its own, as the library has no other way. A broadcast is a channel that all tasks listen to.

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::{Request, Response, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use peers::{App, Arguments, serve};
use tokio::sync::broadcast;

type Others = broadcast::Sender<(u16, OpCode, Bytes)>;
const MAX_MESSAGE_BYTES: usize = 1 << 20;

fn main() -> std::io::Result<()> {
    let Arguments { app, port, .. } = Arguments::read();
    let others = Others::new(4096);
    serve(port, move |stream| {
        let (others, me) = (others.clone(), stream.peer_addr().map_or(0, |peer| peer.port()));
        let service = service_fn(move |request| std::future::ready(enter(request, app, me, others.clone())));
        async move {
            // Errors are the load's leaving.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        }
    })
}

fn enter(
    mut request: Request<Incoming>,
    app: App,
    me: u16,
    others: Others,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(async move {
        let _ = match app {
            App::Echo => echo(upgraded).await,
            App::Broadcast => broadcast(upgraded, me, others).await,
        };
    }));
    Ok(response)
}

async fn echo(upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn broadcast(upgraded: upgrade::UpgradeFut, me: u16, others: Others) -> Result<(), WebSocketError> {
    let mut socket = upgraded.await?;
    socket.set_max_message_size(MAX_MESSAGE_BYTES);
    let mut heard = others.subscribe();
    let (read, mut write) = socket.split(tokio::io::split);
    let mut read = FragmentCollectorRead::new(read);
    let listening = tokio::spawn(async move {
        while let Ok((from, opcode, payload)) = heard.recv().await {
            if from != me {
                write.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(&payload))).await?;
            }
        }
        Ok::<(), WebSocketError>(())
    });
    let ended = loop {
        // The load sends no pings, so there is no answer that this half would owe.
        let frame = match read.read_frame::<_, WebSocketError>(&mut |_| async { Ok(()) }).await {
            Ok(frame) => frame,
            Err(error) => break Err(error),
        };
        match frame.opcode {
            OpCode::Close => break Ok(()),
            OpCode::Text | OpCode::Binary => {
                let _ = others.send((me, frame.opcode, Bytes::copy_from_slice(&frame.payload)));
            }
            _ => {}
        }
    };
    listening.abort();
    ended
}
