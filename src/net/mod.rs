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
mod socket;
mod sockets;
mod stream;
#[cfg(feature = "cli")]
mod swarm;
#[cfg(feature = "tls")]
mod tls;

pub use dialer::{DialError, DialUrl, Dialer, DialerHandle};
#[cfg(feature = "hub")]
pub use dialer::{HubDialer, HubHandle};
pub use event_loop::{EventLoop, StartError, Turn};
pub use handle::{Handle, HandleError};
pub use listen_url::ListenUrl;
pub use listener::ListenOptions;
pub use place::UrlError;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use swarm::{SocketLines, Source, Swarm, Target, TargetError};
#[cfg(feature = "tls")]
pub use tls::{
    Inside as TlsInside, Received as TlsReceived, Session as TlsSession, TlsError, TlsFiles, TlsProblem, TlsServer,
    client_config as tls_client_config, server_name as tls_server_name,
};
