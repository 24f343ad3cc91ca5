//! A console other than the UART: a port of a virtio console. Its driver is linked into programs
//! with devices only (`soil_with_console`).

use core::sync::atomic::{AtomicPtr, Ordering};

/// The functions of the driver. All are called with interrupts disabled, from every context that
/// writes, with any cell in use; none waits.
pub struct Port {
    /// Takes as many bytes as there is room for; returns their number.
    pub write: fn(&[u8]) -> usize,
    /// Reads available input; returns the number of bytes.
    pub read: fn(&mut [u8]) -> usize,
    /// Passes waiting output on, and has the device interrupt for what follows.
    pub flush: fn() -> Progress,
}

/// What has become of the output.
pub struct Progress {
    /// Number of bytes that the device has newly got.
    pub taken: usize,
    /// [`Port::write`] would take bytes.
    pub has_room: bool,
    /// Someone is attached, as far as the device has told.
    pub is_open: bool,
    /// No output waits for someone who is attached.
    pub is_sent: bool,
}

impl Progress {
    /// Of a driver that can't be used any more.
    pub const OVER: Self = Self {
        taken: 0,
        has_room: true,
        is_open: false,
        is_sent: true,
    };
}

/// Starts the driver; `None` without a device.
pub type Start = fn() -> Option<&'static Port>;

/// The console's driver; null for the UART. Written once, at boot.
static PORT: AtomicPtr<Port> = AtomicPtr::new(core::ptr::null_mut());

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
        core::arch::global_asm!(
            ".pushsection .soil_console, \"a\", @progbits",
            ".balign 8",
            ".globl soil_with_console",
            "soil_with_console:",
            ".quad {}",
            ".popsection",
            sym $function,
        );
    };
}

/// Makes a port the console, if its driver was linked and there is a device.
pub fn start() {
    let (start, end) = (&raw const soil_console_start, &raw const soil_console_end);
    // SAFETY: the linker script puts whole pointers to functions of this type, from the macro
    // above, between the two.
    let first = (start < end).then(|| unsafe { start.cast::<Start>().read() });
    if let Some(port) = first.and_then(|start| start()) {
        PORT.store(core::ptr::from_ref(port).cast_mut(), Ordering::Release);
    }
}

/// The driver, if a port is the console.
pub fn port() -> Option<&'static Port> {
    // SAFETY: only `start` stores there.
    unsafe { PORT.load(Ordering::Acquire).as_ref() }
}
