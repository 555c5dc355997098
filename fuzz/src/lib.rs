//! What the fuzz targets share: cuts of a stream, what a client sends, and second opinions
//! on frames, answers and compressed data.
//!
//! The second opinions are written to be plain, not fast: they see a whole stream at once, copy what they like, and
//! share no code with the gateway.

pub mod client;
pub mod cuts;
pub mod deflate;
pub mod frames;
pub mod responses;
