//! Devices and memory that exist only in a test (feature `fake`): good ones to test what is above
//! the drivers, and one that lies, to test the drivers.
//!
//! ```
//! use drivers::fake::{Disk, HostMemory, Options, connect};
//! use drivers::blk::{Blk, BlkConfig};
//!
//! let memory = HostMemory::new();
//! let (transport, handle) = connect(memory, Disk::new(64), Options::default());
//! let disk = Blk::new(Box::new(transport), memory, &BlkConfig::default())?;
//! assert_eq!(disk.geometry().sectors, 64);
//! handle.with(|disk| assert_eq!(disk.data.len(), 64 * 512));
//! # Ok::<(), drivers::Error>(())
//! ```
//!
//! A device works when its doorbell rings and when the test calls [`Handle::step`]; nothing happens
//! at the same time. Where a driver touches memory that it doesn't own, or gives a device an
//! address of none, the test panics.

mod blk;
mod gpu;
mod input;
mod liar;
mod memory;
mod net;
mod queue;
mod simple;
mod transport;

pub use blk::Disk;
pub use gpu::{Adapter, Pointer, Screen, edid};
pub use input::Keyboard;
pub use liar::{Liar, Lie};
pub use memory::HostMemory;
pub use net::NetDevice;
pub use queue::{Chain, DeviceQueue};
pub use simple::{Entropy, Terminal};
pub use transport::{Backend, FakeTransport, Handle, Options, connect};
