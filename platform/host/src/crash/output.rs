//! Lines on standard error, which nothing may read.

use core::fmt::Write;
use core::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds for which a report waits for its reader, altogether.
const PATIENCE: i64 = 10_000;
/// Bytes of a line; less than a pipe takes at once when it takes any.
const LINE: usize = 512;

/// Milliseconds that are left. Relaxed: one thread reports.
static LEFT: AtomicI64 = AtomicI64::new(PATIENCE);

/// A line that truncates instead of failing.
struct Line {
    bytes: [u8; LINE],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.get_mut(self.len..LINE - 1).unwrap_or_default();
        let len = text.len().min(room.len());
        for (place, byte) in room.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        self.len += len;
        Ok(())
    }
}

/// Writes a line.
pub fn line(text: core::fmt::Arguments<'_>) {
    let mut line = Line {
        bytes: [0; LINE],
        len: 0,
    };
    let _ = line.write_fmt(text);
    if let Some(end) = line.bytes.get_mut(line.len) {
        *end = b'\n';
    }
    write(line.bytes.get(..=line.len).unwrap_or_default());
}

fn now_ms() -> i64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to `time` only.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let left = LEFT.load(Ordering::Relaxed);
        let mut poll = libc::pollfd {
            fd: libc::STDERR_FILENO,
            events: libc::POLLOUT,
            revents: 0,
        };
        let begun = now_ms();
        // SAFETY: one descriptor, which is this function's variable.
        let ready = unsafe { libc::poll(&mut poll, 1, left.max(0) as i32) };
        LEFT.store(left - (now_ms() - begun), Ordering::Relaxed);
        if ready <= 0 || poll.revents & libc::POLLOUT == 0 {
            return;
        }
        // SAFETY: reads these bytes.
        let n = unsafe { libc::write(libc::STDERR_FILENO, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(n) {
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            // Another process has filled the pipe meanwhile.
            Err(_) if matches!(crate::errno(), libc::EAGAIN | libc::EINTR) => {
                LEFT.fetch_sub(1, Ordering::Relaxed);
            }
            Err(_) => return,
        }
    }
}
