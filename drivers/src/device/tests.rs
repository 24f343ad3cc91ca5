//! How long a reset may take.

use std::boxed::Box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Device, RESET_NS};
use crate::device_type::DeviceType;
use crate::fake::HostMemory;
use crate::transport::{Interrupt, QueueAddresses, QueueSize, Status, Transport};
use crate::{Error, Memory};

/// How a device answers a reset.
#[derive(Clone, Copy)]
enum Reset {
    /// It is done after this time.
    Takes(u64),
    /// It marks itself as failed.
    Refused,
}

struct Slow {
    memory: &'static HostMemory,
    reset: Reset,
    status: Status,
    /// When the reset is done.
    done: Option<u64>,
    reads: Arc<AtomicUsize>,
}

impl Transport for Slow {
    fn device_type(&self) -> DeviceType {
        DeviceType::RNG
    }
    fn is_legacy(&self) -> bool {
        true
    }
    fn device_features(&mut self) -> u64 {
        0
    }
    fn set_driver_features(&mut self, _: u64) {}
    fn status(&self) -> Status {
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.done {
            Some(done) if self.memory.now_ns() >= done => Status::empty(),
            _ => self.status,
        }
    }
    fn set_status(&mut self, status: Status) {
        match (status.is_empty(), self.reset) {
            (true, Reset::Takes(ns)) => self.done = Some(self.memory.now_ns() + ns),
            (true, Reset::Refused) => self.status |= Status::FAILED,
            (false, _) => (self.status, self.done) = (status, None),
        }
    }
    fn queue_size(&mut self, _: u16) -> Option<QueueSize> {
        None
    }
    fn activate_queue(&mut self, _: u16, _: &QueueAddresses) -> Result<(), Error> {
        Ok(())
    }
    fn notify(&self, _: u16) {}
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

/// Starts a device that has this status; returns whether it came out of reset, the time that this
/// took, and the number of reads of the status.
fn start(reset: Reset, status: Status) -> (bool, u64, usize) {
    let memory = HostMemory::new();
    let reads = Arc::new(AtomicUsize::new(0));
    let slow = Slow {
        memory,
        reset,
        status,
        done: None,
        reads: reads.clone(),
    };
    let before = memory.now_ns();
    let device = Device::new(Box::new(slow), memory, DeviceType::RNG, 0, &|f| f);
    let took = memory.now_ns() - before;
    let reads = reads.load(Ordering::Relaxed);
    let done = match device {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, Error::NotReset);
            false
        }
    };
    (done, took, reads)
}

#[test]
fn a_reset_has_a_second() {
    let live = Status::ACKNOWLEDGE | Status::DRIVER | Status::DRIVER_OK;
    for (ns, expected) in [
        (0, true),
        (1_000, true),
        (RESET_NS / 10 * 9, true),
        (RESET_NS / 10 * 11, false),
        (u64::MAX / 2, false),
    ] {
        let (done, took, _) = start(Reset::Takes(ns), live);
        assert_eq!(done, expected, "{ns} ns");
        assert!(done || took >= RESET_NS, "given up after {took} ns");
        assert!(took < 3 * RESET_NS, "{took} ns");
    }
}

#[test]
fn a_device_that_refuses_is_given_up_at_once() {
    let (done, _, reads) = start(Reset::Refused, Status::DRIVER_OK);
    assert_eq!((done, reads), (false, 2), "before the reset and after");
    // A driver's mark, from before.
    let marked = Status::DRIVER | Status::FAILED;
    assert!(start(Reset::Takes(RESET_NS / 2), marked).0);
    assert!(!start(Reset::Refused, marked).0);
}
