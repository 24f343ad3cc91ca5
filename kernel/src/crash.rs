//! The crash report: registers, the faulting address and its meaning, the trace, the build-id.
//!
//! It is printed once as text on the console, and once between `SOIL-CRASH-BEGIN` and
//! `SOIL-CRASH-END` on the control channel for `soil run`, which symbolizes the addresses. Nothing
//! is compiled with frame pointers, so the trace is every word on the stack that points after a
//! call instruction: it may contain a function too many, and misses none.
//!
//! A report may begin in any context, with any cell in use: it uses none, allocates nothing, and a
//! second one ends the machine at once. It begins by stopping the other processors, if the program
//! has started some; a crash there waits for that.

use crate::arch::cpu;
use crate::arch::gates::{Frame, RETURN_AT, STACK_POINTER_LEADS};
#[cfg(feature = "panic-handler")]
use crate::arch::interrupts;
use crate::arch::local::{self, Local};
use crate::arch::paging::PAGE;
use crate::console::ErrorOutput;
use crate::memory::{self, Fault, PROGRAM};
use crate::{cell, console, power, stop, threads};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

/// The statuses that a shell reports for a program that ended by SIGSEGV and SIGABRT.
const STATUS_FAULT: u8 = 128 + 11;
#[cfg(feature = "panic-handler")]
const STATUS_ABORT: u8 = 128 + 6;

/// Limits of frames and stack words, on each of the two stacks.
const MAX_FRAMES: usize = 40;
const MAX_WORDS: u64 = 4096;
/// Pages by which a stack pointer may have passed the end of its stack.
const MAX_PASSED: usize = 64;

/// Set by the first report; a fault while reporting ends the machine at once.
static REPORTING: AtomicBool = AtomicBool::new(false);

/// Whether a report has begun.
pub fn is_reporting() -> bool {
    REPORTING.load(Ordering::Relaxed)
}

unsafe extern "C" {
    static soil_build_id_start: u8;
    static soil_build_id_end: u8;
}

struct Report {
    on_control: bool,
    /// The frame printed last, of this thread.
    last: Option<u64>,
}

impl Report {
    fn begin(reason: core::fmt::Arguments) -> Self {
        stop::others();
        if REPORTING.swap(true, Ordering::Relaxed) {
            power::end_now(STATUS_FAULT);
        }
        cell::ignore_order();
        console::leave_port();
        let on_control = console::write_control(b"SOIL-CRASH-BEGIN\n");
        let mut report = Self {
            on_control,
            last: None,
        };
        let _ = writeln!(ErrorOutput, "\nsoil: crash: {reason}");
        report.both(format_args!("reason {reason}"), false);
        report.build_id();
        if local::is_smp() {
            let own = local::get().number();
            report.both(format_args!("processor {own}"), true);
        }
        if threads::has_threads() {
            let number = threads::suspended(&mut |_| {});
            report.both(format_args!("thread {number}"), true);
        }
        report
    }

    /// A line for the control channel and, if `visible`, the console.
    fn both(&mut self, line: core::fmt::Arguments, visible: bool) {
        if visible {
            let _ = writeln!(ErrorOutput, "  {line}");
        }
        if self.on_control {
            let _ = writeln!(ControlOutput, "{line}");
        }
    }

    fn build_id(&mut self) {
        let start = (&raw const soil_build_id_start) as usize;
        let len = (&raw const soil_build_id_end) as usize - start;
        // SAFETY: the linker script puts the note between the two symbols.
        let note = unsafe { core::slice::from_raw_parts(start as *const u8, len) };
        let id = Hexadecimal(note.get(16..).unwrap_or(&[]));
        self.both(format_args!("build-id {id}"), true);
    }

    fn registers(&mut self, frame: &Frame) {
        frame.registers(&mut |name, value| {
            self.both(format_args!("register {name} {value:#018x}"), true);
        });
        let (name, value) = frame.flags();
        self.both(format_args!("register {name} {value:#x}"), true);
    }

    fn trace_frame(&mut self, frame: &Frame) {
        let (instruction, stack) = (frame.program_counter(), frame.stack_pointer());
        let Some(caller) = frame.caller().filter(|caller| is_return_address(*caller)) else {
            return self.trace(Some(instruction), stack);
        };
        // Of a function that calls no other. Else it may be on the stack as well.
        self.both(format_args!("frame {instruction:#x}"), true);
        self.trace(Some(caller), stack);
    }

    fn trace(&mut self, instruction: Option<u64>, stack: u64) {
        self.last = instruction;
        if let Some(address) = instruction {
            self.both(format_args!("frame {address:#x}"), true);
        }
        self.scan(stack, true);
    }

    /// Prints the return addresses on the stack from `stack` on. With `calls_c`, OCaml may have
    /// called C on this stack: the frames of OCaml's stack come where it has.
    fn scan(&mut self, stack: u64, mut calls_c: bool) {
        let mut frames = 0;
        let first = first_readable(stack & !7);
        for address in (first..first.saturating_add(MAX_WORDS * 8)).step_by(8) {
            let Some(word) = load(address) else { break };
            if is_return_address(word) {
                if self.last.replace(word) != Some(word) {
                    self.both(format_args!("frame {word:#x}"), true);
                    frames += 1;
                }
                if frames == MAX_FRAMES {
                    break;
                }
            } else if calls_c && let Some(other) = other_stack(address) {
                calls_c = false;
                self.scan(other, false);
            }
        }
    }

    /// The other processors, which are stopped.
    fn others(&mut self) {
        let own = local::get();
        for other in local::all().filter(|other| !core::ptr::eq(*other, own)) {
            let (number, frame) = (other.number(), local::frame(other));
            match other.thread.load(Ordering::Relaxed) {
                0 => self.both(format_args!("processor {number}"), true),
                thread => self.both(format_args!("processor {number}, thread {thread}"), true),
            }
            if let Some(frame) = frame {
                self.trace_frame(frame);
            }
            if other.stopped.load(Ordering::Relaxed) == Local::ENDS {
                console::line(format_args!("it was about to end the machine as well"));
            } else if frame.is_none() {
                console::line(format_args!("it could not be stopped"));
            }
        }
    }

    fn end(mut self, status: u8) -> ! {
        self.others();
        if threads::has_threads() {
            threads::suspended(&mut |thread| {
                self.both(format_args!("thread {}", thread.number), true);
                self.trace(thread.instruction, thread.stack);
            });
        }
        if memory::was_refused() {
            console::line(format_args!(
                "memory ran out before this: give the machine more (soil run --mem)"
            ));
        }
        console::write_control(b"SOIL-CRASH-END\n");
        power::exit_crashed(status)
    }
}

struct ControlOutput;

impl Write for ControlOutput {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        console::write_control(text.as_bytes());
        Ok(())
    }
}

struct Hexadecimal<'a>(&'a [u8]);

impl core::fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The first address of a stack that can be read: where functions make room before they use it, a
/// stack pointer may have passed the end of the stack.
fn first_readable(stack: u64) -> u64 {
    let mut pages = (stack & !(PAGE - 1)..)
        .step_by(PAGE as usize)
        .take(MAX_PASSED);
    match STACK_POINTER_LEADS && !memory::is_readable(stack) {
        true => pages
            .find(|page| memory::is_readable(*page))
            .unwrap_or(stack),
        false => stack,
    }
}

/// OCaml's stack pointer, if OCaml has noted at `address` where it called C on this stack: its
/// stack and the stack pointer (`struct c_stack_link` of its runtime). The stack (`struct stack_info`)
/// has the address of its end as the third word.
fn other_stack(address: u64) -> Option<u64> {
    let (stack, pointer) = (load(address)?, load(address + 8)?);
    if stack % 8 != 0 || pointer % 8 != 0 || !PROGRAM.contains(&stack) {
        return None;
    }
    let end = load(stack + 16)?;
    let is_within = PROGRAM.contains(&end) && (stack..end).contains(&pointer);
    let calls = is_within && load(pointer + RETURN_AT).is_some_and(is_return_address);
    calls.then_some(pointer)
}

fn load(address: u64) -> Option<u64> {
    // SAFETY: the page is readable; any value is valid.
    memory::is_readable(address).then(|| unsafe { (address as *const u64).read_unaligned() })
}

/// Whether `address` is in code and after a call.
fn is_return_address(address: u64) -> bool {
    let text = memory::image::text();
    if !text.contains(&address) || address - text.start < 8 {
        return false;
    }
    // SAFETY: within the image's code.
    let before = unsafe { &*((address - 8) as *const [u8; 8]) };
    cpu::ends_with_call(before)
}

/// A page fault that isn't a first touch.
pub fn page_fault(frame: &Frame, address: u64, write: bool, fetch: bool, outcome: Fault) -> ! {
    if outcome == Fault::OutOfMemory {
        Report::begin(format_args!(
            "out of memory: give the machine more (soil run --mem)"
        ))
        .end(STATUS_FAULT);
    }
    let access = if fetch {
        "execution"
    } else if write {
        "write"
    } else {
        "read"
    };
    let meaning = memory::describe(address, write, fetch);
    let mut report = Report::begin(format_args!(
        "page fault: {access} at {address:#x}: {meaning}"
    ));
    report.registers(frame);
    report.trace_frame(frame);
    report.end(STATUS_FAULT)
}

/// Any other exception.
pub fn exception(frame: &Frame) -> ! {
    let [(first, code), (second, detail)] = frame.details();
    let name = frame.name();
    let mut report = Report::begin(format_args!(
        "{name} ({first} {code}, {second} {detail:#x})"
    ));
    report.registers(frame);
    report.trace_frame(frame);
    report.end(128 + frame.signal())
}

/// The program called `abort`, or raised another signal that ends it, at `instruction` with its
/// stack pointer at `stack`.
pub fn signal(number: u64, name: &str, instruction: u64, stack: u64) -> ! {
    let mut report = Report::begin(format_args!("the program ended itself by {name}"));
    report.trace(Some(instruction), stack);
    report.end(128 + (number & 63) as u8)
}

/// A panic in Rust code.
#[cfg(feature = "panic-handler")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    interrupts::disable();
    let stack = cpu::stack_pointer();
    let mut report = Report::begin(format_args!("Rust panic: {info}"));
    report.trace(None, stack);
    report.end(STATUS_ABORT)
}
