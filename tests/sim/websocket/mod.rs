//! HTTP and WebSocket in the simulator: what visitors send, what it means, what they must get for it. Nothing here uses
//! the crate's codecs to read: requests, frames and compressed data are decoded anew, in the plainest way.

pub mod bodies;
pub mod deeds;
pub mod ear;
pub mod frames;
pub mod heads;
pub mod inflate;
pub mod requests;
pub mod rules;
pub mod serving;
pub mod squeeze;
pub mod stream;
pub mod violations;
pub mod visit;
pub mod visitor;
