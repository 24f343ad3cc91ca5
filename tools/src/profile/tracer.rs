//! Stops, inspects and continues the running threads of a process by ptrace(2), which a parent may
//! use without privileges.
//!
//! A single thread makes all ptrace calls and waits for the process's end, because Linux reports
//! the stops of a traced child to any thread that waits for it.

use super::access::Access;
use super::unwind::{Code, Memory, Modules, Registers};
use crate::arch::Arch;
use crate::symbols::Symbols;
use object::{Object as _, ObjectSegment as _, SegmentFlags, elf};
use std::fs::{File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// The polling interval for stops, most of which are of signals.
const LOOK: Duration = Duration::from_micros(500);
/// The time to wait for a thread to stop; a slower one is handled in a later poll.
const STOP: Duration = Duration::from_millis(2);

fn ptrace(request: libc::c_uint, thread: i32, data: usize) -> io::Result<i64> {
    // SAFETY: no request in use takes an address; `data` is a number, or a pointer that the caller
    // guarantees to be valid.
    let result = unsafe { libc::ptrace(request, thread, std::ptr::null_mut::<u8>(), data) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// The state of a thread according to waitpid(2).
enum Told {
    Nothing,
    /// No longer traced.
    Gone,
    Status(i32),
}

fn wait(thread: i32) -> Told {
    let mut status = 0;
    // SAFETY: the call writes the status only before it returns.
    match unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL | libc::WNOHANG) } {
        0 => Told::Nothing,
        -1 => Told::Gone,
        _ => Told::Status(status),
    }
}

/// A child that waits before exec until the tracer attaches.
pub struct Child {
    number: PipeReader,
    go: PipeWriter,
}

/// Makes the process that `command` starts wait until [`Tracer::new`] gets the returned child. The
/// pipes' other ends close when the command is dropped.
pub fn waiting(command: &mut Command) -> io::Result<Child> {
    let (number, said) = io::pipe()?;
    let (heard, go) = io::pipe()?;
    // SAFETY: between fork and exec only system calls are made, on descriptors that the closure
    // owns and memory of its own.
    unsafe {
        command.pre_exec(move || {
            let own = libc::getpid().to_ne_bytes();
            (&said).write_all(&own)?;
            (&heard).read_exact(&mut [0])
        });
    }
    Ok(Child { number, go })
}

/// Waits until a newly attached thread has stopped after exec.
fn hold(thread: i32) -> io::Result<()> {
    loop {
        match wait(thread) {
            Told::Nothing => std::thread::yield_now(),
            Told::Status(status) if libc::WIFSTOPPED(status) => {
                let signal = libc::WSTOPSIG(status);
                match status >> 16 {
                    libc::PTRACE_EVENT_EXEC => return Ok(()),
                    // exec failed; the thread that started the process gets its exit status.
                    libc::PTRACE_EVENT_EXIT => {
                        ptrace(libc::PTRACE_DETACH, thread, 0)?;
                        return Err(io::Error::other("the program couldn't be started"));
                    }
                    0 => ptrace(libc::PTRACE_CONT, thread, signal as usize)?,
                    _ => ptrace(libc::PTRACE_CONT, thread, 0)?,
                };
            }
            Told::Gone | Told::Status(_) => {
                return Err(io::Error::other("the process ended at its beginning"));
            }
        }
    }
}

/// The set of registers that ptrace(2) calls NT_PRSTATUS.
const PRSTATUS: usize = 1;

/// Reads the registers of a stopped thread.
fn registers(thread: i32) -> io::Result<Registers> {
    // arm64's set is the larger one: x0 to x30, sp, pc and the processor's state.
    let mut set = [0_u64; 34];
    let mut room = libc::iovec {
        iov_base: set.as_mut_ptr().cast(),
        iov_len: size_of_val(&set),
    };
    let address = std::ptr::without_provenance_mut::<u8>(PRSTATUS);
    // SAFETY: the kernel writes into `set` as much as fits, and its length into `room`.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, thread, address, &raw mut room) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    let set = set.get(..room.iov_len / size_of::<u64>());
    set.and_then(|set| numbered(Arch::HOST, set))
        .ok_or_else(|| io::Error::other("the thread is of another architecture"))
}

/// Orders Linux's set of a thread's registers by DWARF's numbers; `None` if it is the set of
/// another architecture. The set is `user_regs_struct` on x86-64, `user_pt_regs` on arm64.
fn numbered(arch: Arch, set: &[u64]) -> Option<Registers> {
    /// Places of rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15 and rip.
    const X86_64: [usize; 17] = [10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16];
    let (len, places): (_, Vec<usize>) = match arch {
        Arch::X86_64 => (27, X86_64.into()),
        Arch::Aarch64 => (34, (0..33).collect()),
    };
    if set.len() != len {
        return None;
    }
    let values: Option<Vec<u64>> = places.iter().map(|at| set.get(*at).copied()).collect();
    Registers::new(arch, &values?)
}

/// The memory of a process with a stopped thread.
struct Pages<'a>(&'a File);

impl Memory for Pages<'_> {
    fn word(&mut self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

/// The memory of a process that may be running.
pub struct Live<'a>(&'a File);

impl Access for Live<'_> {
    fn read(&mut self, address: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.0.read_exact_at(&mut bytes, address).ok()?;
        Some(bytes)
    }

    fn write(&mut self, address: u64, word: u64) -> Option<()> {
        self.0.write_all_at(&word.to_le_bytes(), address).ok()
    }
}

/// An executable file mapping of the process.
struct Module {
    range: Range<u64>,
    /// The difference between its addresses in the process and in the file.
    moved: u64,
    path: PathBuf,
    code: Code,
}

/// The executable mappings of the process.
#[derive(Default)]
pub struct Loaded(Vec<Module>);

impl Modules for Loaded {
    fn find(&self, address: u64) -> Option<(&Code, u64)> {
        let module = self
            .0
            .iter()
            .find(|module| module.range.contains(&address))?;
        Some((&module.code, module.moved))
    }
}

impl Loaded {
    /// Adds new mappings. Skips files that can't be read, whose functions have no names.
    fn update(&mut self, process: i32) {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).unwrap_or_default();
        for line in maps.lines() {
            let Some((range, offset, path)) = mapping(line) else {
                continue;
            };
            if !self.0.iter().any(|module| module.range == range)
                && let Some(moved) = moved(&path, &range, offset)
                && let Ok(code) = Code::open(&path)
            {
                self.0.push(Module {
                    range,
                    moved,
                    path,
                    code,
                });
            }
        }
    }

    /// Returns the difference between a file's addresses in the process and in the file.
    pub fn moved(&self, file: &Path) -> Option<u64> {
        let module = self.0.iter().find(|module| module.path == file)?;
        Some(module.moved)
    }

    /// Returns the functions at an address, the innermost inlined one first.
    pub fn functions(&self) -> impl Fn(u64, bool) -> Vec<String> + '_ {
        let open = |module: &Module| Symbols::open(&module.path).ok();
        let symbols: Vec<Option<Symbols>> = self.0.iter().map(open).collect();
        move |address, is_return| {
            let mut modules = self.0.iter().zip(&symbols);
            let Some((module, symbols)) = modules.find(|(it, _)| it.range.contains(&address))
            else {
                return Vec::new();
            };
            let in_file = address.wrapping_sub(module.moved);
            let names = |symbols: &Symbols| symbols.functions(in_file, is_return);
            let names = symbols.as_ref().map(names).unwrap_or_default();
            if names.is_empty() {
                let file = module.path.file_name().unwrap_or_default();
                return vec![format!("[{}]", file.display())];
            }
            names
        }
    }
}

/// Parses a line of `maps`: the addresses, offset and file, if it maps a file's code.
fn mapping(line: &str) -> Option<(Range<u64>, u64, PathBuf)> {
    let mut words = line.splitn(6, ' ');
    let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
    let path = words.nth(2)?.trim_start();
    let (start, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    (rights.contains('x') && path.starts_with('/')).then_some((
        number(start)?..number(end)?,
        number(offset)?,
        path.into(),
    ))
}

/// Returns the difference between mapped addresses and those of the file for this mapping.
fn moved(path: &Path, range: &Range<u64>, offset: u64) -> Option<u64> {
    let bytes = std::fs::read(path).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let is_code = |segment: &object::Segment| matches!(segment.flags(), SegmentFlags::Elf { p_flags, .. } if p_flags.contains(elf::PF_X));
    file.segments().filter(is_code).find_map(|segment| {
        let (at, len) = segment.file_range();
        // The mapping begins with a page, which has up to 64 KiB on arm64.
        let page = at & !0xffff;
        let in_file = segment.address().wrapping_sub(at).wrapping_add(offset);
        (page..at.saturating_add(len))
            .contains(&offset)
            .then(|| range.start.wrapping_sub(in_file))
    })
}

/// The threads of a process.
pub struct Tracer {
    process: i32,
    threads: Vec<i32>,
    memory: File,
    loaded: Loaded,
}

impl Tracer {
    /// Attaches to a child of this process and holds it at its program's start until
    /// [`Tracer::run`]. The same thread must make all calls.
    pub fn new(mut child: Child) -> io::Result<Self> {
        let mut number = [0; 4];
        child.number.read_exact(&mut number)?;
        let process = i32::from_ne_bytes(number);
        let options =
            libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_TRACEEXEC;
        ptrace(libc::PTRACE_SEIZE, process, options as usize)?;
        child.go.write_all(&[0])?;
        hold(process)?;
        let memory = format!("/proc/{process}/mem");
        let memory = OpenOptions::new().read(true).write(true).open(memory)?;
        let mut loaded = Loaded::default();
        loaded.update(process);
        Ok(Self {
            process,
            threads: vec![process],
            memory,
            loaded,
        })
    }

    /// Lets the process run to its end. Passes the calls of each running thread to `sampled` once
    /// per `period`, if given. Passes the memory and the mappings to `looked` often, and once
    /// before the end.
    pub fn run(
        mut self,
        period: Option<Duration>,
        mut sampled: impl FnMut(Vec<u64>),
        mut looked: impl FnMut(&mut Live, &mut Loaded),
    ) -> (io::Result<ExitStatus>, Loaded) {
        let mut next = Instant::now();
        looked(&mut Live(&self.memory), &mut self.loaded);
        if let Err(error) = ptrace(libc::PTRACE_CONT, self.process, 0) {
            return (Err(error), self.loaded);
        }
        loop {
            looked(&mut Live(&self.memory), &mut self.loaded);
            let asked = match period {
                Some(_) => self.interrupt(next),
                None => Vec::new(),
            };
            if let (Some(period), false) = (period, asked.is_empty()) {
                next = (next + period).max(Instant::now() + period / 2);
            }
            let end = Instant::now() + STOP;
            let mut waiting = asked;
            loop {
                for thread in self.threads.clone() {
                    match self.handle(thread, &mut waiting, &mut sampled, &mut looked) {
                        Ok(None) => (),
                        Ok(Some(status)) => return (Ok(status), self.loaded),
                        Err(error) => return (Err(error), self.loaded),
                    }
                }
                if waiting.is_empty() || Instant::now() > end {
                    break;
                }
                std::thread::yield_now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Interrupts the running threads if the next sample is due. Returns them.
    fn interrupt(&self, next: Instant) -> Vec<i32> {
        if Instant::now() < next {
            return Vec::new();
        }
        let runs = |thread: &&i32| {
            let path = format!("/proc/{}/task/{thread}/stat", self.process);
            let text = std::fs::read_to_string(path).unwrap_or_default();
            // After the name, which may contain brackets and blanks.
            text.rsplit_once(')')
                .is_some_and(|(_, rest)| rest.starts_with(" R"))
        };
        let asks = |thread: &&i32| ptrace(libc::PTRACE_INTERRUPT, **thread, 0).is_ok();
        self.threads
            .iter()
            .filter(runs)
            .filter(asks)
            .copied()
            .collect()
    }

    /// Handles all pending events of a thread. Returns the status if the process has ended.
    fn handle(
        &mut self,
        thread: i32,
        waiting: &mut Vec<i32>,
        sampled: &mut impl FnMut(Vec<u64>),
        looked: &mut impl FnMut(&mut Live, &mut Loaded),
    ) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = match wait(thread) {
                Told::Nothing => return Ok(None),
                Told::Gone if thread == self.process => {
                    return Err(io::Error::other("the process is gone"));
                }
                Told::Gone => 0,
                Told::Status(status) => status,
            };
            if !libc::WIFSTOPPED(status) {
                self.threads.retain(|other| *other != thread);
                waiting.retain(|other| *other != thread);
                let is_end = thread == self.process;
                return Ok(is_end.then(|| ExitStatus::from_raw(status)));
            }
            let signal = libc::WSTOPSIG(status);
            let (request, data) = match status >> 16 {
                libc::PTRACE_EVENT_STOP if signal == libc::SIGTRAP => {
                    if waiting.contains(&thread) {
                        waiting.retain(|other| *other != thread);
                        sampled(self.calls(thread)?);
                    }
                    (libc::PTRACE_CONT, 0)
                }
                // A group stop: the process stays stopped until SIGCONT.
                libc::PTRACE_EVENT_STOP => (libc::PTRACE_LISTEN, 0),
                0 => (libc::PTRACE_CONT, signal as usize),
                libc::PTRACE_EVENT_EXIT => {
                    looked(&mut Live(&self.memory), &mut self.loaded);
                    (libc::PTRACE_CONT, 0)
                }
                libc::PTRACE_EVENT_EXEC => (libc::PTRACE_CONT, 0),
                _ => {
                    let mut new: libc::c_ulong = 0;
                    ptrace(libc::PTRACE_GETEVENTMSG, thread, (&raw mut new).addr())?;
                    self.threads.extend(i32::try_from(new));
                    (libc::PTRACE_CONT, 0)
                }
            };
            // Fails only for a thread killed meanwhile, which the next wait reports.
            let _ = ptrace(request, thread, data);
        }
    }

    /// Returns the calls of a stopped thread.
    fn calls(&mut self, thread: i32) -> io::Result<Vec<u64>> {
        let registers = registers(thread)?;
        if self.loaded.find(registers.ip()).is_none() {
            self.loaded.update(self.process);
        }
        Ok(super::unwind::calls(
            registers,
            &self.loaded,
            &mut Pages(&self.memory),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Tracer, mapping, numbered, registers, waiting};
    use crate::arch::Arch;
    use std::process::Command;

    #[test]
    fn registers_have_the_numbers_of_dwarf() {
        let set: Vec<u64> = (0..34).collect();
        let found = numbered(Arch::Aarch64, &set).expect("arm64's");
        // x0, x30, sp, pc.
        let some = [0, 30, 31, 32].map(|number| found.get(number));
        assert_eq!(some, [0, 30, 31, 32].map(Some));
        let found = numbered(Arch::X86_64, &set[..27]).expect("x86-64's");
        // rax, rsp, r15, rip.
        let some = [0, 7, 15, 16].map(|number| found.get(number));
        assert_eq!(some, [10, 19, 0, 16].map(Some));
        assert!(numbered(Arch::X86_64, &set).is_none());
        assert!(numbered(Arch::Aarch64, &set[..27]).is_none());
    }

    #[test]
    fn a_held_program_is_at_its_first_instruction() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = waiting(&mut command).expect("pipes");
        // It returns after exec.
        let started = std::thread::spawn(move || command.spawn());
        let tracer = Tracer::new(child).expect("traced");
        let found = registers(tracer.process).expect("registers");
        let path = format!("/proc/{}/maps", tracer.process);
        let maps = std::fs::read_to_string(path).expect("its mappings");
        let is_in = |address, mark| {
            maps.lines().any(|line| {
                let (range, rest) = line.split_once(' ').expect("a mapping");
                let (start, end) = range.split_once('-').expect("a range");
                let number = |text| u64::from_str_radix(text, 16).expect("an address");
                (number(start)..number(end)).contains(&address) && rest.contains(mark)
            })
        };
        let is_right = is_in(found.sp(), "[stack]") && is_in(found.ip(), "r-xp");
        assert!(is_right, "{found:x?}\n{maps}");
        let mut started = started.join().expect("no panic").expect("started");
        started.kill().expect("killed");
        // Its tracer is this process, which waits for its end.
        let _ = started.wait();
    }

    #[test]
    fn code_of_files_is_found_among_the_mappings() {
        let code = "55d0-55e0 r-xp 00002000 fe:01 99                 /a/main exe";
        assert_eq!(
            mapping(code),
            Some((0x55d0..0x55e0, 0x2000, "/a/main exe".into()))
        );
        for other in [
            "55d0-55e0 r--p 00000000 fe:01 99   /a/main.exe",
            "55d0-55e0 rw-p 00000000 00:00 0 ",
            "55d0-55e0 r-xp 00000000 00:00 0    [vdso]",
            "55d0-55e0 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(mapping(other), None, "{other}");
        }
    }
}
