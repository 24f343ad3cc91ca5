//! A console other than the UART: a port of a virtio console. Its driver is linked into programs
//! with devices only.

use crate::arch::interrupts::without_interrupts;
use crate::part::Slot as _;
use core::sync::atomic::{AtomicBool, Ordering};

/// A request to the driver. None waits.
pub enum Request<'a> {
    /// Take bytes: their number, 0 if the caller has to wait.
    Write(&'a [u8]),
    /// Read available input: the number of bytes.
    Read(&'a mut [u8]),
    /// Whether a write takes bytes: 0 for no.
    HasRoom,
    /// Pass waiting output on, and have the device interrupt for what follows: 0 if none waits for
    /// a reader any more.
    Flush,
}

/// The driver of a port.
pub trait Driver: Sync {
    /// Starts the driver; false without a device. Called once, at boot.
    fn start(&self) -> bool;

    /// Answers a request. Called with interrupts disabled, from every context that writes, with any
    /// cell in use.
    fn answer(&self, request: Request<'_>) -> usize;
}

crate::slot! {
    /// The driver of the console, if it was linked.
    pub enum Drivers: &'static dyn Driver = "console";
}

/// A port is the console. Written once, at boot.
static USED: AtomicBool = AtomicBool::new(false);

/// Makes a port the console, if its driver was linked and there is a device.
pub fn start() {
    if Drivers::parts()
        .first()
        .is_some_and(|driver| driver.start())
    {
        // Release: the device is set up for the callers of the driver.
        USED.store(true, Ordering::Release);
    }
}

/// The result of a request, if a port is the console.
#[inline(never)]
pub fn call(request: Request<'_>) -> Option<usize> {
    // Acquire: pairs with `start`.
    if !USED.load(Ordering::Acquire) {
        return None;
    }
    let driver = Drivers::parts().first()?;
    Some(without_interrupts(|| driver.answer(request)))
}

/// Whether a port is the console.
pub fn is_used() -> bool {
    USED.load(Ordering::Relaxed)
}

/// Passes waiting output of a port on; returns whether some waits for its reader.
pub fn waits() -> bool {
    call(Request::Flush).is_some_and(|waiting| waiting != 0)
}
