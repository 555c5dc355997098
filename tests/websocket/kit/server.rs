//! The servers of this process, and those that run already.

use super::PATIENCE;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use tidegate::apps::Echo;
use tidegate::config::{Deflate, Settings};
use tidegate::gateway::Context;
use tidegate::net::{EventLoop, Handle, ListenOptions};

/// Whose limits a case needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// As they come: messages of 64 KiB.
    Default,
    /// Messages of 1 MiB.
    Roomy,
    /// Handshakes and closes within 300 ms, messages of 1,000 bytes.
    Tight,
    /// The defaults, and every message compressed with what came before as context.
    Takeover,
}

/// The address of an echo server with these limits.
pub fn server(limits: Limits) -> &'static str {
    static ADDRESSES: [OnceLock<String>; 4] = [const { OnceLock::new() }; 4];
    ADDRESSES[limits as usize].get_or_init(|| running(limits).unwrap_or_else(|| Server::start(limits).address))
}

fn running(limits: Limits) -> Option<String> {
    let addresses = std::env::var("TIDEGATE_TEST_WS").ok()?;
    addresses.split(',').nth(limits as usize).map(str::to_owned)
}

/// A loop of this process, in a thread of its own to the end of the tests.
pub struct Server {
    pub address: String,
    pub handle: Handle<Echo>,
}

impl Server {
    pub fn start(limits: Limits) -> Self {
        let (tell, told) = mpsc::channel();
        let serve = move || {
            let mut event_loop = EventLoop::new(Echo, settings(limits)).unwrap();
            let url = event_loop.listen(&"ws://127.0.0.1:0".parse().unwrap(), ListenOptions::default()).unwrap();
            tell.send((url.tcp_address().unwrap().to_owned(), event_loop.handle())).unwrap();
            event_loop.run().unwrap();
        };
        std::thread::Builder::new().name(format!("{limits:?}")).spawn(serve).unwrap();
        let (address, handle) = told.recv_timeout(PATIENCE).expect("the server starts");
        Self { address, handle }
    }

    /// Asks the loop's own thread.
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(&mut Context<'_>) -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.handle.run(move |_, cx| tell.send(question(cx)).unwrap()).unwrap();
        told.recv_timeout(PATIENCE).unwrap()
    }
}

fn settings(limits: Limits) -> Settings {
    let defaults = Settings::default();
    let short = Duration::from_millis(300);
    match limits {
        Limits::Default => defaults,
        Limits::Roomy => {
            let max_message_bytes = 1 << 20;
            let write_queue_hard_bytes = Settings::hard_bytes_for(max_message_bytes);
            Settings { max_message_bytes, write_queue_hard_bytes, ..defaults }
        }
        Limits::Tight => {
            Settings { handshake_timeout: short, close_timeout: short, max_message_bytes: 1000, ..defaults }
        }
        Limits::Takeover => Settings { deflate: Deflate::Takeover, deflate_min_bytes: 0, ..defaults },
    }
}
