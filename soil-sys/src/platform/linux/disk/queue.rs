//! The requests of one disk, and which way each goes:
//!
//! - a read that the page cache answers is done at once (`preadv2` with `RWF_NOWAIT`);
//! - writes that belong together go past the page cache with one `io_submit` ([`Aio`]), so that a kill leaves all of them or none;
//! - everything else goes to the ring;
//! - without a ring, what is aligned goes past the page cache, flushes go the same way, and the rest is done while the program waits.
//!
//! Writes past the page cache and through it must not meet in one page, or the page that goes to the disk later brings old sectors
//! back. Writes that belong together are a file system's, which has nothing else under way then; others go past it by whole pages.

use super::OwnedFd;
use super::aio::{ALIGN, Aio, Command};
use super::rest::{Kind, Rest};
use crate::disks::{Request, Submitted};
use crate::error::Stop;
use crate::platform::Interest;
use crate::platform::linux::check;
use crate::platform::linux::ring::{Handle, Owner};
use alloc::collections::VecDeque;
use core::ptr::null_mut;
use fs::BlockError;
use rustix_uring::Errno;
use slab::Slab;

/// Requests under way at once; others wait their turn.
const MOST: usize = 256;
/// A page of the page cache, or several.
const PAGE: usize = 4096;

/// See the head of this file.
pub struct Queue {
    file: OwnedFd,
    /// Bytes of a sector.
    sector: usize,
    ring: Option<Owner>,
    aio: Option<Aio>,
    /// The file takes requests past the page cache.
    direct: bool,
    /// The page cache can be asked.
    cached: bool,
    under_way: Slab<(u64, Rest)>,
    /// Ended, but not reported.
    ended: VecDeque<(u64, Result<(), BlockError>)>,
}

impl Queue {
    /// On `file` with sectors of so many bytes, and `direct`, the same file past the page cache.
    pub fn new(file: OwnedFd, sector: usize, direct: Option<OwnedFd>, ring: &Handle) -> Queue {
        Queue {
            file,
            sector,
            ring: ring.open(false),
            aio: direct.and_then(Aio::new),
            direct: true,
            cached: true,
            under_way: Slab::new(),
            ended: VecDeque::new(),
        }
    }

    /// Takes what the page cache has; whether that was all.
    fn read_cached(&mut self, rest: &mut Rest) -> bool {
        let vector = libc::iovec {
            iov_base: rest.start.as_ptr().cast(),
            iov_len: rest.len,
        };
        // SAFETY: writes within the request's memory.
        let read = unsafe {
            libc::preadv2(
                self.file.0,
                &raw const vector,
                1,
                rest.offset as i64,
                libc::RWF_NOWAIT,
            )
        };
        match check(read) {
            Ok(n) => rest.skip(n),
            Err(Stop::WouldBlock) => (),
            // A file system that can't say.
            Err(_) => self.cached = false,
        }
        rest.len == 0
    }

    /// The file.
    pub fn file(&self) -> i32 {
        self.file.0
    }

    /// See [`crate::disks::Device::submit`]; `size` is the file's, in bytes.
    pub fn submit(&mut self, request: Request, tag: u64, size: u64) -> Submitted {
        let mut rest = Rest::new(request, self.sector);
        if rest.end() > size {
            // It has become shorter; a write would make it longer again.
            return Submitted::Done(Err(BlockError::Io));
        }
        if self.cached && rest.kind == Kind::Read && self.read_cached(&mut rest) {
            return Submitted::Done(Ok(()));
        }
        if self.under_way.len() >= MOST {
            return Submitted::Full;
        }
        let together = matches!(request, Request::Write { together: true, .. });
        let key = self.under_way.insert((tag, rest));
        let aligned = rest.is_aligned(ALIGN, if together { ALIGN } else { PAGE });
        let direct = self.direct && aligned && (together || self.ring.is_none());
        if direct && self.add(key, rest) || self.push(key, rest) {
            return Submitted::Taken;
        }
        self.under_way.remove(key);
        Submitted::Done(rest.now(self.file.0))
    }

    /// Gives a request to the older interface.
    fn add(&mut self, key: usize, rest: Rest) -> bool {
        let command = match rest.kind {
            Kind::Read => Command::Read,
            Kind::Write => Command::Write,
            Kind::Flush => Command::Sync,
            Kind::Scatter => Command::ReadVector,
            Kind::Gather { durable: false } => Command::WriteVector,
            Kind::Gather { durable: true } => Command::WriteVectorDurably,
            Kind::Allocate(_) => return false,
        };
        let start = match rest.kind {
            // The kernel refuses a flush that has memory.
            Kind::Flush => null_mut(),
            _ => rest.start.as_ptr(),
        };
        let offset = rest.offset as i64;
        self.aio.as_mut().is_some_and(|aio| {
            // SAFETY: the memory is the request's until it is reported.
            unsafe { aio.add(command, start, rest.len, offset, key as u64) }
        })
    }

    /// Gives a request to the ring.
    fn push(&mut self, key: usize, rest: Rest) -> bool {
        let Some(ring) = &self.ring else { return false };
        // SAFETY: the memory is the request's until it is reported.
        unsafe { ring.push(rest.entry(self.file.0), key as u64, true) }
    }

    /// Starts what was submitted; the ring does so with the program's next wait.
    pub fn kick(&mut self) {
        let Queue {
            file,
            aio: Some(aio),
            under_way,
            ended,
            ..
        } = self
        else {
            return;
        };
        aio.submit(&mut |key| {
            if let Some((tag, rest)) = under_way.try_remove(key as usize) {
                ended.push_back((tag, rest.now(file.0)));
            }
        });
    }

    /// Reports what has ended.
    pub fn poll(&mut self, report: &mut dyn FnMut(u64, Result<(), BlockError>)) {
        let mut aio = self.aio.take();
        if let Some(aio) = &mut aio {
            aio.poll(&mut |key, result| {
                let failure = |_| Errno::from_raw_os_error(-result as i32);
                let result = usize::try_from(result).map_err(failure);
                // Its sectors are larger than ours, or the like.
                self.direct &= result != Err(Errno::INVAL);
                self.note(key as usize, result);
            });
        }
        self.aio = aio;
        while let Some((key, result)) = self.ring.as_ref().and_then(Owner::ended) {
            self.note(key as usize, result.map(|n| n as usize));
        }
        for (tag, result) in self.ended.drain(..) {
            report(tag, result);
        }
    }

    /// A system call for a request has ended.
    fn note(&mut self, key: usize, result: Result<usize, Errno>) {
        let Some((tag, rest)) = self.under_way.get_mut(key) else {
            return;
        };
        let tag = *tag;
        let result = match result {
            Ok(n) => {
                let ended = rest.note(n);
                let rest = *rest;
                match ended {
                    Some(result) => result,
                    None if self.push(key, rest) => return,
                    None => rest.now(self.file.0),
                }
            }
            Err(Errno::IO) => Err(BlockError::Io),
            // A way that is closed here; the plain one knows why.
            Err(_) => rest.now(self.file.0),
        };
        self.under_way.remove(key);
        self.ended.push_back((tag, result));
    }

    /// See [`crate::disks::Device::arm`].
    pub fn arm(&mut self, interest: &mut Interest) {
        if !self.ended.is_empty() {
            interest.immediately();
        }
        if let Some(aio) = self.aio.as_ref().filter(|aio| aio.is_busy()) {
            interest.fd(aio.event(), libc::POLLIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnedFd, Queue};
    use crate::disks::{Request, Submitted};
    use crate::platform::Platform;
    use crate::platform::linux::ring::Handle;
    use crate::platform::linux::{Interest, Linux};
    use core::ptr::NonNull;
    use core::time::Duration;
    use std::ffi::CString;
    use std::vec::Vec;
    use std::{env, format, fs, process, vec};

    const SECTOR: usize = 512;
    const SECTORS: usize = 2048;

    fn open(path: &str, mode: i32) -> Option<OwnedFd> {
        let path = CString::new(path).expect("no zero byte");
        // SAFETY: ends with a zero byte.
        let fd = OwnedFd(unsafe { libc::open(path.as_ptr(), mode | libc::O_RDWR) });
        (fd.0 >= 0).then_some(fd)
    }

    /// Sleeps as the runtime does until something has ended, which doesn't take long.
    fn sleep(queue: &mut Queue, handle: &Handle) {
        let mut interest = Interest::new();
        interest.ring = Some(handle.clone());
        queue.arm(&mut interest);
        let start = Linux::monotonic_ns();
        Linux::wait(&mut interest, Some(start + 20_000_000_000));
        assert!(
            Linux::monotonic_ns() < start + 10_000_000_000,
            "nobody woke it"
        );
    }

    /// Submits all requests, as many at once as there is room for, until each has been reported; the most under way at once.
    fn run(queue: &mut Queue, handle: &Handle, requests: &[Request]) -> usize {
        let (mut next, mut ended, mut most) = (0, vec![0; requests.len()], 0);
        let mut rounds = 0;
        while ended.contains(&0) {
            while let Some(request) = requests.get(next) {
                match queue.submit(*request, next as u64, (SECTORS * SECTOR) as u64) {
                    Submitted::Full => break,
                    Submitted::Taken => (),
                    Submitted::Done(result) => {
                        assert_eq!(result, Ok(()));
                        ended[next] += 1;
                    }
                }
                next += 1;
            }
            most = most.max(next - ended.iter().sum::<usize>());
            queue.kick();
            if ended.contains(&0) {
                sleep(queue, handle);
            }
            queue.poll(&mut |tag, result| {
                assert_eq!(result, Ok(()));
                ended[tag as usize] += 1;
            });
            rounds += 1;
            assert!(rounds < 10_000, "requests never end");
        }
        assert!(ended.iter().all(|count| *count == 1), "{ended:?}");
        most
    }

    /// Sectors of a number each, written in any order and grouping, come back, and are in the file.
    fn keeps_sectors(name: &str, handle: &Handle, direct: bool) {
        let path = format!(
            "{}/soil-queue-{}-{name}",
            env::temp_dir().display(),
            process::id()
        );
        fs::write(&path, vec![0; SECTORS * SECTOR]).expect("a file");
        let file = open(&path, 0).expect("open");
        let past = open(&path, libc::O_DIRECT).filter(|_| direct);
        let mut queue = Queue::new(file, SECTOR, past, handle);
        // Memory with room to align it.
        let mut memory = vec![0u8; SECTORS * SECTOR + 4096];
        let skip = memory.as_ptr().align_offset(4096);
        let bytes = &mut memory[skip..][..SECTORS * SECTOR];
        for (sector, bytes) in bytes.chunks_exact_mut(SECTOR).enumerate() {
            bytes.fill((sector * 7 % 251) as u8);
        }
        let expected = bytes.to_vec();
        let start = NonNull::from(bytes).cast::<u8>();
        // Of 1, 2, 3, 8, … sectors, every third together with others; not in order.
        let mut writes = Vec::new();
        let (mut sector, mut n) = (0, 0);
        while sector < SECTORS {
            let count = [1, 2, 3, 8, 2, 4, 8, 5][n % 8].min(SECTORS - sector);
            // SAFETY: within the memory.
            let from = unsafe { start.add(sector * SECTOR) };
            writes.push(Request::Write {
                sector: sector as u64,
                from,
                len: count * SECTOR,
                together: n % 3 == 0,
            });
            sector += count;
            n += 1;
        }
        writes.sort_by_key(|request| match request {
            Request::Write { sector, .. } => sector * 37 % 1009,
            _ => 0,
        });
        // As file systems do: what belongs together has the disk for itself.
        let (groups, others): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .partition(|request| matches!(request, Request::Write { together: true, .. }));
        let most = run(&mut queue, handle, &others);
        run(&mut queue, handle, &groups);
        // The program stands still for a flush only where there is neither a ring nor a way past the cache.
        let under_way = run(&mut queue, handle, &[Request::Flush]);
        assert_eq!(
            under_way > 0,
            queue.aio.is_some() && queue.direct || queue.ring.is_some()
        );
        assert_eq!(fs::read(&path).expect("read"), expected);
        if handle.open(false).is_some() {
            assert!((128..=256).contains(&most), "{most} requests under way");
        }

        // SAFETY: the memory is ours again, and as long as that.
        unsafe { start.write_bytes(0, SECTORS * SECTOR) };
        let reads: Vec<_> = (0..SECTORS / 4)
            .map(|n| Request::Read {
                sector: n as u64 * 4,
                // SAFETY: within the memory.
                to: unsafe { start.add(n * 4 * SECTOR) },
                len: 4 * SECTOR,
            })
            .collect();
        // Half of them from the disk, and of one the end only.
        let half = SECTORS / 2;
        let across = [Request::Read {
            sector: (half - 16) as u64,
            // SAFETY: within the memory.
            to: unsafe { start.add((half - 16) * SECTOR) },
            len: 32 * SECTOR,
        }];
        for reads in [&across[..], &reads] {
            // SAFETY: advice on our own file.
            unsafe {
                let from = (half * SECTOR) as i64;
                libc::posix_fadvise(queue.file.0, from, from, libc::POSIX_FADV_DONTNEED);
            }
            run(&mut queue, handle, reads);
            let from = if reads.len() == 1 {
                half - 16..half + 16
            } else {
                0..SECTORS
            };
            let range = from.start * SECTOR..from.end * SECTOR;
            assert_eq!(memory[skip..][range.clone()], expected[range]);
        }
        // A file that has become shorter: an error, no end of tries.
        let beyond = Request::Read {
            sector: SECTORS as u64,
            to: start,
            len: SECTOR,
        };
        let mut failed = matches!(queue.submit(beyond, 0, u64::MAX), Submitted::Done(Err(_)));
        for _ in 0..100 {
            queue.kick();
            handle.with(|ring| ring.wait(&mut [], Some(Duration::from_millis(1))));
            queue.poll(&mut |_, result| failed |= result.is_err());
        }
        assert!(failed);
        fs::remove_file(&path).expect("remove");
    }

    #[test]
    fn keeps_sectors_on_a_ring() {
        keeps_sectors("ring", &Handle::new(), true);
        keeps_sectors("ring-cached", &Handle::new(), false);
    }

    #[test]
    fn keeps_sectors_without_a_ring() {
        keeps_sectors("direct", &Handle::forbidden(), true);
        keeps_sectors("waiting", &Handle::forbidden(), false);
    }
}
