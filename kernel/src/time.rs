//! Clocks: monotonic from the time stamp counter, wall time from kvmclock or the real-time clock.
//!
//! Nothing is measured at boot. The first question for the time finds out how fast the counter runs: from kvmclock's page
//! under KVM, from CPUID leaf 0x15 on hardware, else by comparing it with another clock. That clock is the local APIC's
//! timer under QEMU, where its bus clock is 1 GHz by definition, and which has been counting since boot, so that nothing
//! has to be waited for; on other machines it is the PIT.
//! Source: Linux's Documentation/virt/kvm/x86/msr.rst; Intel SDM volume 3, chapter 20.7.3; Intel 8254 and MC146818 data sheets.

use crate::{apic, console, machine, rtc};
use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

const NS: u64 = 1_000_000_000;
/// The shortest comparison that is exact enough: APIC readings take a microsecond or two.
const MEASURE_NS: u64 = 2_000_000;
/// QEMU and KVM: the APIC's bus clock in Hz.
const VIRTUAL_BUS_HZ: u64 = NS;
const PIT_HZ: u64 = 1_193_182;

/// `ns = ticks * multiplier >> SHIFT`.
const SHIFT: u32 = 32;

#[derive(Clone, Copy)]
struct Scale {
    multiplier: u64,
    bus_hz: u64,
}

/// The scale, once it was found: atomics, since a tick may ask for the time while the program does.
static MULTIPLIER: AtomicU64 = AtomicU64::new(0);
static BUS_HZ: AtomicU64 = AtomicU64::new(0);
/// Whether [`KVM_CLOCK`] counts.
static KVM: AtomicBool = AtomicBool::new(false);
/// Wall time at monotonic time 0, once somebody asked.
static WALL_BASE: AtomicU64 = AtomicU64::new(u64::MAX);

/// The counter at boot: monotonic time 0.
static START: AtomicU64 = AtomicU64::new(0);

/// `struct pvclock_vcpu_time_info`; the host writes it.
#[repr(C, align(64))]
struct KvmClock {
    version: core::sync::atomic::AtomicU32,
    _padding: u32,
    tsc_timestamp: AtomicU64,
    system_time: AtomicU64,
    multiplier: core::sync::atomic::AtomicU32,
    shift: core::sync::atomic::AtomicI8,
    flags: core::sync::atomic::AtomicU8,
}

static KVM_CLOCK: KvmClock = KvmClock {
    version: core::sync::atomic::AtomicU32::new(0),
    _padding: 0,
    tsc_timestamp: AtomicU64::new(0),
    system_time: AtomicU64::new(0),
    multiplier: core::sync::atomic::AtomicU32::new(0),
    shift: core::sync::atomic::AtomicI8::new(0),
    flags: core::sync::atomic::AtomicU8::new(0),
};

/// KVM's leaf of features, bit 3: the clock's new MSRs.
const KVM_FEATURES: u32 = 0x4000_0001;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;

/// The time stamp counter, for what needs a number and no time.
pub fn counter() -> u64 {
    ticks()
}

fn ticks() -> u64 {
    // SAFETY: every 64-bit processor has the instruction.
    unsafe { _rdtsc() }
}

/// Notes where time begins.
pub fn set_up() {
    START.store(ticks(), Ordering::Relaxed);
}

impl KvmClock {
    /// Nanoseconds since the host began to count.
    fn read(&self) -> u64 {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let delta = ticks().saturating_sub(self.tsc_timestamp.load(Ordering::Relaxed));
            let shift = self.shift.load(Ordering::Relaxed);
            let multiplier = self.multiplier.load(Ordering::Relaxed);
            let system_time = self.system_time.load(Ordering::Relaxed);
            // Pairs with the host, which makes the version odd before it changes the rest and even afterwards.
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && version == self.version.load(Ordering::Relaxed) {
                let delta = if shift >= 0 {
                    delta << shift.min(63)
                } else {
                    delta >> shift.unsigned_abs().min(63)
                };
                return system_time + scaled(delta, u64::from(multiplier));
            }
        }
    }
}

fn scaled(ticks: u64, multiplier: u64) -> u64 {
    ((u128::from(ticks) * u128::from(multiplier)) >> SHIFT) as u64
}

/// Lets KVM's clock count; false where there is none.
fn start_kvm_clock() -> bool {
    if !machine::is_kvm() || __cpuid(KVM_FEATURES).eax & 1 << 3 == 0 {
        return false;
    }
    // SAFETY: KVM has the MSR; the page is static, at its physical address, and made of atomics.
    unsafe { Msr::new(KVM_SYSTEM_TIME).write((&raw const KVM_CLOCK) as u64 | 1) };
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

impl Scale {
    fn from_hz(tsc_hz: u64, bus_hz: u64) -> Self {
        let multiplier = (u128::from(NS) << SHIFT) / u128::from(tsc_hz.max(1));
        Self {
            multiplier: multiplier as u64,
            bus_hz,
        }
    }

    /// Compares the counter with the APIC's timer, whose rate is known.
    fn by_apic() -> Option<Self> {
        let start = START.load(Ordering::Relaxed);
        let mut bus = apic::elapsed_bus_clocks();
        let limit = ticks().saturating_add(1 << 34);
        while bus < MEASURE_NS {
            if ticks() > limit {
                return None;
            }
            bus = apic::elapsed_bus_clocks();
        }
        let tsc = ticks().saturating_sub(start);
        let hz = u128::from(tsc) * u128::from(VIRTUAL_BUS_HZ) / u128::from(bus);
        Some(Self::from_hz(hz as u64, VIRTUAL_BUS_HZ))
    }

    /// Lets the PIT's channel 2 count 10 ms and sees how far the counter and the APIC's timer get.
    fn by_pit() -> Option<Self> {
        const SPAN: u16 = (PIT_HZ / 100) as u16;
        // SAFETY: ports of the PIT and of its gate; the speaker stays off.
        unsafe {
            let mut gate = Port::<u8>::new(0x61);
            let before = gate.read();
            gate.write(before & !2 | 1);
            Port::new(0x43).write(0xb0_u8); // channel 2, both bytes, mode 0: output rises at the end
            Port::new(0x42).write(SPAN as u8);
            Port::new(0x42).write((SPAN >> 8) as u8);
            let (tsc, bus) = (ticks(), apic::elapsed_bus_clocks());
            let limit = tsc.saturating_add(1 << 34);
            while gate.read() & 0x20 == 0 {
                if ticks() > limit {
                    return None;
                }
            }
            let (tsc, bus) = (
                ticks() - tsc,
                apic::elapsed_bus_clocks().saturating_sub(bus),
            );
            gate.write(before);
            Some(Self::from_hz(tsc * 100, bus * 100))
        }
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

/// The scale's multiplier, which is found by the first question.
fn multiplier() -> u64 {
    match MULTIPLIER.load(Ordering::Acquire) {
        0 => find_scale(),
        multiplier => multiplier,
    }
}

#[cold]
fn find_scale() -> u64 {
    KVM.store(start_kvm_clock(), Ordering::Release);
    let scale = Scale::find();
    let multiplier = scale.multiplier.max(1);
    BUS_HZ.store(scale.bus_hz, Ordering::Relaxed);
    MULTIPLIER.store(multiplier, Ordering::Release);
    multiplier
}

#[cold]
fn find_wall_base() -> u64 {
    // The real-time clock's ports are asked by one at a time.
    x86_64::instructions::interrupts::without_interrupts(read_wall_base)
}

fn read_wall_base() -> u64 {
    let now = monotonic_ns();
    let wall = if KVM.load(Ordering::Acquire) {
        kvm_wall_clock()
    } else {
        None
    };
    let wall = wall.or_else(rtc::read_ns);
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
    (seconds != 0).then(|| seconds * NS + ns + KVM_CLOCK.read())
}

/// Nanoseconds since boot; never goes back.
pub fn monotonic_ns() -> u64 {
    let multiplier = multiplier();
    if KVM.load(Ordering::Acquire) {
        return KVM_CLOCK.read();
    }
    let start = START.load(Ordering::Relaxed);
    scaled(ticks().saturating_sub(start), multiplier)
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
    multiplier();
    let hz = BUS_HZ.load(Ordering::Relaxed);
    (u128::from(ns) * u128::from(hz) / u128::from(NS)).min(u128::from(u64::MAX)) as u64
}
