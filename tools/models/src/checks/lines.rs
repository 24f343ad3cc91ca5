//! A virtio-mmio device's interrupt line on several processors, from the used ring to the note: the
//! queue, the handler's acknowledgement and the order around the note are the real ones. The device
//! follows virtio 1.2, 4.2.2 and 4.2.3.4, its monitor and the interrupt controller [`Signal`].

use super::bell::Bell;
use super::queue::{Sleeps, exchange, make};
use super::threads::begin_notes;
use core::ptr::NonNull;
use drivers::Interrupt;
use kernel::interrupts::{complete, take_pending};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use sync::model::registers::{self, Registers};

/// Requests of a run: the first one's interrupt may be in service when the second one completes.
const REQUESTS: u32 = 2;
/// The vector of the line.
const VECTOR: u8 = 40;

/// How the device's interrupts reach a processor.
#[derive(Clone, Copy, PartialEq)]
enum Signal {
    /// The line is high while the status isn't 0, and interrupts while it is high (QEMU's microvm).
    Level,
    /// The same line, which interrupts when it rises (QEMU's virt).
    Edge,
    /// Each completion is a pulse, which the controller keeps for after the end of an earlier one
    /// (Firecracker, as its tables say).
    Pulse,
    /// The same, to an input that is set up for levels: the controller drops a pulse before the end
    /// of an earlier one (KVM's `ioapic_service`).
    Dropped,
}

/// Faults around the sources.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The device is acknowledged after the driver may have checked the ring.
    AcknowledgedLate,
    /// The interrupt is noted before its end.
    EndedLate,
}

/// The device's registers, and its input at the controller. In one lock: what a processor does with
/// a register is the monitor's work.
struct Line {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    signal: Signal,
    /// `InterruptStatus`.
    status: u32,
    /// An interrupt that no processor has taken.
    pending: bool,
    /// One that hasn't ended.
    in_service: bool,
    /// No further one comes.
    closed: bool,
}

loom::lazy_static! {
    static ref LINE: Line = Line {
        state: Mutex::new(State {
            signal: Signal::Level,
            status: 0,
            pending: false,
            in_service: false,
            closed: false,
        }),
        changed: Condvar::new(),
    };
}

impl Line {
    /// Changes the state, and wakes the processor.
    fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let result = f(&mut self.state.lock().expect("no panic"));
        self.changed.notify_one();
        result
    }

    /// The device has used a buffer.
    fn raise(&self) {
        self.change(|state| {
            let was_low = state.status == 0;
            state.status |= 1;
            state.pending |= match state.signal {
                Signal::Level | Signal::Pulse => true,
                Signal::Edge => was_low,
                Signal::Dropped => !state.in_service,
            };
        });
    }

    /// Takes the next interrupt; false if there is none any more.
    fn take(&self) -> bool {
        let mut state = self.state.lock().expect("no panic");
        while !state.pending || state.in_service {
            if state.closed {
                return false;
            }
            state = self.changed.wait(state).expect("no panic");
        }
        state.in_service = true;
        state.pending = false;
        true
    }

    /// The end of the interrupt.
    fn end(&self) {
        self.change(|state| {
            state.in_service = false;
            state.pending |= state.signal == Signal::Level && state.status != 0;
        });
    }
}

/// `InterruptStatus` and `InterruptACK`, as far as the model's addresses have a meaning.
const STATUS: usize = 0x1060;
const ACKNOWLEDGE: usize = 0x1064;

/// The registers of [`LINE`].
const REGISTERS: Registers = Registers {
    read: |at| {
        assert_eq!(at, STATUS);
        LINE.change(|state| state.status).into()
    },
    write: |at, causes| {
        assert_eq!(at, ACKNOWLEDGE);
        LINE.change(|state| state.status &= !(causes as u32));
    },
};

/// The handler.
fn acknowledge(_: u8) {
    let at =
        |address| NonNull::without_provenance(core::num::NonZero::new(address).expect("not 0"));
    // SAFETY: the model's registers.
    let interrupt = unsafe { Interrupt::mmio(at(STATUS), at(ACKNOWLEDGE)) };
    interrupt.acknowledge();
}

/// Handles an interrupt as `kernel` does.
fn handle(fault: Fault) {
    let end = |_| LINE.end();
    match fault {
        Fault::None => complete(VECTOR, Some(acknowledge), end),
        Fault::AcknowledgedLate => {
            complete(VECTOR, None, end);
            acknowledge(VECTOR);
        }
        Fault::EndedLate => {
            complete(VECTOR, Some(acknowledge), |_| ());
            end(VECTOR);
        }
    }
}

/// Requests, one after another, whose interrupts another processor handles.
fn run(signal: Signal, fault: Fault) {
    begin_notes();
    registers::set(REGISTERS);
    LINE.change(|state| state.signal = signal);
    let (mut queue, registers, mut device) = make(true);
    let noted = Arc::new(Bell::new());
    let device = thread::spawn(move || {
        for _ in 0..REQUESTS {
            if device.serve(Sleeps::Driver) {
                LINE.raise();
            }
        }
    });
    let processor = thread::spawn({
        let noted = noted.clone();
        move || {
            while LINE.take() {
                handle(fault);
                // Wakes the threads that wait for a note.
                noted.ring();
            }
        }
    });
    for request in 0..REQUESTS {
        exchange(&mut queue, &registers, Sleeps::Driver, request, |queue| {
            while !take_pending() {
                noted.wait();
            }
            queue.disable_interrupts();
        });
    }
    device.join().expect("no panic");
    LINE.change(|state| state.closed = true);
    processor.join().expect("no panic");
}

/// Each kind of line without a fault.
pub const LINES: [fn(); 4] = [
    || run(Signal::Level, Fault::None),
    || run(Signal::Edge, Fault::None),
    || run(Signal::Pulse, Fault::None),
    || run(Signal::Dropped, Fault::None),
];

/// Each fault with a line that shows it.
pub const FAULTY: [fn(); 2] = [
    || run(Signal::Edge, Fault::AcknowledgedLate),
    || run(Signal::Dropped, Fault::EndedLate),
];
