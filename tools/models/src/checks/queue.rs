//! A virtqueue: the driver's half is the real one, the device's follows virtio 1.2, 2.7.

use super::bell::Bell;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use drivers::device_type::DeviceType;
use drivers::model::{Access, Allocation, Buffer, Options, Queue, Segment};
use drivers::transport::{QueueAddresses, QueueSize, Status, Transport};
use drivers::{Error, Interrupt, Memory};
use loom::cell::UnsafeCell;
use loom::thread;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;
use sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

/// Requests of a run. The second one finds what the first has left in the rings.
const REQUESTS: u32 = 2;

/// This process's memory, where physical addresses are virtual ones.
struct Heap;

pub(super) static HEAP: &dyn Memory = &Heap;

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len, 64).expect("a small size")
}

// SAFETY: fresh memory; nothing else is promised to exist.
unsafe impl Memory for Heap {
    fn allocate(&self, len: usize, _: usize) -> Option<Allocation> {
        // SAFETY: a region isn't empty.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout(len)) })?;
        let phys = ptr.as_ptr().expose_provenance() as u64;
        Some(Allocation { ptr, phys, len })
    }

    unsafe fn free(&self, allocation: Allocation) {
        // SAFETY: from `allocate`, by the caller's promise.
        unsafe { dealloc(allocation.ptr.as_ptr(), layout(allocation.len)) };
    }

    fn segments(
        &self,
        _: *const u8,
        _: usize,
        _: Access,
        _: &mut dyn FnMut(Segment) -> bool,
    ) -> bool {
        false
    }

    fn map_mmio(&self, _: u64, _: usize) -> Option<NonNull<u8>> {
        None
    }

    fn now_ns(&self) -> u64 {
        0
    }
}

/// What driver and device share beside the rings.
struct Machine {
    doorbell: Bell,
    interrupt: Bell,
    /// The buffer of the requests, of which there is one at a time.
    buffer: UnsafeCell<u32>,
}

pub(super) struct Registers(Arc<Machine>, Option<QueueAddresses>);

// SAFETY: loom's threads are one of the system's.
unsafe impl Send for Registers {}

/// A queue uses no more of it than its own part.
impl Transport for Registers {
    fn device_type(&self) -> DeviceType {
        DeviceType::BLOCK
    }

    fn device_features(&mut self) -> u64 {
        unreachable!()
    }

    fn set_driver_features(&mut self, _: u64) {}

    fn status(&self) -> Status {
        unreachable!()
    }

    fn set_status(&mut self, _: Status) {}

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

    fn is_legacy(&self) -> bool {
        false
    }

    fn queue_size(&mut self, _: u16) -> Option<QueueSize> {
        Some(QueueSize::AtMost(2))
    }

    fn activate_queue(&mut self, _: u16, addresses: &QueueAddresses) -> Result<(), Error> {
        self.1 = Some(*addresses);
        Ok(())
    }

    fn notify(&self, _: u16) {
        self.0.doorbell.ring();
    }
}

/// The device.
pub(super) struct Device {
    machine: Arc<Machine>,
    addresses: QueueAddresses,
    event_idx: bool,
    seen: u16,
    used: u16,
}

impl Device {
    fn u16_at(&self, at: u64) -> &AtomicU16 {
        // SAFETY: within the rings, which outlive the device.
        unsafe { AtomicU16::from_ptr(with_exposed_provenance_mut(at as usize)) }
    }

    fn u32_at(&self, at: u64) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { AtomicU32::from_ptr(with_exposed_provenance_mut(at as usize)) }
    }

    fn suppress_interrupts(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.driver)
    }

    fn available_index(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.driver + 2)
    }

    fn available(&self, index: u16) -> &AtomicU16 {
        let slot = index % self.addresses.size;
        self.u16_at(self.addresses.driver + 4 + 2 * u64::from(slot))
    }

    fn used_event(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.driver + 4 + 2 * u64::from(self.addresses.size))
    }

    fn suppress_doorbells(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.device)
    }

    fn used_index(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.device + 2)
    }

    fn used_element(&self, index: u16) -> (&AtomicU32, &AtomicU32) {
        let slot = index % self.addresses.size;
        let at = self.addresses.device + 4 + 8 * u64::from(slot);
        (self.u32_at(at), self.u32_at(at + 4))
    }

    fn available_event(&self) -> &AtomicU16 {
        self.u16_at(self.addresses.device + 4 + 8 * u64::from(self.addresses.size))
    }

    /// Loom knows each field before the device's thread exists.
    fn begin(&self) {
        for slot in 0..self.addresses.size {
            self.available(slot).load(Ordering::Relaxed);
            self.used_element(slot).0.load(Ordering::Relaxed);
            self.used_element(slot).1.load(Ordering::Relaxed);
        }
        for field in [
            self.suppress_interrupts(),
            self.available_index(),
            self.used_event(),
            self.suppress_doorbells(),
            self.used_index(),
            self.available_event(),
        ] {
            field.load(Ordering::Relaxed);
        }
    }

    fn has_request(&self) -> bool {
        self.available_index().load(Ordering::Acquire) != self.seen
    }

    /// Waits for a request. Before it sleeps, it asks for a doorbell.
    fn await_request(&self, sleeps: Sleeps) {
        while !self.has_request() {
            if sleeps == Sleeps::Driver {
                self.machine.doorbell.wait();
                continue;
            }
            match self.event_idx {
                true => self.available_event().store(self.seen, Ordering::Relaxed),
                false => self.suppress_doorbells().store(0, Ordering::Relaxed),
            }
            fence(Ordering::SeqCst);
            if !self.has_request() {
                self.machine.doorbell.wait();
            }
            if !self.event_idx {
                self.suppress_doorbells().store(1, Ordering::Relaxed);
            }
        }
    }

    /// Serves a request; whether it interrupts.
    pub(super) fn serve(&mut self, sleeps: Sleeps) -> bool {
        self.await_request(sleeps);
        let head = self.available(self.seen).load(Ordering::Relaxed);
        self.seen += 1;
        // SAFETY: loom reports another access at the same time.
        let read = self.machine.buffer.with_mut(|at| unsafe {
            *at += 1;
            *at
        });
        let (id, len) = self.used_element(self.used);
        id.store(u32::from(head), Ordering::Relaxed);
        len.store(read, Ordering::Relaxed);
        let old = self.used;
        self.used += 1;
        self.used_index().store(self.used, Ordering::Release);
        fence(Ordering::SeqCst);
        sleeps == Sleeps::Device
            || match self.event_idx {
                true => self.used_event().load(Ordering::Relaxed) == old,
                false => self.suppress_interrupts().load(Ordering::Relaxed) & 1 == 0,
            }
    }
}

/// Who asks for a notification before it sleeps. The other one gets each, asked for or not.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sleeps {
    Both,
    Device,
    Driver,
}

/// A queue, and its device.
pub(super) fn make(event_idx: bool) -> (Queue, Registers, Device) {
    let machine = Arc::new(Machine {
        doorbell: Bell::new(),
        interrupt: Bell::new(),
        buffer: UnsafeCell::new(0),
    });
    let mut registers = Registers(machine.clone(), None);
    let options = Options {
        max_size: 2,
        min_size: 1,
        max_chain: 1,
        indirect: false,
        event_idx,
    };
    let queue = Queue::new(HEAP, &mut registers, 0, options);
    let device = Device {
        machine,
        addresses: registers.1.expect("it was activated"),
        event_idx,
        seen: 0,
        used: 0,
    };
    device.begin();
    (queue.expect("memory"), registers, device)
}

/// Makes a request, and waits for its completion by `wait`.
pub(super) fn exchange(
    queue: &mut Queue,
    registers: &Registers,
    sleeps: Sleeps,
    request: u32,
    mut wait: impl FnMut(&mut Queue),
) {
    let machine = &registers.0;
    // SAFETY: as above.
    machine.buffer.with_mut(|at| unsafe { *at = 10 * request });
    let buffer = Buffer {
        phys: 0,
        len: 100,
        device_writes: true,
    };
    queue.add(&[buffer], request).expect("it has room");
    queue.kick(registers);
    if sleeps == Sleeps::Driver {
        machine.doorbell.ring();
    }
    let completion = loop {
        if let Some(completion) = queue.pop().expect("a device that follows the protocol") {
            break completion;
        }
        if sleeps == Sleeps::Device || !queue.enable_interrupts() {
            wait(queue);
        }
    };
    // SAFETY: as above.
    let read = machine.buffer.with(|at| unsafe { *at });
    assert_eq!((read, completion.token), (10 * request + 1, request));
    assert_eq!(completion.written, read, "the length of this element");
}

/// Requests, one after another.
fn run(event_idx: bool, sleeps: Sleeps) {
    let (mut queue, registers, mut device) = make(event_idx);
    let machine = registers.0.clone();
    let device = thread::spawn(move || {
        for _ in 0..REQUESTS {
            if device.serve(sleeps) {
                device.machine.interrupt.ring();
            }
        }
    });
    for request in 0..REQUESTS {
        exchange(&mut queue, &registers, sleeps, request, |queue| {
            machine.interrupt.wait();
            queue.disable_interrupts();
        });
    }
    device.join().expect("no panic");
}

/// Both sides ask for notifications, by event indices.
pub fn by_events() {
    run(true, Sleeps::Both);
}

/// The same by flags.
pub fn by_flags() {
    run(false, Sleeps::Both);
}

/// Only the device asks.
pub fn doorbells() {
    run(true, Sleeps::Device);
}

/// Only the driver asks.
pub fn interrupts() {
    run(true, Sleeps::Driver);
}
