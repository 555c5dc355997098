//! HTTP/1.1 (RFC 9112): request heads, bodies and answers as bytes. Who is asked for what decides `gateway`.
//!
//! A server looks for the end of a head with [`find_end`], judges it with [`Head::parse`], takes the body off the
//! stream with a [`BodyDecoder`] and answers with a [`Response`]. All of it is strict where leniency would let two
//! readers of one stream disagree (RFC 9112, section 11.2): what is doubtful is refused.

mod body;
mod date;
mod forwarded;
mod head;
mod host;
mod list;
mod response;
mod status;

pub use body::{Body, BodyDecoder};
pub use date::HttpDate;
pub use forwarded::forwarded_for;
pub use head::{BodyLength, Head, MAX_FIELDS, MAX_TARGET, Method, Storage, find_end};
pub use host::split_host_port;
pub use list::{elements, is_token, is_value};
pub use response::{EncodeOptions, Response};
pub use status::Status;
