//! SIGTERM, SIGINT and SIGHUP as events of the loop.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io;

/// The signals a server is told what to do with.
pub(super) struct Orders {
    signals: Signals,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// End: in order the first time, at once the second.
    End,
    /// Load what may have changed.
    Reload,
}

impl Orders {
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self { signals })
    }

    /// What came since the last call.
    pub(super) fn take(&mut self) -> Vec<Order> {
        self.signals.pending().map(|signal| if signal == SIGHUP { Order::Reload } else { Order::End }).collect()
    }
}
