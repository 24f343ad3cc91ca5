//! The state of the node, and its exchange with the coordinator.

use crate::protocol::{
    ATTACHED, CONSOLE, EVENT_DISK, EVENT_FRAME, EXIT, HEADER, MAX, NOTE, RESUME, Reader, START,
    UNOWNED, VERSION, WAIT, put,
};
use crate::stub;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use generator::{Generator, SEED};
use platform::error::{Error, Failure};

/// Readings of the clock in one turn that see the same time. A program that reads it more often
/// waits for it to pass.
const READINGS: u32 = 1_000;
/// By how many nanoseconds each further reading moves the clock.
const STEP_NS: u64 = 1_000;
/// After how many readings other nodes have a turn.
const PATIENCE: u32 = 20_000;
/// Buffered bytes that are sent before the turn ends.
const BUFFER: usize = 256 << 10;
/// Bytes that one call of read(2) takes: most messages.
const INPUT: usize = 16 << 10;

/// A disk in [`START`].
#[derive(Clone)]
pub struct DiskInfo {
    pub name: String,
    pub sectors: u64,
    pub sector_size: usize,
    pub read_only: bool,
}

/// A completed request of a disk.
pub struct Completed {
    pub disk: u8,
    pub number: u64,
    pub status: u8,
    pub data: Vec<u8>,
}

/// What the coordinator and the node know of each other.
pub struct Node {
    fd: i32,
    out: Vec<u8>,
    input: Vec<u8>,
    monotonic: u64,
    wall: u64,
    readings: u32,
    stops: usize,
    memory: u64,
    pub mac: [u8; 6],
    pub disks: Vec<DiskInfo>,
    pub frames: VecDeque<Vec<u8>>,
    pub completed: Vec<Completed>,
    /// For Soil; the number of draws must not depend on what other libraries draw.
    random: Generator,
    /// For getrandom(2).
    system_random: Generator,
    /// For the order of tasks.
    order: Generator,
}

/// The node of this process. A handler of signals may find it in use.
struct Slot {
    in_use: AtomicBool,
    node: UnsafeCell<Option<Node>>,
}

// SAFETY: `with` admits one user at a time.
unsafe impl Sync for Slot {}

static SLOT: Slot = Slot {
    in_use: AtomicBool::new(false),
    node: UnsafeCell::new(None),
};
static SIMULATED: AtomicBool = AtomicBool::new(false);

/// Whether this process is a node.
pub fn is_simulated() -> bool {
    SIMULATED.load(Ordering::Relaxed)
}

/// Calls `f` with the node; `None` if there is none, or a call is inside.
pub fn with<T>(f: impl FnOnce(&mut Node) -> T) -> Option<T> {
    if !is_simulated() || SLOT.in_use.swap(true, Ordering::Acquire) {
        return None;
    }
    // SAFETY: the flag admits one user.
    let node = unsafe { &mut *SLOT.node.get() };
    let result = node.as_mut().map(f);
    SLOT.in_use.store(false, Ordering::Release);
    result
}

/// The coordinator has gone, or the socket is out of step: nothing can be simulated any more.
fn lost() -> ! {
    // SAFETY: ends the process.
    unsafe { stub::exit(2) }
}

/// Reads up to `into.len()` bytes, at least one.
fn read(fd: i32, into: &mut [u8]) -> usize {
    loop {
        // SAFETY: writes within `into`.
        let n = unsafe { stub::read(fd, into.as_mut_ptr().cast(), into.len()) };
        match usize::try_from(n) {
            Ok(n) if n > 0 => return n,
            _ if n == -(libc::EINTR as isize) => (),
            _ => lost(),
        }
    }
}

/// Writes all of `from`.
fn write(fd: i32, mut from: &[u8]) {
    while !from.is_empty() {
        // SAFETY: reads within `from`.
        let n = unsafe { stub::write(fd, from.as_ptr().cast(), from.len()) };
        match usize::try_from(n) {
            Ok(n) => from = from.get(n..).unwrap_or_default(),
            _ if n == -(libc::EINTR as isize) => (),
            _ => lost(),
        }
    }
}

/// Reads a message into `input`, and is its kind and bytes. The coordinator sends the next one after
/// an answer: nothing follows. The node takes no message of more than [`MAX`] bytes.
fn message(fd: i32, input: &mut Vec<u8>) -> (u8, &[u8]) {
    input.resize(INPUT, 0);
    let (mut filled, mut end) = (0, HEADER);
    while filled < end {
        filled += read(fd, input.get_mut(filled..).unwrap_or_default());
        if let Some(len) = input.first_chunk().filter(|_| filled >= HEADER) {
            end = HEADER + u32::from_le_bytes(*len) as usize;
            if end - HEADER > MAX || filled > end {
                lost();
            }
            if input.len() < end {
                input.resize(end, 0);
            }
        }
    }
    let kind = input.get(HEADER - 1).copied().unwrap_or_default();
    (kind, input.get(HEADER..end).unwrap_or_default())
}

/// The node that [`START`] describes; `None` for another version, or a message that is cut off.
fn started(fd: i32, bytes: &[u8]) -> Option<Node> {
    let mut from = Reader(bytes);
    if from.u32()? != VERSION {
        return None;
    }
    let seed: [u8; SEED] = *from.bytes(SEED)?.first_chunk()?;
    let (monotonic, wall) = (from.u64()?, from.u64()?);
    let memory = from.u64()?;
    let mac = *from.bytes(6)?.first_chunk()?;
    let mut disks = Vec::new();
    for _ in 0..from.u32()? {
        let name = String::from_utf8_lossy(from.sized()?).into_owned();
        let sectors = from.u64()?;
        let sector_size = from.u32()? as usize;
        let read_only = from.byte()? != 0;
        disks.push(DiskInfo {
            name,
            sectors,
            sector_size,
            read_only,
        });
    }
    // Independent streams of one seed.
    let generator = |which: u8| {
        let mut seed = seed;
        seed[0] ^= which;
        Generator::new(seed)
    };
    Some(Node {
        fd,
        // A node may end in the middle of malloc, which then can't be called.
        out: Vec::with_capacity(2 * BUFFER),
        input: Vec::new(),
        monotonic,
        wall,
        readings: 0,
        stops: 0,
        memory,
        mac,
        disks,
        frames: VecDeque::new(),
        completed: Vec::new(),
        random: generator(0),
        system_random: generator(1),
        order: generator(2),
    })
}

/// See [`crate::attach`].
pub fn attach(fd: i32) -> Result<(), Failure> {
    // The node ends with its coordinator, and leaves the socket to no other program.
    // SAFETY: calls without pointers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // `--gdb`: its debugger isn't a parent of the node.
        libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY);
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
    }
    let mut hello = Vec::new();
    put(&mut hello, ATTACHED, &[&VERSION.to_le_bytes()]);
    write(fd, &hello);
    let mut input = Vec::new();
    let (kind, bytes) = message(fd, &mut input);
    let node = (kind == START).then(|| started(fd, bytes)).flatten();
    let Some(node) = node else {
        let detail = "the coordinator is of another version of Soil: rebuild the test and the \
                      programs with the same one";
        return Err(Failure::new(Error::Invalid, detail));
    };
    // SAFETY: no node exists yet, so that `with` gives nothing away.
    unsafe { *SLOT.node.get() = Some(node) };
    SIMULATED.store(true, Ordering::Release);
    Ok(())
}

impl Node {
    /// Queues a message. It is sent at the end of the turn at the latest.
    pub fn send(&mut self, kind: u8, parts: &[&[u8]]) {
        put(&mut self.out, kind, parts);
        if self.out.len() > BUFFER {
            self.flush();
        }
    }

    /// Sends what is queued.
    pub fn flush(&mut self) {
        write(self.fd, &self.out);
        self.out.clear();
    }

    /// Waits until an event, or the monotonic time `until`.
    fn wait(&mut self, until: u64) {
        let times = [self.monotonic.to_le_bytes(), until.to_le_bytes()];
        put(&mut self.out, WAIT, &[&times[0], &times[1]]);
        self.flush();
        let mut input = core::mem::take(&mut self.input);
        let (kind, bytes) = message(self.fd, &mut input);
        if kind != RESUME || self.resume(bytes).is_none() {
            lost();
        }
        self.input = input;
    }

    fn resume(&mut self, bytes: &[u8]) -> Option<()> {
        let mut from = Reader(bytes);
        self.monotonic = from.u64()?;
        self.wall = from.u64()?;
        self.stops = from.u32()? as usize;
        self.readings = 0;
        for _ in 0..from.u32()? {
            match from.byte()? {
                EVENT_FRAME => self.frames.push_back(from.sized()?.to_vec()),
                EVENT_DISK => {
                    let (disk, number, status) = (from.byte()?, from.u64()?, from.byte()?);
                    let data = from.sized()?.to_vec();
                    self.completed.push(Completed {
                        disk,
                        number,
                        status,
                        data,
                    });
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Counts a reading of the clock.
    fn read_clock(&mut self) {
        self.readings += 1;
        if self.readings > READINGS {
            self.monotonic += STEP_NS;
            self.wall += STEP_NS;
        }
        if self.readings >= PATIENCE {
            self.wait(self.monotonic);
        }
    }
}

/// Nanoseconds of the node's monotonic clock; `None` if this process isn't one.
pub fn monotonic_ns() -> Option<u64> {
    with(|node| {
        node.read_clock();
        node.monotonic
    })
}

/// Nanoseconds since 1970 by the node's wall clock.
pub fn wall_ns() -> Option<u64> {
    with(|node| {
        node.read_clock();
        node.wall
    })
}

/// Bytes of memory of the simulated machine.
pub fn total_memory() -> Option<u64> {
    with(|node| node.memory)
}

/// Fills `into` with numbers of the node's seed; whether this process is one.
pub fn random(into: &mut [u8]) -> bool {
    with(|node| node.random.fill(into, |_| false)).is_some()
}

/// The same for what other libraries draw from Linux.
pub fn system_random(into: &mut [u8]) -> bool {
    with(|node| node.system_random.fill(into, |_| false)).is_some()
}

/// A number below `bound`, by the seed: the ready task that runs next. 0 if this process isn't a
/// node.
pub fn choose(bound: usize) -> usize {
    let draw = |node: &mut Node| {
        let mut number = [0; 8];
        node.order.fill(&mut number, |_| false);
        u64::from_le_bytes(number) as usize
    };
    match bound {
        0 | 1 => 0,
        bound => with(draw).map_or(0, |number| number % bound),
    }
}

/// Waits until an event, or the monotonic time `until`.
pub fn wait(until: Option<u64>) {
    with(|node| node.wait(until.unwrap_or(u64::MAX)));
}

/// Requests to stop so far.
pub fn stops() -> usize {
    with(|node| node.stops).unwrap_or(0)
}

/// Writes output; whether this process is a node.
pub fn console(stream: u8, bytes: &[u8]) -> bool {
    with(|node| node.send(CONSOLE, &[&[stream], bytes])).is_some()
}

/// Sends a note of `soil-sim`; whether this process is a node.
pub fn note(bytes: &[u8]) -> bool {
    with(|node| node.send(NOTE, &[bytes])).is_some()
}

/// Reports a call that the simulation doesn't own.
pub fn unowned(text: &str) {
    with(|node| node.send(UNOWNED, &[text.as_bytes()]));
}

/// Sends what is queued, before the process ends with this status.
pub fn ends(status: u8) {
    with(|node| {
        node.send(EXIT, &[&[status]]);
        node.flush();
    });
}
