//! Clocks: monotonic from the time stamp counter, wall time from kvmclock or the real-time clock.
//!
//! Nothing is measured at boot but one pair of readings. The first question for the time finds out
//! how fast the counter runs: from kvmclock's page under KVM, from CPUID leaf 0x15 on hardware,
//! else by comparing it with another clock. That clock is the local APIC's timer under QEMU, where
//! its bus clock is 1 GHz by definition, and which has been counting since boot, so that nothing
//! has to be waited for; on other machines it is the PIT. From then on [`Discipline`] compares with
//! the PIT, whose channel 2 costs nothing while it isn't asked. Source: Linux's
//! Documentation/virt/kvm/x86/msr.rst; Intel SDM volume 3, chapter 20.7.3; Intel 8254 and MC146818
//! data sheets.

use crate::cell::Exclusive;
use crate::clock::{Discipline, NS, PIT_HZ, Page, Rate, Reading, confirmed, scaled};
use crate::{apic, console, machine, rtc};
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use x86_64::instructions::interrupts::without_interrupts;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

/// The first comparison is exact to one part in so many; its span is chosen so, and is a few
/// milliseconds at most.
const PARTS: u64 = 2000;
/// QEMU and KVM: the APIC's bus clock in Hz.
const VIRTUAL_BUS_HZ: u64 = NS;

#[derive(Clone, Copy)]
struct Scale {
    rate: Rate,
    bus_hz: u64,
}

/// The APIC's bus clock, once it was found; 0 before.
static BUS_HZ: AtomicU64 = AtomicU64::new(0);
/// Whether the host writes [`PAGE`].
static KVM: AtomicBool = AtomicBool::new(false);
/// Wall time at monotonic time 0, once somebody asked.
static WALL_BASE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The counter at boot: monotonic time 0.
static START: AtomicU64 = AtomicU64::new(0);
/// What the APIC's timer showed at boot; used with interrupts closed.
static BUS_AT_BOOT: Exclusive<Reading> = Exclusive::new(Reading {
    ticks: 0,
    doubt: u64::MAX,
    count: 0,
});

/// What the time is, written by the host under KVM, else by ourselves with interrupts closed.
static PAGE: Page = Page::new();
/// What keeps it right; used with interrupts closed.
static DISCIPLINE: Exclusive<Option<Discipline>> = Exclusive::new(None);
/// The counter when it wants to be asked.
static COMPARE_AT: AtomicU64 = AtomicU64::new(u64::MAX);

/// KVM's leaf of features, bit 3: the clock's new MSRs.
const KVM_FEATURES: u32 = 0x4000_0001;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;

/// The time stamp counter, for what needs a number and no time.
pub fn counter() -> u64 {
    ticks()
}

/// How many ticks of the counter take `ns` nanoseconds at least, for a wait that must end wherever
/// it is: measures nothing and takes no lock. Before the time was first asked for, by the fastest
/// counter that there is.
pub fn counter_ticks(ns: u64) -> u64 {
    const FASTEST_HZ: u64 = 6 * NS;
    PAGE.rate()
        .unwrap_or_else(|| Rate::new(FASTEST_HZ, NS))
        .ticks(ns)
}

fn ticks() -> u64 {
    // SAFETY: every 64-bit processor has the instruction.
    unsafe { _rdtsc() }
}

/// Notes where time begins.
pub fn set_up() {
    START.store(ticks(), Ordering::Relaxed);
}

/// Notes what the APIC's timer shows, which has begun to count.
pub fn note_bus() {
    let reading = Reading::take(ticks, apic::elapsed_bus_clocks);
    BUS_AT_BOOT.with(|at_boot| *at_boot = reading);
}

/// Lets KVM's clock count; false where there is none.
fn start_kvm_clock() -> bool {
    if !machine::is_kvm() || __cpuid(KVM_FEATURES).eax & 1 << 3 == 0 {
        return false;
    }
    // SAFETY: KVM has the MSR; the page is static, at its physical address, and made of atomics.
    unsafe { Msr::new(KVM_SYSTEM_TIME).write((&raw const PAGE) as u64 | 1) };
    true
}

/// The counter's rate in Hz by CPUID leaf 0x15, 0 where it doesn't say.
fn hz_by_cpuid() -> u64 {
    if __cpuid(0).eax < 0x15 {
        return 0;
    }
    let leaf = __cpuid(0x15);
    if leaf.eax == 0 {
        return 0;
    }
    u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax)
}

/// Lets the PIT's channel 2 count round and round.
fn start_pit() {
    // SAFETY: ports of the PIT and of its gate; the speaker stays off.
    unsafe {
        let mut gate = Port::<u8>::new(0x61);
        let before = gate.read();
        gate.write(before & !2 | 1);
        Port::new(0x43).write(0xb4_u8); // channel 2, both bytes, mode 2, from 2^16 down
        Port::new(0x42).write(0_u8);
        Port::new(0x42).write(0_u8);
    }
}

/// What it shows; with interrupts closed.
fn pit() -> u64 {
    // SAFETY: as above; the first write holds the count for the two readings.
    unsafe {
        Port::new(0x43).write(0x80_u8);
        let mut count = Port::<u8>::new(0x42);
        let low = count.read();
        u64::from(u16::from_le_bytes([low, count.read()]))
    }
}

/// What the counter and the APIC's timer do in a second, by the PIT over 10 ms: right unless it
/// came round meanwhile.
fn hz_by_pit() -> Option<[u64; 2]> {
    const SPAN: u64 = PIT_HZ / 100;
    let limit = ticks().saturating_add(1 << 34);
    let (first, bus) = (Reading::take(ticks, pit), apic::elapsed_bus_clocks());
    while ticks() < limit {
        let now = Reading::take(ticks, pit);
        let moved = u64::from(first.count.wrapping_sub(now.count) as u16);
        if moved >= SPAN && first.is_exact(&now, PARTS) {
            let hz = |count| scaled(count, PIT_HZ, moved);
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
        let limit = ticks().saturating_add(1 << 34);
        let mut first = BUS_AT_BOOT.with(|at_boot| *at_boot);
        while ticks() < limit {
            let now = Reading::take(ticks, apic::elapsed_bus_clocks);
            if now.count >= apic::MOST_BUS_CLOCKS {
                // It stands, since it came to its end.
                apic::count_again();
                first.doubt = u64::MAX;
            } else if first.doubt / 4 > now.doubt {
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

    fn find() -> Self {
        let hz = hz_by_cpuid();
        if machine::is_kvm() && hz != 0 {
            return Self::from_hz(hz, VIRTUAL_BUS_HZ);
        }
        let measured = if machine::is_emulated() || machine::is_kvm() {
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

/// Begins to tell the time, for the first question.
#[cold]
fn begin() {
    let bus_hz = without_interrupts(|| {
        if start_kvm_clock() {
            KVM.store(true, Ordering::Release);
            return VIRTUAL_BUS_HZ;
        }
        start_pit();
        let scale = Scale::find();
        PAGE.write(START.load(Ordering::Relaxed), 0, scale.rate);
        let first = Reading::take(ticks, pit);
        let ns = PAGE.read(|| first.ticks);
        let discipline = Discipline::new(first, ns, scale.rate);
        COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
        DISCIPLINE.with(|place| *place = Some(discipline));
        scale.bus_hz
    });
    BUS_HZ.store(bus_hz.max(1), Ordering::Release);
}

/// Compares the clock with the PIT, and makes it run as it should.
#[cold]
fn compare() {
    without_interrupts(|| {
        DISCIPLINE.with(|discipline| {
            if let Some(discipline) = discipline {
                let now = Reading::take(ticks, pit);
                let shown = PAGE.read(|| now.ticks);
                if let Some(rate) = discipline.compare(now, shown) {
                    PAGE.write(now.ticks, shown, rate);
                }
                COMPARE_AT.store(discipline.due(), Ordering::Relaxed);
            }
        });
    });
}

#[cold]
fn find_wall_base() -> u64 {
    // The real-time clock's ports are asked by one at a time.
    without_interrupts(read_wall_base)
}

/// The time of day by the machine's own clock, in nanoseconds since 1970, to the second; `None`
/// where it has none. Dear.
pub fn machine_wall_ns() -> Option<u64> {
    without_interrupts(|| {
        let by_host = KVM.load(Ordering::Acquire).then(kvm_wall_clock);
        by_host.flatten().or_else(rtc::read_ns)
    })
}

fn read_wall_base() -> u64 {
    let now = monotonic_ns();
    let wall = machine_wall_ns();
    if wall.is_none() {
        console::line(format_args!(
            "this machine has no clock: wall time begins in 1970"
        ));
    }
    let base = wall.unwrap_or(0).saturating_sub(now);
    WALL_BASE.store(base, Ordering::Release);
    base
}

/// `struct pvclock_wall_clock`: wall time when the host began to count; plus the time since.
fn kvm_wall_clock() -> Option<u64> {
    use core::sync::atomic::AtomicU32;
    static WALL: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];
    // SAFETY: as for the system time; the host fills the words in before the instruction ends.
    unsafe { Msr::new(KVM_WALL_CLOCK).write((&raw const WALL) as u64) };
    let [_, seconds, ns] = [0, 1, 2].map(|i| u64::from(WALL[i].load(Ordering::Acquire)));
    (seconds != 0).then(|| seconds * NS + ns + PAGE.read(ticks))
}

/// Nanoseconds since boot; never goes back.
pub fn monotonic_ns() -> u64 {
    if BUS_HZ.load(Ordering::Acquire) == 0 {
        begin();
    }
    if ticks() >= COMPARE_AT.load(Ordering::Relaxed) {
        compare();
    }
    PAGE.read(ticks)
}

/// Nanoseconds since 1970, UTC. Without a clock in the machine it begins at 0, which is said once.
pub fn wall_ns() -> u64 {
    let base = match WALL_BASE.load(Ordering::Acquire) {
        u64::MAX => find_wall_base(),
        base => base,
    };
    base.saturating_add(monotonic_ns())
}

/// Moves the wall clock by so many nanoseconds.
pub fn adjust_wall(offset_ns: i64) {
    wall_ns(); // finds the base
    let move_base = |base: u64| Some(base.saturating_add_signed(offset_ns).min(u64::MAX - 1));
    // It always moves.
    let _ = WALL_BASE.fetch_update(Ordering::AcqRel, Ordering::Acquire, move_base);
}

/// The APIC's bus clocks in `ns`.
pub fn bus_clocks(ns: u64) -> u64 {
    if BUS_HZ.load(Ordering::Acquire) == 0 {
        begin();
    }
    let hz = BUS_HZ.load(Ordering::Relaxed);
    scaled(ns, hz, NS)
}
