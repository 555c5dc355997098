//! Memory for bytes under way: a pool of buffers, and the queue of what waits to be sent.
//!
//! An idle connection owns none of it. Every byte held is counted where it is taken, so the counters are the ledger.

mod pool;
mod write_queue;

pub use pool::Pool;
pub use write_queue::WriteQueue;
