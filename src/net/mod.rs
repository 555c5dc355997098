//! The operating system: sockets, the poll, the clock, signals, threads. Nothing below names any of them.

mod clock;
mod dialer;
mod event_loop;
mod handle;
mod listen_url;
mod listener;
mod place;
#[cfg(feature = "signals")]
mod signals;
mod sockets;

pub use dialer::{DialError, DialUrl, Dialer, DialerHandle};
pub use event_loop::{EventLoop, StartError, Turn};
pub use handle::{Handle, HandleError};
pub use listen_url::ListenUrl;
pub use listener::ListenOptions;
pub use place::UrlError;
