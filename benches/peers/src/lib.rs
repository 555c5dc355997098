//! What the servers of this folder share: their arguments, and a listener on a runtime of one thread.
//!
//! They are peers to measure, and hold nothing of tidegate.

use std::future::Future;
use tokio::net::{TcpListener, TcpStream};

/// What a server does with a message.
#[derive(Clone, Copy, PartialEq)]
pub enum App {
    /// Sends it back.
    Echo,
    /// Sends it to all others.
    Broadcast,
}

/// `echo|broadcast PORT`, with a wire before them where there are several.
pub struct Arguments {
    /// The first argument, of a server that has several wires.
    pub wire: Option<String>,
    /// What to do.
    pub app: App,
    /// Where to listen, on 127.0.0.1.
    pub port: u16,
}

impl Arguments {
    /// Those of this process; ends it where they are not understood.
    pub fn read() -> Self {
        let mut words: Vec<String> = std::env::args().skip(1).collect();
        let port = words.pop().and_then(|port| port.parse().ok());
        let app = words.pop().and_then(|app| match app.as_str() {
            "echo" => Some(App::Echo),
            "broadcast" => Some(App::Broadcast),
            _ => None,
        });
        match (app, port) {
            (Some(app), Some(port)) => Self { wire: words.pop(), app, port },
            _ => {
                eprintln!("usage: [WIRE] echo|broadcast PORT");
                std::process::exit(2)
            }
        }
    }
}

/// Accepts for ever on a runtime of one thread, each connection with TCP_NODELAY and a task of its own.
pub fn serve<F>(port: u16, handle: impl Fn(TcpStream) -> F) -> std::io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = listen(port)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(handle(stream));
        }
    })
}

fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    socket.listen(4096)
}
