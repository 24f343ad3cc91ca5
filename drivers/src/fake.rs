//! Devices and memory for tests (feature `fake`): well-behaved ones to test the code above the
//! drivers, and one that lies, to test the drivers.
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
//! A device works when its doorbell rings and when the test calls [`Handle::step`]; there is no
//! concurrency. If a driver accesses memory that it doesn't own, or passes an invalid address to a
//! device, the test panics.

mod ahci;
mod blk;
mod e1000e;
mod ena;
mod frame;
mod gpu;
mod gve;
mod input;
mod legacy_pci;
mod liar;
mod lock;
mod memory;
mod net;
mod nvme;
mod pvscsi;
mod queue;
mod scsi;
mod serial;
mod simple;
mod transport;
mod vmxnet3;
mod vsock;

pub use ahci::{AhciDevice, AhciHandle, AhciLie, AhciRegisters, AtaDisk};
pub use blk::Disk;
pub use e1000e::{E1000eDevice, E1000eFrame, E1000eHandle, E1000eRegisters};
pub use ena::{
    EnaAdminLie, EnaDevice, EnaHandle, EnaLowLatency, EnaReadLie, EnaRegisters, EnaRxLie, EnaTxLie,
};
pub use frame::{finished_tcp_frame, has_valid_checksums, tcp_frame};
pub use gpu::{Adapter, Pointer, Screen, edid};
pub use gve::{GveAdminLie, GveDevice, GveHandle, GveRegisters, GveRxLie, GveTxLie};
pub use input::Keyboard;
pub use legacy_pci::LegacyPci;
pub use liar::{Liar, Lie};
pub use memory::HostMemory;
pub use net::NetDevice;
pub use nvme::{FakeNamespace, NvmeDevice, NvmeHandle, NvmeLie, NvmeRegisters};
pub use pvscsi::{PvscsiDevice, PvscsiHandle, PvscsiLie, PvscsiRegisters};
pub use queue::{Chain, DeviceQueue};
pub use scsi::{HostBusAdapter, LogicalUnit};
pub use serial::{Serial, SerialPort};
pub use simple::{Entropy, Terminal};
pub use transport::{Backend, FakeTransport, Handle, Options, Sizes, connect};
pub use vmxnet3::{Vmxnet3Device, Vmxnet3Frame, Vmxnet3Handle};
pub use vsock::{HostSocket, SocketHost};
