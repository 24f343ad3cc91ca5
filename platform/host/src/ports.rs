//! Named ports: a process has none.

use crate::Host;
use alloc::boxed::Box;
use platform::port::Port;

impl platform::Ports for Host {
    const HAS_PORTS: bool = false;

    fn port(_: &'static str) -> Option<Box<dyn Port<Host>>> {
        None
    }
}
