//! The rate of the time stamp counter, measured when the time is first read.

use super::discipline::{Reading, confirmed};
use crate::arch::pvclock::{NS, Rate, scaled};
use crate::arch::{apic, cpu, pit, tsc};
use crate::cell::ExclusiveCell;
use crate::console;

/// The first comparison is exact to one part in this many; its span follows from that and is a few
/// milliseconds at most.
const PARTS: u64 = 2000;
/// The APIC's bus clock of QEMU and KVM, in Hz.
pub const VIRTUAL_BUS_HZ: u64 = NS;

/// The rates of both counters.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Of the time stamp counter.
    pub rate: Rate,
    /// Of the APIC's timer.
    pub bus_hz: u64,
}

/// The APIC's timer at boot. Written once at boot, read on the first read of the time, both with
/// interrupts disabled.
static BUS_AT_BOOT: ExclusiveCell<Reading> = ExclusiveCell::new(Reading {
    ticks: 0,
    uncertainty: u64::MAX,
    count: 0,
});

/// Reads the APIC's timer, which has begun to count.
pub fn note_bus() {
    let reading = Reading::take(tsc::counter, apic::elapsed_bus_clocks);
    BUS_AT_BOOT.with(|at_boot| *at_boot = reading);
}

/// The rates of the counter and of the APIC's timer in Hz, by the PIT over 10 ms: correct unless
/// its counter wrapped meanwhile.
fn hz_by_pit() -> Option<[u64; 2]> {
    const SPAN: u64 = pit::HZ / 100;
    let limit = tsc::counter().saturating_add(1 << 34);
    let (first, bus) = (
        Reading::take(tsc::counter, pit::count),
        apic::elapsed_bus_clocks(),
    );
    while tsc::counter() < limit {
        let now = Reading::take(tsc::counter, pit::count);
        let moved = u64::from(first.count.wrapping_sub(now.count) as u16);
        if moved >= SPAN && first.is_exact(&now, PARTS) {
            let hz = |count| scaled(count, pit::HZ, moved);
            let bus = apic::elapsed_bus_clocks().saturating_sub(bus);
            return Some([hz(now.ticks - first.ticks), hz(bus)]);
        }
    }
    None
}

impl Scale {
    fn from_hz(tsc_hz: u64, bus_hz: u64) -> Self {
        let rate = Rate::new(tsc_hz, NS);
        Self { rate, bus_hz }
    }

    /// Compares the counter with the APIC's timer, whose rate is known.
    fn by_apic() -> Option<Self> {
        let limit = tsc::counter().saturating_add(1 << 34);
        let mut first = BUS_AT_BOOT.with(|at_boot| *at_boot);
        while tsc::counter() < limit {
            let now = Reading::take(tsc::counter, apic::elapsed_bus_clocks);
            if now.count >= apic::MAX_BUS_CLOCKS {
                // The timer stops at its end.
                apic::count_again();
                first.uncertainty = u64::MAX;
            } else if first.uncertainty / 4 > now.uncertainty {
                first = now;
            } else if first.is_exact(&now, PARTS) {
                let bus = now.count.saturating_sub(first.count);
                let rate = Rate::new(now.ticks - first.ticks, bus * (NS / VIRTUAL_BUS_HZ));
                let bus_hz = VIRTUAL_BUS_HZ;
                return (bus != 0).then_some(Self { rate, bus_hz });
            }
        }
        None
    }

    /// Compares both with the PIT, which must be counting, until two measurements agree.
    fn by_pit() -> Option<Self> {
        confirmed(hz_by_pit).map(|[tsc_hz, bus_hz]| Self::from_hz(tsc_hz, bus_hz))
    }

    /// By CPUID if it reports the rate, else measured. Takes a few milliseconds; interrupts are
    /// disabled, and the PIT counts.
    pub fn find() -> Self {
        let hz = tsc::hz();
        if cpu::is_kvm() && hz != 0 {
            return Self::from_hz(hz, VIRTUAL_BUS_HZ);
        }
        let measured = if cpu::is_emulated() || cpu::is_kvm() {
            Self::by_apic()
        } else {
            Self::by_pit()
        };
        match (measured, hz) {
            (Some(scale), 0) => scale,
            (Some(scale), hz) => Self::from_hz(hz, scale.bus_hz),
            (None, 0) => {
                console::line(format_args!(
                    "no clock to compare the time stamp counter with: taking it for 1 GHz"
                ));
                Self::from_hz(NS, NS)
            }
            (None, hz) => Self::from_hz(hz, NS),
        }
    }
}
