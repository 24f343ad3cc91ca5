//! The Linux system calls that musl and the program's language runtime make.
//!
//! The kernel handles those about memory, signals, time and the one thread. Descriptors and paths
//! are the crate `posix`'s, by an extension (`extension`) that every image has; files, sockets and
//! further threads are extensions that are linked if a program needs them. An unknown call is
//! ENOSYS, and one line names it. Source: Linux's manual pages, section 2; musl's
//! `src/internal/syscall.h`.
//!
//! All run with interrupts disabled, on the kernel's single stack for system calls, so that one
//! runs at a time; a halt during a call enables interrupts.

mod beside;
mod clocks;
mod mapping;

pub use clocks::sleep;

use crate::arch::cpu::name;
use crate::arch::gates::SystemCallFrame;
use crate::arch::local;
use crate::arch::numbers as n;
use crate::arch::thread_pointer;
use crate::errno::Errno;
use crate::memory::{bytes_mut, store};
use crate::signals::PID;
use crate::wait::For;
use crate::{
    console, delivery, extension, halt, memory, power, processors, random, signals, threads, time,
    wait,
};
use clocks::{clock, clock_sleep, put_timespec, put_usage, times};
use core::sync::atomic::{AtomicU64, Ordering};
use mapping::{advise, map, remap};

/// Handles the system call that saved `call`; returns its result. Pending signals are delivered
/// on the way back.
pub extern "C" fn enter(call: &mut SystemCallFrame) -> i64 {
    let result = match answer(call) {
        Ok(value) => value as i64,
        Err(errno) => -(errno as i64),
    };
    delivery::deliver(call, result)
}

/// `CLOCK_MONOTONIC`.
const MONOTONIC: u64 = 1;

/// Handles a system call, during which interrupts are disabled.
fn answer(call: &mut SystemCallFrame) -> Result<u64, Errno> {
    match local::several() {
        true if beside::runs_beside_others(call) => {}
        _ => threads::begin_call(),
    }
    let result = extension::handle(call).unwrap_or_else(|| dispatch(call));
    threads::end_call();
    if wait::has_threads() || wait::has_ticks() {
        // Also after the call in which the threads or the ticks began.
        call.enable_interrupts();
    }
    result
}

/// The result of `brk`: there is no break, and musl's allocator falls back to `mmap`.
const NO_BREAK: u64 = 0x1000;

fn dispatch(call: &mut SystemCallFrame) -> Result<u64, Errno> {
    let (number, stack) = (call.number(), call.stack_pointer());
    let arguments = call.arguments();
    if local::several()
        && let Some(answer) = beside::answer(call)
    {
        return answer;
    }
    let [a, b, c, d, ..] = arguments;
    match number {
        n::MMAP => map(arguments),
        n::MUNMAP => memory::unmap(a, b).map(|()| 0).map_err(Errno::from),
        n::MPROTECT => memory::protection(c)
            .and_then(|protection| memory::protect(a, b, protection))
            .map(|()| 0)
            .map_err(Errno::from),
        n::MREMAP => remap(a, b, c, d),
        n::MADVISE => advise(a, b, c),
        n::BRK => Ok(NO_BREAK),

        n::RT_SIGACTION => signals::set_action(a, b, c, d),
        n::RT_SIGPROCMASK => signals::set_mask(a, b, c, d),
        n::RT_SIGPENDING => signals::pending(a, b),
        n::RT_SIGSUSPEND => signals::wait_under(a, b).and_then(|()| sleep(None)),
        n::PAUSE => sleep(None),
        // What the C library makes of `pause` without that call. Descriptors are another part's.
        n::PPOLL if !n::exists(n::PAUSE) && [b, c, d] == [0; 3] => sleep(None),
        n::RT_SIGRETURN => {
            signals::end_handler(a);
            Ok(0)
        }
        n::SIGALTSTACK => signals::set_stack(a, b, stack),
        n::KILL => threads::send_to_process(a, b).map(|_| 0),
        n::TKILL => threads::send_to_thread(a, b),
        n::TGKILL if a == PID => threads::send_to_thread(b, c),
        n::TGKILL => Err(Errno::ESRCH),

        n::CLONE => {
            processors::expect_thread()?;
            threads::clone(call)
        }
        n::FORK => Err(threads::no_process()),
        n::EXIT => {
            threads::end_thread();
            // The last one ends the program.
            exit(a as u8)
        }
        n::EXIT_GROUP => exit(a as u8),
        n::SET_TID_ADDRESS => Ok(threads::set_clear_at_exit(a)),
        n::SET_ROBUST_LIST => Ok(threads::set_robust(a)),
        n::GET_ROBUST_LIST => threads::robust_list(a, b, c),
        n::PRCTL => threads::control(a, b),
        n::FUTEX => threads::futex::call(call),
        n::SCHED_YIELD => Ok(threads::yield_to_others()),
        n::GETTID => Ok(threads::number()),
        n::GETCPU => threads::processor(a, b),
        n::SCHED_SETAFFINITY => processors::set_affinity(a, b, c),
        n::SCHED_GETAFFINITY => processors::affinity(a, b, c),
        n::SETITIMER => threads::set_interval_timer(a, b, c),
        n::GETITIMER => threads::interval_timer(a, b),
        n::TIMER_CREATE => threads::create_timer(a, b, c),
        n::TIMER_SETTIME => threads::set_timer(a, b, c, d),
        n::TIMER_GETTIME => threads::timer(a, b),
        n::TIMER_GETOVERRUN => threads::timer_overrun(a),
        n::TIMER_DELETE => threads::delete_timer(a),
        n::GETPID => Ok(PID),
        n::GETPPID | n::GETUID | n::GETEUID | n::GETGID | n::GETEGID => Ok(0),
        n::ARCH_PRCTL => set_thread_pointer(a, b),
        n::UNAME => uname(a),

        n::CLOCK_GETTIME => clock(a).and_then(|now| put_timespec(b, now)),
        n::CLOCK_GETRES => clock(a).and_then(|_| if b == 0 { Ok(0) } else { put_timespec(b, 1) }),
        n::GETTIMEOFDAY => {
            let now = time::wall_ns();
            store(a, &[now / 1_000_000_000, now / 1000 % 1_000_000])
        }
        n::TIME => {
            let now = time::wall_ns() / 1_000_000_000;
            if a != 0 {
                store(a, &[now])?;
            }
            Ok(now)
        }
        n::NANOSLEEP => clock_sleep(MONOTONIC, 0, a, b),
        n::CLOCK_NANOSLEEP => clock_sleep(a, b, c, d),
        n::GETRUSAGE => usage(a, b),
        n::TIMES => times(a),
        n::GETRANDOM => match random::fill(bytes_mut(a, b)?) {
            true => Ok(b),
            false => Err(Errno::EIO),
        },
        _ => Err(unknown(number)),
    }
}

/// One bit per unknown system call that was logged. Set by system calls.
static LOGGED: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

/// True on the first call with `number`.
fn first_time(number: u64) -> bool {
    let bit = 1 << (number % 64);
    let word = LOGGED.get((number / 64) as usize);
    word.is_some_and(|word| word.fetch_or(bit, Ordering::Relaxed) & bit == 0)
}

fn unknown(number: u64) -> Errno {
    if first_time(number) {
        let name = n::name(number).unwrap_or("?");
        console::line(format_args!(
            "unsupported system call {name} ({number}): ENOSYS"
        ));
    }
    Errno::ENOSYS
}

fn exit(status: u8) -> ! {
    /// The status after an uncaught exception, such as the one for a refused request of memory.
    const UNCAUGHT_EXCEPTION: u8 = 2;
    if status == UNCAUGHT_EXCEPTION && memory::was_refused() {
        console::line(format_args!(
            "a request for memory was refused before this end: give the machine more (soil run \
            --mem)"
        ));
    }
    console::drain_with(wait_for_console);
    power::exit(status)
}

/// Halts until the console's transmitter may have room again.
fn wait_for_console() {
    let poll_at = time::monotonic_ns() + console::POLL_NS;
    wait::pause_until(For::Interrupt, Some(poll_at));
}

fn set_thread_pointer(code: u64, address: u64) -> Result<u64, Errno> {
    const SET_FS: u64 = 0x1002;
    if code != SET_FS {
        return Err(Errno::EINVAL);
    }
    if !thread_pointer::write(address) {
        return Err(Errno::EPERM);
    }
    Ok(0)
}

/// `struct utsname`: six fields of 65 bytes.
fn uname(result: u64) -> Result<u64, Errno> {
    const FIELDS: &str = concat!("Linux\0soil\x006.0.0-soil\0Soil\0", name!(), "\0(none)");
    let target = bytes_mut(result, 6 * 65)?;
    target.fill(0);
    let texts = FIELDS.as_bytes().split(|byte| *byte == 0);
    for (slot, text) in target.chunks_exact_mut(65).zip(texts) {
        slot.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
    }
    Ok(0)
}

/// `getrusage`. There are no children.
fn usage(of: u64, result: u64) -> Result<u64, Errno> {
    const SELF: i32 = 0;
    const THREAD: i32 = 1;
    const CHILDREN: i32 = -1;
    match of as i32 {
        SELF => put_usage(result, halt::process_ns()),
        THREAD => put_usage(result, threads::used_ns()),
        CHILDREN => put_usage(result, 0),
        _ => Err(Errno::EINVAL),
    }
}
