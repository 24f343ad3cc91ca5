//! A console other than the UART: a port of a virtio console. Its driver is linked into programs
//! with devices only (`soil_with_console`).

use crate::arch::interrupts::without_interrupts;
use core::sync::atomic::{AtomicPtr, Ordering};

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

/// The driver. Called with interrupts disabled, from every context that writes, with any cell in
/// use.
pub type Driver = fn(Request<'_>) -> usize;

/// Starts the driver; `None` without a device.
pub type Start = fn() -> Option<Driver>;

/// The console's driver; null for the UART. Written once, at boot.
static DRIVER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

unsafe extern "C" {
    // The linker script places one [`Start`] between the two, or none.
    static soil_console_start: u8;
    static soil_console_end: u8;
}

/// Places the driver, which is linked if the symbol `soil_with_console` is referenced.
#[macro_export]
macro_rules! console_driver {
    ($function:path) => {
        const _: $crate::console::Start = $function;
        $crate::place!(".soil_console", "soil_with_console", $function);
    };
}

/// Makes a port the console, if its driver was linked and there is a device.
pub fn start() {
    let (start, end) = (&raw const soil_console_start, &raw const soil_console_end);
    #[allow(clippy::cast_ptr_alignment, reason = "the macro aligns it")]
    // SAFETY: the linker script puts whole pointers to functions of this type, from the macro
    // above, between the two.
    let first = (start < end).then(|| unsafe { start.cast::<Start>().read() });
    if let Some(driver) = first.and_then(|start| start()) {
        // Release: the device is set up for who calls the driver.
        DRIVER.store(driver as *mut (), Ordering::Release);
    }
}

/// The result of a request, if a port is the console.
#[inline(never)]
pub fn call(request: Request<'_>) -> Option<usize> {
    // Acquire: pairs with `start`. SAFETY: only that stores there, a function of this type; null is
    // `None`.
    let driver: Option<Driver> = unsafe { core::mem::transmute(DRIVER.load(Ordering::Acquire)) };
    driver.map(|driver| without_interrupts(|| driver(request)))
}

/// Whether a port is the console.
pub fn is_used() -> bool {
    !DRIVER.load(Ordering::Relaxed).is_null()
}

/// Passes waiting output of a port on; returns whether some waits for its reader.
pub fn waits() -> bool {
    call(Request::Flush).is_some_and(|waiting| waiting != 0)
}
