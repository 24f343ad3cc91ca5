//! The platform of this build: the image's, or Linux's.

#[cfg(not(feature = "image"))]
pub use host::{Host as Current, Interest, LinkWake, Offload};
#[cfg(feature = "image")]
pub use image::{Image as Current, Interest, LinkWake, Offload, Ticks};
#[cfg(feature = "image")]
pub use image::{boot, environment, metadata, part};

/// The transport of the program's sockets.
pub type Transport = <Current as platform::Links>::Transport;
