//! A console other than the UART, or its output: a port of a virtio console. Its driver is linked
//! into programs with devices, and those that ask for it.

use super::framing::Stream;
use crate::arch::interrupts::without_interrupts;
use crate::part::Slot as _;
use core::sync::atomic::{AtomicU8, Ordering};

/// A request to the driver. None waits, but [`Request::Leave`].
pub enum Request<'a> {
    /// Take bytes, at least one: their number, 0 if the caller has to wait.
    Write(Stream, &'a [u8]),
    /// Read available input: the number of bytes.
    Read(&'a mut [u8]),
    /// Whether a write takes bytes: 0 for no.
    HasRoom,
    /// Whether the device has taken all output: 0 for no.
    IsSent,
    /// Pass waiting output on, and have the device interrupt for what follows: 0 if none waits for
    /// a reader any more.
    Flush,
    /// Leave the output to the UART, if there is one: a crash is reported.
    Leave,
}

/// The use of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Output to `soil run`, in frames, until the driver leaves that to the UART.
    Output = 1,
    /// The console.
    Console,
}

/// The driver of a port.
pub trait Driver: Sync {
    /// Starts the driver; false without a device. Called once, at boot.
    fn start(&self, role: Role) -> bool;

    /// Answers a request; `None` leaves it to the UART. Called with interrupts disabled, from every
    /// context that writes, with any cell in use.
    fn answer(&self, request: Request<'_>) -> Option<usize>;
}

crate::slot! {
    /// The driver of the console, if it was linked.
    pub enum Drivers: &'static dyn Driver = "console";
}

/// The [`Role`] of a port; 0 without one. Written once, at boot.
static ROLE: AtomicU8 = AtomicU8::new(0);

/// Gives a port its role, if its driver was linked and there is a device.
pub fn start(role: Role) {
    if Drivers::parts()
        .first()
        .is_some_and(|driver| driver.start(role))
    {
        // Release: the device is set up for the callers of the driver.
        ROLE.store(role as u8, Ordering::Release);
    }
}

/// The result of a request, if there is a port, and it is for that.
#[inline(never)]
pub fn call(request: Request<'_>) -> Option<usize> {
    // Acquire: pairs with `start`.
    if ROLE.load(Ordering::Acquire) == 0 {
        return None;
    }
    let driver = Drivers::parts().first()?;
    without_interrupts(|| driver.answer(request))
}

/// Whether a port is the console.
pub fn is_used() -> bool {
    ROLE.load(Ordering::Relaxed) == Role::Console as u8
}

/// Leaves the output to the UART, for the report of a crash, once a port has taken what was written
/// before.
pub fn leave_port() {
    call(Request::Leave);
}

/// Passes waiting output of a port on; returns whether some waits for its reader.
pub fn waits() -> bool {
    call(Request::Flush).is_some_and(|waiting| waiting != 0)
}
