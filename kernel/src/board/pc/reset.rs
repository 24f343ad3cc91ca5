//! Reset by means that every PC has.

use crate::arch::counter::counter;
use crate::clock;
use x86_64::instructions::port::Port;

/// How often the reset line is pulsed, and how long each pulse has to work, in nanoseconds. Linux
/// pulses ten times, too (`native_machine_emergency_restart`). Firecracker's controller has another
/// thread stop the machine, which goes on meanwhile.
const PULSES: u32 = 10;
const PULSE_NS: u64 = 10_000_000;

/// Resets the machine without tables or locks, which may be broken.
pub fn reset() -> ! {
    // SAFETY: the keyboard controller's reset line, if there is such a controller.
    let pulse = || unsafe { Port::new(0x64).write(0xfe_u8) };
    pulse_and_wait(pulse, counter, clock::ticks(PULSE_NS));
    // Without a controller: a fault that can't be delivered resets the processor (a triple fault).
    // Where there is one, the fault would end the monitor with an error of its own.
    let nothing = x86_64::structures::DescriptorTablePointer {
        limit: 0,
        base: x86_64::VirtAddr::zero(),
    };
    loop {
        // SAFETY: nothing runs after this.
        unsafe {
            x86_64::instructions::tables::lidt(&nothing);
            core::arch::asm!("int3");
        }
    }
}

/// Pulses the reset line, and waits for so many ticks of the counter after each pulse.
fn pulse_and_wait(mut pulse: impl FnMut(), mut counter: impl FnMut() -> u64, ticks: u64) {
    for _ in 0..PULSES {
        pulse();
        let end = counter().saturating_add(ticks);
        while counter() < end {
            core::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PULSE_NS, PULSES, pulse_and_wait};
    use core::cell::{Cell, RefCell};

    #[test]
    fn a_monitor_has_time_to_reset_before_the_fault() {
        let (now, pulses) = (Cell::new(0), RefCell::new(Vec::new()));
        let counter = || {
            now.set(now.get() + 1000);
            now.get()
        };
        pulse_and_wait(|| pulses.borrow_mut().push(now.get()), counter, PULSE_NS);
        let pulses = pulses.into_inner();
        assert_eq!(pulses.len(), PULSES as usize);
        let ends = pulses.iter().skip(1).copied().chain([now.get()]);
        let waits = pulses.iter().zip(ends).map(|(start, end)| end - start);
        assert!(waits.min() >= Some(PULSE_NS), "{pulses:?}");
        // At least a tenth of a second for a thread of the monitor.
        assert!(now.get() - pulses[0] >= 100_000_000);
    }
}
