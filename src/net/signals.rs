//! SIGTERM and SIGINT as events of the loop.

use mio::{Interest, Registry, Token};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use std::io;

/// The two signals that end a server.
pub(super) struct EndSignals {
    signals: Signals,
}

impl EndSignals {
    pub(super) fn register(registry: &Registry, token: Token) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, token, Interest::READABLE)?;
        Ok(Self { signals })
    }

    /// How many came since the last call.
    pub(super) fn take(&mut self) -> usize {
        self.signals.pending().count()
    }
}
