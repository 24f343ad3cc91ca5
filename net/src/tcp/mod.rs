//! TCP: what stands around smoltcp's sockets.
//!
//! - `connection`: one connection, its socket set, what it waits for, and how it ends;
//! - `listener`: ports that are listened to, and their queues;
//! - `input`: the way of a segment to its connection;
//! - `output`: what a connection sends, and when it is looked at next;
//! - `machine`: Soil's own connection;
//! - `ports`: ephemeral ports;
//! - `operations`: the public operations;
//! - `census`: how many connections there are.

mod census;
pub(crate) mod connection;
#[allow(dead_code, reason = "for our own TCP")]
mod cookie;
#[allow(dead_code, reason = "for our own TCP")]
mod half_open;
mod input;
#[allow(dead_code, reason = "for our own TCP")]
mod limiter;
pub(crate) mod listener;
#[allow(
    dead_code,
    unused_imports,
    reason = "the stack still uses smoltcp's sockets"
)]
pub(crate) mod machine;
#[allow(dead_code, reason = "for our own TCP")]
mod numbers;
mod operations;
mod output;
mod ports;
#[allow(dead_code, reason = "for our own TCP")]
mod records;
#[allow(dead_code, reason = "for our own TCP")]
mod time_wait;
