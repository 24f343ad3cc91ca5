//! Driver and device on two threads, each asleep as often as possible: a lost doorbell or interrupt
//! leaves both asleep. Without the fence of `enable_interrupts` this fails each time, without that
//! of `kick` every other time in an optimised build; if `kick` forgets event indices that earlier
//! calls passed, a device that waits for enough requests sleeps for good within milliseconds.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{PIECE, options};
use crate::device_type::DeviceType;
use crate::fake::HostMemory;
use crate::memory::Access;
use crate::queue::{Buffer, Queue, passes};
use crate::transport::{Interrupt, QueueAddresses, QueueSize, Status, Transport};
use crate::{Error, Region};

const SIZE: u16 = 4;

/// Shared by the two threads, besides the queue's memory.
#[derive(Default)]
struct Wires {
    doorbell: AtomicBool,
    interrupt: AtomicBool,
    stop: AtomicBool,
    addresses: Mutex<Option<QueueAddresses>>,
}

struct Bell(Arc<Wires>);

impl Transport for Bell {
    fn device_type(&self) -> DeviceType {
        DeviceType::RNG
    }
    fn is_legacy(&self) -> bool {
        false
    }
    fn device_features(&mut self) -> u64 {
        0
    }
    fn set_driver_features(&mut self, _: u64) {}
    fn status(&self) -> Status {
        Status::empty()
    }
    fn set_status(&mut self, _: Status) {}
    fn queue_size(&mut self, _: u16) -> Option<QueueSize> {
        Some(QueueSize::AtMost(SIZE))
    }
    fn activate_queue(&mut self, _: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        *self.0.addresses.lock().unwrap() = Some(*addresses);
        Ok(())
    }
    fn notify(&self, _: u16) {
        self.0.doorbell.store(true, Ordering::Relaxed);
    }
    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }
    fn config_generation(&self) -> u32 {
        0
    }
    fn read_config(&self, _: usize, _: usize) -> Option<u32> {
        None
    }
    fn write_config(&self, _: usize, _: usize, _: u32) -> Option<()> {
        None
    }
}

/// Sleeps until `wire` is set, and clears it. False after `limit`, or when `stop` is set.
fn wait(wire: &AtomicBool, stop: &AtomicBool, limit: Duration) -> bool {
    let start = Instant::now();
    for spins in 0u64.. {
        if wire.load(Ordering::Relaxed) {
            wire.store(false, Ordering::Relaxed);
            return true;
        }
        if stop.load(Ordering::Relaxed) || spins % 1024 == 1023 && start.elapsed() > limit {
            return false;
        }
        if spins % 64 == 63 {
            thread::yield_now();
        }
    }
    false
}

/// The device's side, directly on the rings' memory.
struct Device {
    memory: &'static HostMemory,
    addresses: QueueAddresses,
    event_idx: bool,
    /// Number of requests that it waits for, to take them together.
    enough: u16,
}

impl Device {
    fn field(&self, phys: u64) -> &AtomicU16 {
        let at = self.memory.host(phys, 2, Access::DeviceWrites);
        // SAFETY: rings are live memory during the test, aligned, and only accessed atomically.
        unsafe { AtomicU16::from_ptr(at.as_ptr().cast()) }
    }

    fn run(self, wires: &Wires) {
        let mut index = 0u16;
        let a = self.addresses;
        let size = u64::from(a.size);
        let (available, used) = (self.field(a.driver + 2), self.field(a.device + 2));
        let used_event = self.field(a.driver + 4 + 2 * size);
        let available_event = self.field(a.device + 4 + 8 * size);
        let (driver_flags, device_flags) = (self.field(a.driver), self.field(a.device));
        loop {
            // Acquire: pairs with the driver's publication.
            let mut ready = available.load(Ordering::Acquire).wrapping_sub(index);
            ready -= ready % self.enough;
            for _ in 0..ready {
                let slot = u64::from(index % a.size);
                let head = self.field(a.driver + 4 + 2 * slot).load(Ordering::Relaxed);
                let element = self
                    .memory
                    .host(a.device + 4 + 8 * slot, 8, Access::DeviceWrites);
                // SAFETY: as for `field`.
                let id = unsafe { AtomicU32::from_ptr(element.as_ptr().cast()) };
                id.store(u32::from(head), Ordering::Relaxed);
                let old = index;
                index = old.wrapping_add(1);
                // Release: the element is written before it.
                used.store(index, Ordering::Release);
                // Pairs with the fence of `Queue::enable_interrupts`.
                fence(Ordering::SeqCst);
                let wanted = if self.event_idx {
                    passes(used_event.load(Ordering::Relaxed), index, old)
                } else {
                    driver_flags.load(Ordering::Relaxed) == 0
                };
                if wanted {
                    wires.interrupt.store(true, Ordering::Relaxed);
                }
            }
            // As a card of QEMU does: the requested event index is beyond what it sees now, enough
            // or not.
            let seen = available.load(Ordering::Relaxed);
            available_event.store(seen, Ordering::Relaxed);
            device_flags.store(0, Ordering::Relaxed);
            // Pairs with the fence of `Queue::kick`. Acquire, below, as above.
            fence(Ordering::SeqCst);
            if available.load(Ordering::Acquire).wrapping_sub(index) < self.enough
                && !wait(&wires.doorbell, &wires.stop, Duration::MAX)
            {
                return;
            }
            device_flags.store(1, Ordering::Relaxed);
        }
    }
}

/// Sends requests one by one, or as many as fit, for at most half a second; to a device that waits
/// until there is more than one, each with a check of the doorbell.
fn race(event_idx: bool, batch: u16, enough: u16) {
    let memory = HostMemory::new();
    let wires = Arc::new(Wires::default());
    let mut bell = Bell(wires.clone());
    let mut queue = Queue::new(memory, &mut bell, 0, options(SIZE, false, event_idx)).unwrap();
    let pool = Region::new(memory, PIECE, 64).unwrap();
    let addresses = wires.addresses.lock().unwrap().unwrap();
    let device = Device {
        memory,
        addresses,
        event_idx,
        enough,
    };
    let device = thread::spawn({
        let wires = wires.clone();
        move || device.run(&wires)
    });
    let buffer = Buffer::readable(pool.phys(0), PIECE);
    let start = Instant::now();
    let mut lost = false;
    for _ in 0..100_000 {
        if lost || start.elapsed() > Duration::from_millis(500) {
            break;
        }
        for token in 0..batch {
            queue.add(&[buffer], token.into()).unwrap();
            if enough > 1 {
                queue.kick(&bell);
            }
        }
        queue.kick(&bell);
        let mut outstanding = batch;
        while outstanding > 0 && !lost {
            queue.disable_interrupts();
            while queue.pop().unwrap().is_some() {
                outstanding -= 1;
            }
            if outstanding > 0 && !queue.enable_interrupts() {
                lost = !wait(&wires.interrupt, &wires.stop, Duration::from_secs(120));
            }
        }
    }
    wires.stop.store(true, Ordering::Relaxed);
    device.join().unwrap();
    assert!(
        !lost,
        "both sides are asleep: a doorbell or an interrupt is lost"
    );
}

#[test]
fn neither_side_sleeps_for_good() {
    for event_idx in [false, true] {
        for batch in [1, SIZE] {
            race(event_idx, batch, 1);
        }
        race(event_idx, SIZE, SIZE);
    }
}
