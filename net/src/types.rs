//! Types that all layers use. They import no protocol, and no other module of this crate.

mod binding;
mod bytes;
mod cidr;
mod config;
mod error;
mod handle;
mod interface;
mod link;
mod sender;
mod socket;
mod tcp;

pub(crate) use binding::{Binding, scope_of, with_scope};
pub(crate) use bytes::{be16, be32, put};
pub use cidr::Cidr;
pub(crate) use cidr::{common_prefix, is_unicast_v4};
pub use config::{Config, RandomBits};
pub use error::Error;
pub use handle::Handle;
pub use interface::{Counters, Dhcp, InterfaceConfig, InterfaceId, InterfaceStatus, name_server};
pub use link::{
    Link, LinkCapabilities, PartialChecksum, RxChecksum, RxMeta, SegmentKind, Segmentation, TxMeta,
};
pub use sender::Sender;
pub(crate) use socket::WakeFlags;
pub use socket::{Readiness, SocketKind};
pub use tcp::{Congestion, Keepalive};
