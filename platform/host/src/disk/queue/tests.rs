//! Sectors on all ways of requests.

use super::{OwnedFd, Queue};
use crate::ring::{Handle, Requests};
use crate::{Host, Interest};
use core::ptr::NonNull;
use core::time::Duration;
use platform::disk::{Request, Submitted};
use platform::{Clock, Interest as _, Signals, Wait};
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

/// Sleeps as the runtime does until a request has completed; panics when no event ends the sleep.
/// The limit is generous: a disk that other programs use may take seconds for a flush.
fn sleep(queue: &mut Queue, handle: &Handle) {
    let mut interest = Interest::EMPTY;
    interest.ring = Some(handle.clone());
    queue.arm(&mut interest);
    let start = Host::monotonic_ns();
    let mut sleep = Host::prepare(&mut interest, Some(start + 200_000_000_000), Signals::End);
    Host::sleep(&mut sleep);
    Host::finish(&mut interest, sleep);
    assert!(
        Host::monotonic_ns() < start + 190_000_000_000,
        "no event ended the sleep"
    );
}

/// Submits all requests, as many at once as there is room for, until each has been reported;
/// returns the maximum in flight.
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

/// Numbered sectors, written in any order and grouping, are read back, and are in the file.
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
    // As file systems do: requests that belong together have the disk for themselves.
    let (groups, others): (Vec<_>, Vec<_>) = writes
        .into_iter()
        .partition(|request| matches!(request, Request::Write { together: true, .. }));
    let most = run(&mut queue, handle, &others);
    run(&mut queue, handle, &groups);
    // The program is blocked by a flush only without a ring and without a way past the cache.
    let under_way = run(&mut queue, handle, &[Request::Flush]);
    assert_eq!(
        under_way > 0,
        queue.aio.is_some() && queue.takes_direct || queue.ring.is_some()
    );
    assert_eq!(fs::read(&path).expect("read"), expected);
    if handle.open(Requests::Lasting).is_some() {
        assert!((128..=256).contains(&most), "{most} requests under way");
    }

    // SAFETY: the memory is ours again, and of that length.
    unsafe { start.write_bytes(0, SECTORS * SECTOR) };
    let reads: Vec<_> = (0..SECTORS / 4)
        .map(|n| Request::Read {
            sector: n as u64 * 4,
            // SAFETY: within the memory.
            to: unsafe { start.add(n * 4 * SECTOR) },
            len: 4 * SECTOR,
        })
        .collect();
    // Half of them from the disk, and only the end of one.
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
    // A truncated file: an error, and no endless retries.
    let beyond = Request::Read {
        sector: SECTORS as u64,
        to: start,
        len: SECTOR,
    };
    let mut failed = matches!(queue.submit(beyond, 0, u64::MAX), Submitted::Done(Err(_)));
    let start = Host::monotonic_ns();
    while !failed {
        assert!(
            Host::monotonic_ns() < start + 190_000_000_000,
            "it doesn't end"
        );
        queue.kick();
        handle.with(|ring| ring.wait(&mut [], Some(Duration::from_millis(1))));
        queue.poll(&mut |_, result| failed |= result.is_err());
    }
    fs::remove_file(&path).expect("remove");
}

#[test]
fn keeps_sectors_on_a_ring() {
    keeps_sectors("ring", &Handle::default(), true);
    keeps_sectors("ring-cached", &Handle::default(), false);
}

#[test]
fn keeps_sectors_without_a_ring() {
    keeps_sectors("direct", &Handle::forbidden(), true);
    keeps_sectors("waiting", &Handle::forbidden(), false);
}

/// A new file of [`SECTORS`] and a queue on it, also past the page cache if the file supports that.
fn on_file(name: &str, handle: &Handle) -> (String, Queue) {
    let directory = env::temp_dir();
    let path = format!(
        "{}/soil-queue-{}-{name}",
        directory.display(),
        process::id()
    );
    fs::write(&path, vec![0; SECTORS * SECTOR]).expect("a file");
    let file = open(&path, 0).expect("open");
    let past = open(&path, libc::O_DIRECT);
    (path, Queue::new(file, SECTOR, past, handle))
}

/// Aligned memory of `sectors`, each byte `fill`.
fn filled(sectors: usize, fill: u8) -> (Vec<u8>, NonNull<u8>) {
    let mut memory = vec![fill; sectors * SECTOR + 4096];
    let skip = memory.as_ptr().align_offset(4096);
    let start = NonNull::from(&mut memory[skip..]).cast();
    (memory, start)
}

fn write(sector: usize, from: NonNull<u8>, sectors: usize) -> Request {
    Request::Write {
        sector: sector as u64,
        from,
        len: sectors * SECTOR,
        together: false,
    }
}

/// Drops the queue's file from the page cache, and reads it from the disk.
fn on_disk(path: &str, queue: &Queue) -> Vec<u8> {
    // SAFETY: calls on our own file.
    unsafe {
        assert_eq!(libc::fdatasync(queue.file.0), 0);
        libc::posix_fadvise(queue.file.0, 0, 0, libc::POSIX_FADV_DONTNEED);
    }
    fs::read(path).expect("read")
}

#[test]
fn only_large_writes_of_whole_pages_go_past_the_cache_of_a_ring() {
    let handle = Handle::default();
    let (path, mut queue) = on_file("large", &handle);
    if queue.ring.is_none() || !queue.takes_direct {
        return println!("no ring, or no way past the page cache: not tested");
    }
    let (_memory, start) = filled(SECTORS, 7);
    // SAFETY: within the memory.
    let odd = unsafe { start.add(16) };
    for (sector, from, sectors, past) in [
        (0, start, 512, true),
        (1024, start, 1024, true),
        (0, start, 504, false),
        (1, start, 512, false),
        (0, start, 513, false),
        (0, odd, 512, false),
    ] {
        // However long the previous one took.
        queue.rests_until = 0;
        let taken = queue.submit(write(sector, from, sectors), 0, u64::MAX);
        assert!(matches!(taken, Submitted::Taken));
        assert_eq!(queue.past, usize::from(past), "{sectors} from {sector}");
        while !queue.under_way.is_empty() {
            queue.kick();
            sleep(&mut queue, &handle);
            queue.poll(&mut |_, result| assert_eq!(result, Ok(())));
        }
        assert_eq!(queue.past, 0);
    }
    let found = on_disk(&path, &queue);
    for (sector, bytes) in found.chunks_exact(SECTOR).enumerate() {
        let fill = if (513..1024).contains(&sector) { 0 } else { 7 };
        assert!(bytes.iter().all(|byte| *byte == fill), "sector {sector}");
    }
    fs::remove_file(&path).expect("remove");
}

/// On a slow disk the page cache is faster: large writes use it for a while after one past it took
/// long.
#[test]
fn a_slow_disk_is_written_through_the_cache() {
    let ms = 1_000_000;
    assert!(super::is_slow(8 * ms, 1 << 20) && !super::is_slow(ms / 3, 1 << 20));
    assert!(super::is_slow(ms / 3, 256 << 10) && !super::is_slow(8 * ms, 16 << 20));
    let handle = Handle::default();
    let (path, mut queue) = on_file("slow", &handle);
    if queue.ring.is_none() || !queue.takes_direct {
        return println!("no ring, or no way past the page cache: not tested");
    }
    let (_memory, start) = filled(512, 3);
    let request = write(0, start, 512);
    let end = |queue: &mut Queue| {
        while !queue.under_way.is_empty() {
            queue.kick();
            sleep(queue, &handle);
            queue.poll(&mut |_, result| assert_eq!(result, Ok(())));
        }
    };
    assert!(matches!(
        queue.submit(request, 0, u64::MAX),
        Submitted::Taken
    ));
    assert_eq!(queue.past, 1);
    // It began long ago.
    for (_, request) in &mut queue.under_way {
        request.timed = Some(0);
    }
    let before = Host::monotonic_ns();
    end(&mut queue);
    assert!(queue.rests_until >= before + super::BACKOFF_NS);
    queue.rests_until = u64::MAX;
    assert!(matches!(
        queue.submit(request, 0, u64::MAX),
        Submitted::Taken
    ));
    assert_eq!(queue.past, 0);
    end(&mut queue);
    fs::remove_file(&path).expect("remove");
}

#[test]
fn a_file_that_refuses_what_goes_past_the_cache_is_written_through_it() {
    let handle = Handle::default();
    let (path, mut queue) = on_file("refuses", &handle);
    if !queue.takes_direct || queue.ring.is_none() {
        return println!("no way past the page cache: not tested");
    }
    // The kernel refuses memory at such addresses, as it refuses all requests of a disk with larger
    // sectors. Not every file system does: some send it through the page cache themselves.
    let (_memory, start) = filled(1024, 9);
    // SAFETY: within the memory.
    let from = unsafe { start.add(1) };
    let past = open(&path, libc::O_DIRECT).expect("open");
    // SAFETY: as above.
    if unsafe { libc::pwrite(past.0, from.as_ptr().cast(), 512 * SECTOR, 0) } >= 0 {
        fs::remove_file(&path).expect("remove");
        return println!("nothing is refused here: not tested");
    }
    let request = write(8, from, 512);
    let key = queue.under_way.insert(super::InFlight {
        tag: 5,
        io: super::IoRequest::new(request, SECTOR),
        past: true,
        timed: None,
        whole: 1..65,
    });
    queue.past = 1;
    let io = queue.under_way[key].io;
    assert!(queue.push(key, io));
    let mut ended = None;
    while ended.is_none() {
        sleep(&mut queue, &handle);
        queue.poll(&mut |tag, result| ended = Some((tag, result)));
    }
    assert_eq!(ended, Some((5, Ok(()))));
    assert!(!queue.takes_direct && queue.past == 0);
    let found = on_disk(&path, &queue);
    assert!(
        found[8 * SECTOR..520 * SECTOR]
            .iter()
            .all(|byte| *byte == 9)
    );
    fs::remove_file(&path).expect("remove");
}

/// A write of one sector, submitted with others.
fn together(sector: usize, from: NonNull<u8>) -> Request {
    Request::Write {
        sector: sector as u64,
        from,
        len: SECTOR,
        together: true,
    }
}

#[test]
fn what_goes_past_the_cache_waits_for_pages_that_the_cache_has_to_write() {
    let handle = Handle::default();
    let (path, mut queue) = on_file("unflushed", &handle);
    if queue.ring.is_none() || !queue.takes_direct || queue.aio.is_none() {
        return println!("no ring, or no way past the page cache: not tested");
    }
    let (_memory, start) = filled(2, 5);
    let submit = |queue: &mut Queue, request, waits: &mut usize| {
        while matches!(queue.submit(request, 0, u64::MAX), Submitted::Full) {
            assert!(queue.unflushed.is_flushing(), "nothing to wait for");
            *waits += 1;
            sleep(queue, &handle);
            queue.poll(&mut |_, result| assert_eq!(result, Ok(())));
        }
        while !queue.under_way.is_empty() {
            queue.kick();
            sleep(queue, &handle);
            queue.poll(&mut |_, result| assert_eq!(result, Ok(())));
        }
    };
    let mut waits = 0;
    submit(&mut queue, together(8, start), &mut waits);
    assert!(waits > 0, "others have just written the file");
    waits = 0;
    submit(&mut queue, together(9, start), &mut waits);
    submit(&mut queue, write(16, start, 1), &mut waits);
    submit(&mut queue, together(24, start), &mut waits);
    assert_eq!(waits, 0, "no page in common");
    submit(&mut queue, together(17, start), &mut waits);
    assert!(waits > 0, "the page of sector 16");
    waits = 0;
    submit(&mut queue, write(16, start, 1), &mut waits);
    submit(&mut queue, Request::Flush, &mut waits);
    submit(&mut queue, together(17, start), &mut waits);
    assert_eq!(waits, 0, "flushed");
    let found = on_disk(&path, &queue);
    for sector in [8, 9, 16, 17, 24] {
        let bytes = &found[sector * SECTOR..][..SECTOR];
        assert!(bytes.iter().all(|byte| *byte == 5), "sector {sector}");
    }
    fs::remove_file(&path).expect("remove");
}

/// A write of one sector and a large one that contains it, at once: the sector has either's data,
/// the others that of the large one.
#[test]
fn writes_by_two_ways_never_meet_in_a_page() {
    for (name, handle) in [
        ("meet", Handle::default()),
        ("meet-aio", Handle::forbidden()),
    ] {
        let (path, mut queue) = on_file(name, &handle);
        let (_small, small) = filled(1, 1);
        for round in 0..200 {
            let fill = 2 + round as u8;
            let (_large, large) = filled(512, fill);
            let (first, at) = (512 * (round % 4), 512 * (round % 4) + 37 * round % 512);
            let mut both = [write(at, small, 1), write(first, large, 512)];
            if round % 2 == 0 {
                both.reverse();
            }
            run(&mut queue, &handle, &both);
            let found = on_disk(&path, &queue);
            for (sector, bytes) in found.chunks_exact(SECTOR).enumerate().skip(first).take(512) {
                let is_new = bytes.iter().all(|byte| *byte == fill);
                let is_small = sector == at && bytes.iter().all(|byte| *byte == 1);
                assert!(is_new || is_small, "{name}, round {round}: sector {sector}");
            }
        }
        fs::remove_file(&path).expect("remove");
    }
}
