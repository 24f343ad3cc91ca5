//! The rate of the time stamp counter, measured when the time is first read.

use super::super::fw_cfg;
use super::discipline::{Reading, confirmed};
use super::pit;
use crate::acpi;
use crate::arch::{apic, counter, cpu};
use crate::cell::{ExclusiveCell, rank};
use crate::clock::{NS, Rate, scaled};
use x86_64::instructions::port::Port;

/// The first comparison is exact to one part in this many; its span follows from that and is a few
/// milliseconds at most.
const PARTS: u64 = 2000;
/// No comparison takes more ticks of the counter: some seconds.
const MAX_TICKS: u64 = 1 << 34;
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
static BUS_AT_BOOT: ExclusiveCell<Reading, rank::Clock> = ExclusiveCell::new(Reading {
    ticks: 0,
    uncertainty: u64::MAX,
    count: 0,
});

/// Reads the APIC's timer, which has begun to count.
pub fn note_bus() {
    let reading = Reading::take(&counter::counter, &apic::elapsed_bus_clocks);
    BUS_AT_BOOT.with(|at_boot| *at_boot = reading);
}

/// A clock of known rate, which counts up.
struct Reference<'a> {
    hz: u64,
    /// The bits that it has.
    mask: u64,
    count: &'a dyn Fn() -> u64,
}

impl Reference<'_> {
    /// The rates of the counter and of the APIC's timer in Hz, over 10 ms: correct unless this
    /// clock wrapped meanwhile. `None` if it is stopped or absent.
    fn rates(&self) -> Option<[u64; 2]> {
        /// A clock that hasn't moved for so many ticks, a millisecond at least, doesn't move.
        const STOPPED: u64 = 1 << 24;
        let span = self.hz / 100;
        let first = Reading::take(&counter::counter, self.count);
        let bus = apic::elapsed_bus_clocks();
        loop {
            let now = Reading::take(&counter::counter, self.count);
            let ticks = now.ticks.saturating_sub(first.ticks);
            let moved = now.count.wrapping_sub(first.count) & self.mask;
            if moved >= span && first.is_exact(&now, PARTS) {
                let hz = |count| scaled(count, self.hz, moved);
                let bus = apic::elapsed_bus_clocks().saturating_sub(bus);
                return Some([hz(ticks), hz(bus)]);
            }
            let limit = if moved == 0 { STOPPED } else { MAX_TICKS };
            if ticks > limit {
                return None;
            }
        }
    }
}

impl Scale {
    /// Of counters with these rates.
    pub fn from_hz(tsc_hz: u64, bus_hz: u64) -> Self {
        let rate = Rate::new(tsc_hz, NS);
        Self { rate, bus_hz }
    }

    /// Compares the counter with the APIC's timer: the ticks of both.
    fn against_apic() -> Option<[u64; 2]> {
        let limit = counter::counter().saturating_add(MAX_TICKS);
        let mut first = BUS_AT_BOOT.with(|at_boot| *at_boot);
        while counter::counter() < limit {
            let now = Reading::take(&counter::counter, &apic::elapsed_bus_clocks);
            if now.count >= apic::MAX_BUS_CLOCKS {
                // The timer stops at its end.
                apic::count_again();
                first.uncertainty = u64::MAX;
            } else if first.uncertainty / 4 > now.uncertainty {
                first = now;
            } else if first.is_exact(&now, PARTS) {
                let bus = now.count.saturating_sub(first.count);
                return (bus != 0).then_some([now.ticks - first.ticks, bus]);
            }
        }
        None
    }

    /// By the PIT, which must be counting; else by ACPI's power management timer (ACPI 6.5,
    /// 4.8.3.3). Two measurements agree.
    fn by_reference() -> Option<Self> {
        let pit = Reference {
            hz: pit::HZ,
            mask: 0xffff,
            count: &|| !pit::count(),
        };
        let rates = confirmed(|| pit.rates()).or_else(|| {
            let port = acpi::tables().timer?;
            let timer = Reference {
                hz: 3_579_545,
                mask: 0xff_ffff,
                count: &|| u64::from(read_port(port)),
            };
            confirmed(|| timer.rates())
        });
        rates.map(|[tsc_hz, bus_hz]| Self::from_hz(tsc_hz, bus_hz))
    }

    /// By CPUID if it reports the rate, else measured. Takes a few milliseconds; interrupts are
    /// disabled, and the PIT counts. `None` if there is no clock to measure with.
    pub fn find() -> Option<Self> {
        let hz = counter::hz();
        let is_kvm = cpu::kvm().is_some();
        if is_kvm && hz != 0 {
            return Some(Self::from_hz(hz, VIRTUAL_BUS_HZ));
        }
        if hz != 0 {
            return Some(match Self::against_apic() {
                Some([ticks, bus]) => Self::from_hz(hz, scaled(bus, hz, ticks)),
                None => Self::from_hz(hz, VIRTUAL_BUS_HZ),
            });
        }
        if is_kvm || cpu::is_emulated() {
            return Self::by_virtual_bus().or_else(Self::by_reference);
        }
        // QEMU's machines keep the bus clock where they hide who runs the processor, and its
        // `microvm` has no other clock then.
        Self::by_reference().or_else(|| fw_cfg::is_qemu().then(Self::by_virtual_bus)?)
    }

    /// By the APIC's timer of QEMU and KVM.
    fn by_virtual_bus() -> Option<Self> {
        let [ticks, bus] = Self::against_apic()?;
        Some(Self {
            rate: Rate::new(ticks, bus * (NS / VIRTUAL_BUS_HZ)),
            bus_hz: VIRTUAL_BUS_HZ,
        })
    }
}

/// Reads 32 bits of a port that only counts.
fn read_port(port: u16) -> u32 {
    // SAFETY: the timer's port, by the FADT; reading it has no effect.
    unsafe { Port::new(port).read() }
}
