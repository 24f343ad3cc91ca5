//! Linux's older asynchronous requests (io_submit(2)), on a file opened with `O_DIRECT`. Requests
//! that are submitted together begin with one system call that no signal interrupts: after a kill
//! either all of them complete, or none began, except on tmpfs, whose writes are copies that end
//! at the kill (docs/performance/process-storage.md).
//!
//! The C library has no functions for these system calls.

use super::OwnedFd;
use crate::Host;
use alloc::vec::Vec;
use core::ptr::null_mut;
use platform::Wait;

/// Maximum number of requests that the kernel has at once.
pub const MAX_REQUESTS: usize = 256;
/// Alignment of memory, offset and length, in bytes: a sector of most disks. Disks with larger
/// sectors refuse the request, and the caller sends it through the page cache.
pub const ALIGN: usize = 512;

/// `IOCB_FLAG_RESFD` of `linux/aio_abi.h`: completions make an eventfd readable.
const RESFD: u32 = 1;

/// Opcode of a request, and its flags.
#[derive(Clone, Copy)]
#[repr(u16)]
pub enum Command {
    /// `IOCB_CMD_PREAD`.
    Read = 0,
    /// `IOCB_CMD_PWRITE`.
    Write = 1,
    /// `IOCB_CMD_FDSYNC` (Linux 4.18).
    Sync = 3,
    /// `IOCB_CMD_PREADV`: the memory is a list of slices.
    ReadVector = 7,
    /// `IOCB_CMD_PWRITEV`.
    WriteVector = 8,
    /// The same with `RWF_DSYNC`.
    WriteVectorDurably,
}

/// `struct iocb` of a little-endian machine.
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: i32,
    opcode: u16,
    priority: i16,
    fd: u32,
    start: u64,
    len: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    event: u32,
}

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Event {
    data: u64,
    iocb: u64,
    result: i64,
    result2: i64,
}

/// A context of asynchronous requests (io_setup(2)) on one file.
pub struct Aio {
    context: libc::c_ulong,
    event: OwnedFd,
    /// Borrowed: the caller of `new` closes it after this is dropped.
    file: i32,
    /// Requests that the next [`Aio::submit`] submits.
    added: Vec<Iocb>,
    under_way: usize,
    /// Number of forks before it: a child's requests are refused, and its parent's complete there.
    forks: u32,
}

impl Aio {
    /// Requests on `file`, which is open with `O_DIRECT` and stays so.
    pub fn new(file: &OwnedFd) -> Option<Aio> {
        let mut context: libc::c_ulong = 0;
        // SAFETY: plain calls; the context is written.
        unsafe {
            let event = OwnedFd(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK));
            if event.0 < 0 || libc::syscall(libc::SYS_io_setup, MAX_REQUESTS, &raw mut context) < 0
            {
                return None;
            }
            Some(Aio {
                context,
                event,
                file: file.0,
                added: Vec::new(),
                under_way: 0,
                forks: Host::forks(),
            })
        }
    }

    /// Readable when a request has completed.
    pub fn event(&self) -> i32 {
        self.event.0
    }

    /// Whether requests of this process are in flight.
    pub fn is_busy(&self) -> bool {
        self.under_way > 0 && self.forks == Host::forks()
    }

    /// Adds a request; false if there is no room.
    ///
    /// # Safety
    /// The memory stays valid and untouched until the request has completed or was refused.
    pub unsafe fn add(
        &mut self,
        command: Command,
        start: *mut u8,
        len: usize,
        offset: i64,
        key: u64,
    ) -> bool {
        if self.added.len() + self.under_way >= MAX_REQUESTS || self.added.try_reserve(1).is_err() {
            return false;
        }
        let (opcode, rw_flags) = match command {
            Command::WriteVectorDurably => (Command::WriteVector as u16, libc::RWF_DSYNC),
            _ => (command as u16, 0),
        };
        self.added.push(Iocb {
            data: key,
            key: 0,
            rw_flags,
            opcode,
            priority: 0,
            fd: self.file as u32,
            start: start as u64,
            len: len as u64,
            offset,
            reserved: 0,
            flags: RESFD,
            event: self.event.0 as u32,
        });
        true
    }

    /// Submits the added requests with one system call; `refused` gets the keys of those that the
    /// kernel refuses.
    pub fn submit(&mut self, refused: &mut dyn FnMut(u64)) {
        while !self.added.is_empty() {
            let mut list: Vec<*mut Iocb> = self.added.iter_mut().map(core::ptr::from_mut).collect();
            // SAFETY: a list of as many requests, whose memory is the promise of `add`; the kernel
            // copies them.
            let taken = unsafe {
                libc::syscall(
                    libc::SYS_io_submit,
                    self.context,
                    list.len(),
                    list.as_mut_ptr(),
                )
            };
            match usize::try_from(taken) {
                Ok(taken) if taken > 0 => {
                    self.under_way += taken;
                    self.added.drain(..taken.min(self.added.len()));
                }
                // The first of them.
                _ => refused(self.added.remove(0).data),
            }
        }
    }

    /// Reports completed requests: key and the system call's result, `-errno` for a failure.
    pub fn poll(&mut self, report: &mut dyn FnMut(u64, i64)) {
        if !self.is_busy() {
            return;
        }
        let mut counter = 0u64;
        let mut events = [Event {
            data: 0,
            iocb: 0,
            result: 0,
            result2: 0,
        }; 64];
        let mut at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: an eventfd yields 8 bytes, and doesn't block.
        if unsafe { libc::read(self.event.0, (&raw mut counter).cast(), 8) } < 0 {
            return;
        }
        loop {
            // SAFETY: room for the requested number of events; no waiting.
            let n = unsafe {
                libc::syscall(
                    libc::SYS_io_getevents,
                    self.context,
                    0,
                    events.len(),
                    events.as_mut_ptr(),
                    &raw mut at_once,
                )
            };
            let n = usize::try_from(n).unwrap_or(0);
            for event in events.iter().take(n) {
                self.under_way = self.under_way.saturating_sub(1);
                report(event.data, event.result);
            }
            if n < events.len() {
                return;
            }
        }
    }
}

impl Drop for Aio {
    fn drop(&mut self) {
        // SAFETY: waits for the requests in flight; the context isn't used afterwards.
        unsafe { libc::syscall(libc::SYS_io_destroy, self.context, null_mut::<u8>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::{Aio, Command, OwnedFd};
    use crate::sleep::count_forks;
    use crate::sleep::tests::{in_child, is_readable};
    use std::ffi::CString;
    use std::{env, format, fs, process, vec};

    #[repr(align(4096))]
    struct Page([u8; 4096]);

    /// A child of a fork doesn't take the completions of its parent.
    #[test]
    fn a_child_has_no_requests_in_flight() {
        count_forks();
        let mut page = Page([0; 4096]);
        let path = format!("{}/soil-aio-{}", env::temp_dir().display(), process::id());
        fs::write(&path, page.0).expect("a file");
        let name = CString::new(path.as_str()).expect("no zero byte");
        // SAFETY: ends with a zero byte.
        let file = unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_DIRECT) };
        let file = OwnedFd(file);
        fs::remove_file(&path).expect("removes");
        let Some(mut aio) = Aio::new(&file).filter(|_| file.0 >= 0) else {
            return std::println!("no such requests here: not tested");
        };
        // SAFETY: the page lives until the end of the test, and the request ends before.
        assert!(unsafe { aio.add(Command::Read, page.0.as_mut_ptr(), 4096, 0, 7) });
        aio.submit(&mut |_| panic!("refused"));
        assert!(is_readable(aio.event(), -1));
        assert!(in_child(|| {
            let idle = !aio.is_busy();
            aio.poll(&mut |_, _| ());
            idle
        }));
        let mut ended = vec![];
        aio.poll(&mut |key, result| ended.push((key, result)));
        assert_eq!(ended, [(7, 4096)]);
    }
}
