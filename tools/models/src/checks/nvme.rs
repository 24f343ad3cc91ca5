//! A pair of NVMe's queues: the driver's half is the real one, the controller's follows NVM Express
//! Base 2.0, 3.3.1.

use super::bell::Bell;
use super::queue::HEAP;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use drivers::Interrupt;
use drivers::model::{Command, QueuePair, Sizes, io, offset};
use drivers::registers::Registers;
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;
use sync::atomic::{AtomicU32, Ordering};

/// Commands of a run, one after another: the last reuses entries of both queues, in a new phase.
const COMMANDS: u32 = 3;
/// Entries of both queues, one of which stays empty.
const SIZE: u16 = 2;
/// Bytes of an entry.
const SUBMISSION: u64 = 64;
const COMPLETION: u64 = 16;

/// What driver and controller share beside the queues.
struct Machine {
    /// The tail of the submission queue and the head of the completion queue.
    doorbells: [AtomicU32; 2],
    doorbell: Bell,
    interrupt: Bell,
    /// The buffer of the commands.
    buffer: UnsafeCell<u32>,
    /// In place of the completions' memory: the driver's reads, and the controller's writes.
    entries: [UnsafeCell<()>; SIZE as usize],
}

/// The registers of the controller.
struct Doorbells(Arc<Machine>);

// SAFETY: loom's threads are one of the system's.
unsafe impl Send for Doorbells {}

impl Registers for Doorbells {
    fn read(&self, _: usize) -> u32 {
        unreachable!("a queue reads no register")
    }

    fn interrupt(&self) -> Interrupt {
        Interrupt::message()
    }

    fn write(&self, offset: usize, value: u32) {
        let index = (offset - offset::DOORBELLS) / 4;
        // A register: what orders memory before it is the driver's.
        self.0.doorbells[index].store(value, Ordering::Relaxed);
        self.0.doorbell.ring();
    }
}

/// The controller.
struct Controller {
    machine: Arc<Machine>,
    submissions: u64,
    completions: u64,
    /// Next entry of each queue.
    head: u32,
    tail: u32,
    phase: u32,
}

impl Controller {
    fn word(&self, entry: u32, offset: u64) -> &AtomicU32 {
        let at = self.completions + u64::from(entry) * COMPLETION + offset;
        // SAFETY: within the queue, which outlives the controller.
        unsafe { AtomicU32::from_ptr(with_exposed_provenance_mut(at as usize)) }
    }

    /// Loom knows each word before the controller's thread exists.
    fn begin(&self) {
        for entry in 0..u32::from(SIZE) {
            for offset in [8, 12] {
                self.word(entry, offset).load(Ordering::Relaxed);
            }
        }
        for doorbell in &self.machine.doorbells {
            doorbell.load(Ordering::Relaxed);
        }
    }

    /// Waits while a doorbell has this value.
    fn await_doorbell(&self, index: usize, value: u32) {
        while self.machine.doorbells[index].load(Ordering::Acquire) == value {
            self.machine.doorbell.wait();
        }
    }

    fn serve(&mut self) {
        let next = |index| (index + 1) % u32::from(SIZE);
        self.await_doorbell(0, self.head);
        let at = self.submissions + u64::from(self.head) * SUBMISSION;
        // SAFETY: within the queue, as above. Its memory isn't loom's: the buffer stands for it.
        let first: u32 = unsafe { *with_exposed_provenance(at as usize) };
        self.head = next(self.head);
        // SAFETY: loom reports another access at the same time.
        self.machine.buffer.with_mut(|at| unsafe { *at += 1 });
        // The queue is full.
        self.await_doorbell(1, next(self.tail));
        self.machine.entries[self.tail as usize].with_mut(|_| ());
        // Of queue 0.
        self.word(self.tail, 8).store(self.head, Ordering::Relaxed);
        let status = first >> 16 | self.phase << 16;
        self.word(self.tail, 12).store(status, Ordering::Release);
        self.tail = next(self.tail);
        self.phase ^= u32::from(self.tail == 0);
        self.machine.interrupt.ring();
    }
}

/// Commands, one after another.
pub fn commands() {
    let machine = Arc::new(Machine {
        doorbells: [const { AtomicU32::new(0) }; 2],
        doorbell: Bell::new(),
        interrupt: Bell::new(),
        buffer: UnsafeCell::new(0),
        entries: [(); SIZE as usize].map(UnsafeCell::new),
    });
    let sizes = Sizes {
        submissions: SIZE,
        completions: SIZE,
    };
    let mut queue = QueuePair::new(HEAP, 0, 4, sizes).expect("memory");
    let (submissions, completions) = queue.addresses();
    let mut controller = Controller {
        machine: machine.clone(),
        submissions,
        completions,
        head: 0,
        tail: 0,
        phase: 1,
    };
    let doorbells = Doorbells(machine.clone());
    controller.begin();
    let controller = thread::spawn(move || {
        for _ in 0..COMMANDS {
            controller.serve();
        }
    });
    for number in 0..COMMANDS {
        // SAFETY: as above.
        machine.buffer.with_mut(|at| unsafe { *at = 10 * number });
        let id = queue.next_id().expect("it has room");
        assert!(queue.submit(Command::new(io::FLUSH, 1)));
        queue.kick(&doorbells);
        let completion = loop {
            match queue.pop().expect("a controller that follows the protocol") {
                Some(completion) => break completion,
                None => machine.interrupt.wait(),
            }
        };
        machine.entries[number as usize % usize::from(SIZE)].with(|_| ());
        // SAFETY: as above.
        let written = machine.buffer.with(|at| unsafe { *at });
        assert_eq!((completion.id, written), (id, 10 * number + 1));
        assert_eq!(completion.status.result(), Ok(()));
        queue.acknowledge(&doorbells);
    }
    controller.join().expect("no panic");
}
