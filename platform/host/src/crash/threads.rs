//! The other threads of the process, by `/proc/self/task` (proc(5)): their names, and the call
//! stacks of those that wait. No signal interrupts them.

use super::maps::{Modules, lines};
use super::output::line;
use super::trace;
use core::ffi::CStr;
use core::fmt::Write;

/// The maximum number of threads in a report.
const MAX_THREADS: usize = 32;

/// The path of a thread's file.
struct Path {
    bytes: [u8; 64],
    len: usize,
}

impl Path {
    fn of(thread: i32, file: &str) -> Self {
        let mut path = Self {
            bytes: [0; 64],
            len: 0,
        };
        let _ = write!(path, "/proc/self/task/{thread}/{file}");
        path
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..63).unwrap_or_default();
        let places = room.iter_mut().zip(text.bytes());
        self.len += places.map(|(place, byte)| *place = byte).count();
        Ok(())
    }
}

/// Calls `each` with the number of each thread, while it returns `true`.
fn each_thread(each: &mut dyn FnMut(i32) -> bool) {
    // SAFETY: plain calls of the system; getdents64(2) writes within `bytes`.
    let fd = unsafe {
        libc::open(
            c"/proc/self/task".as_ptr(),
            libc::O_RDONLY | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return;
    }
    let mut bytes = [0u8; 1024];
    'all: loop {
        let to = bytes.as_mut_ptr();
        // SAFETY: as above.
        let n = unsafe { libc::syscall(libc::SYS_getdents64, fd, to, bytes.len()) };
        let mut rest = match usize::try_from(n) {
            Ok(n) if n > 0 => bytes.get(..n).unwrap_or_default(),
            _ => break,
        };
        // Bytes 16 and 17 are the entry's length; its name begins at 19.
        while let (Some(low), Some(high)) = (rest.get(16), rest.get(17)) {
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            let name = rest.get(19..len).unwrap_or_default();
            let name = CStr::from_bytes_until_nul(name).unwrap_or_default();
            let number = name.to_str().ok().and_then(|name| name.parse().ok());
            if number.is_some_and(|number| !each(number)) {
                break 'all;
            }
            rest = rest.get(len.max(1)..).unwrap_or_default();
        }
    }
    // SAFETY: this function's descriptor.
    unsafe { libc::close(fd) };
}

/// Whether there are threads beside `own`.
pub fn has_others(own: i32) -> bool {
    let mut found = false;
    each_thread(&mut |thread| {
        found |= thread != own;
        !found
    });
    found
}

/// Prints the threads beside `own`.
pub fn print(modules: &Modules, own: i32) {
    let mut left = MAX_THREADS;
    each_thread(&mut |thread| {
        if thread != own {
            one(modules, thread);
            left -= 1;
        }
        left > 0
    });
}

fn one(modules: &Modules, thread: i32) {
    lines(Path::of(thread, "comm").as_c_str(), &mut |name| {
        let name = core::str::from_utf8(name).unwrap_or("?");
        line(format_args!("  thread {thread} ({name})"));
    });
    let mut place = None;
    lines(Path::of(thread, "syscall").as_c_str(), &mut |text| {
        place = waiting(text)
    });
    match place {
        Some((stack, instruction)) => trace::print(modules, instruction, None, stack),
        None => line(format_args!("  it runs")),
    }
}

/// Stack pointer and instruction of a thread that waits: the last two numbers.
fn waiting(text: &[u8]) -> Option<(u64, u64)> {
    let text = core::str::from_utf8(text).ok()?;
    let mut words = text.trim_end().rsplit(' ');
    let mut next = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let instruction = next()?;
    Some((next()?, instruction))
}

#[cfg(test)]
mod tests {
    use super::{each_thread, has_others, waiting};

    #[test]
    fn a_waiting_thread_has_a_place() {
        let text = b"202 0x1 0x80 0x0 0x0 0x0 0x0 0x7ffe10 0x7f20\n";
        assert_eq!(waiting(text), Some((0x7ffe10, 0x7f20)));
        assert_eq!(waiting(b"-1 0x7ffe10 0x7f20"), Some((0x7ffe10, 0x7f20)));
        for none in [&b"running"[..], b"", b"\xff", b"0x1"] {
            assert_eq!(waiting(none), None, "{none:?}");
        }
    }

    #[test]
    fn all_threads_are_found() {
        // SAFETY: it has no preconditions.
        let own = unsafe { libc::gettid() };
        let (to, from) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || _ = from.recv());
        let mut found = 0;
        each_thread(&mut |thread| {
            found += usize::from(thread == own);
            true
        });
        assert_eq!(found, 1);
        assert!(has_others(own));
        drop(to);
        other.join().expect("it ends");
    }
}
