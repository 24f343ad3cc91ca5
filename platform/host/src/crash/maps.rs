//! The code of the process: the program and its shared libraries, by `/proc/self/maps` (proc(5)).

use super::symbols::File;
use core::ffi::CStr;

/// Limits of modules, and of a path's bytes; longer paths are cut, and such a file has no names.
const MAX_MODULES: usize = 64;
const MAX_PATH: usize = 160;

pub const PROGRAM: &CStr = c"/proc/self/exe";

/// A mapping of code.
#[derive(Clone, Copy)]
struct Module {
    start: u64,
    end: u64,
    offset: u64,
    /// Zero behind its end.
    path: [u8; MAX_PATH],
}

impl Module {
    const NONE: Self = Self {
        start: 0,
        end: 0,
        offset: 0,
        path: [0; MAX_PATH],
    };

    fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.path).unwrap_or_default()
    }

    /// The last part of the path.
    fn name(&self) -> &str {
        let path = self.path().to_str().unwrap_or_default();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }
}

/// The modules of the process.
pub struct Modules {
    list: [Module; MAX_MODULES],
    count: usize,
    program: [u8; MAX_PATH],
}

/// An address in a module's file.
pub struct Place<'a> {
    /// The address by which symbols know it, or else the offset in the file.
    pub address: u64,
    /// The file's name; `None` for the program.
    pub library: Option<&'a str>,
    /// The file, while it can be read.
    pub file: Option<File>,
}

impl Modules {
    /// None yet.
    pub const fn new() -> Self {
        Self {
            list: [Module::NONE; MAX_MODULES],
            count: 0,
            program: [0; MAX_PATH],
        }
    }

    /// One, without a file.
    #[cfg(test)]
    pub fn only(addresses: core::ops::Range<u64>) -> Self {
        let mut modules = Self::new();
        (modules.list[0].start, modules.list[0].end) = (addresses.start, addresses.end);
        modules.count = 1;
        modules
    }

    /// Reads them.
    pub fn read(&mut self) {
        let room = self.program.len() - 1;
        // SAFETY: writes at most `room` bytes, so that a zero remains.
        unsafe { libc::readlink(PROGRAM.as_ptr(), self.program.as_mut_ptr().cast(), room) };
        lines(c"/proc/self/maps", &mut |line| {
            if let Some(module) = parse(line)
                && let Some(place) = self.list.get_mut(self.count)
            {
                *place = module;
                self.count += 1;
            }
        });
    }

    fn find(&self, address: u64) -> Option<&Module> {
        let list = self.list.get(..self.count).unwrap_or_default();
        list.iter()
            .find(|module| (module.start..module.end).contains(&address))
    }

    fn is_program(&self, module: &Module) -> bool {
        module.path == self.program
    }

    /// Whether it is an address of code.
    pub fn contains(&self, address: u64) -> bool {
        self.find(address).is_some()
    }

    /// The place of an address of code.
    pub fn place(&self, address: u64) -> Option<Place<'_>> {
        let module = self.find(address)?;
        let is_program = self.is_program(module);
        // Also of a program whose file was replaced.
        let file = File::open(if is_program { PROGRAM } else { module.path() });
        let offset = address - module.start + module.offset;
        let known = file.as_ref().and_then(|file| file.address(offset));
        Some(Place {
            address: known.unwrap_or(offset),
            library: (!is_program).then(|| module.name()),
            file,
        })
    }

    /// The program's build-id.
    pub fn build_id(&self) -> Option<&'static [u8]> {
        File::open(PROGRAM)?.build_id()
    }
}

/// `start-end permissions offset device inode path`, of a mapping of code.
fn parse(line: &[u8]) -> Option<Module> {
    let line = core::str::from_utf8(line).ok()?;
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let permissions = words.next()?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    let mut module = Module {
        start: number(start)?,
        end: number(end)?,
        offset: number(words.next()?)?,
        path: [0; MAX_PATH],
    };
    let path = words.nth(2)?.trim_start().as_bytes();
    let room = module.path.iter_mut().take(MAX_PATH - 1);
    room.zip(path).for_each(|(place, byte)| *place = *byte);
    permissions.contains('x').then_some(module)
}

/// Calls `each` with the lines of a small file. A line of more than 511 bytes is cut.
pub fn lines(path: &CStr, each: &mut dyn FnMut(&[u8])) {
    // SAFETY: plain calls of the system with these arguments.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if fd < 0 {
        return;
    }
    let (mut line, mut len) = ([0u8; 511], 0);
    let mut bytes = [0u8; 1024];
    loop {
        // SAFETY: writes within `bytes`.
        let n = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
        let Some(read) = usize::try_from(n).ok().and_then(|n| bytes.get(..n)) else {
            break;
        };
        if read.is_empty() {
            break;
        }
        for byte in read {
            if *byte == b'\n' {
                each(line.get(..len).unwrap_or_default());
                len = 0;
            } else if let Some(place) = line.get_mut(len) {
                *place = *byte;
                len += 1;
            }
        }
    }
    // SAFETY: this function's descriptor.
    unsafe { libc::close(fd) };
}

#[cfg(test)]
mod tests {
    use super::{Modules, lines, parse};
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn mappings_of_code_are_modules() {
        let line = b"7f00-7f10 r-xp 00001000 fe:01 12   /lib/a b.so (deleted)";
        let module = parse(line).expect("code");
        assert_eq!(
            (module.start, module.end, module.offset),
            (0x7f00, 0x7f10, 0x1000)
        );
        assert_eq!(module.name(), "a b.so (deleted)");
        assert!(parse(b"7f00-7f10 rw-p 00001000 fe:01 12 /lib/a.so").is_none());
        assert!(parse(b"7f00-7f10 r-xp 0 0:0 0 ").is_some());
        for wrong in [&b""[..], b"7f00 r-xp", b"x-y r-xp 0 0 0 /a", b"\xff"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_function_of_this_test_has_a_place() {
        let mut modules = Modules::new();
        modules.read();
        let address = a_function_of_this_test_has_a_place as *const () as u64;
        let place = modules.place(address).expect("code");
        assert_eq!(place.library, None);
        let file = place.file.expect("readable");
        let name = file.name(place.address).expect("tests have symbols");
        assert!(
            name.contains("a_function_of_this_test_has_a_place"),
            "{name}"
        );
        let of_libc = modules
            .place(libc::getpid as *const () as u64)
            .expect("code");
        assert!(of_libc.library.is_some_and(|name| name.starts_with("libc")));
        assert!(!modules.contains(16) && modules.place(16).is_none());
    }

    #[test]
    fn the_build_id_is_the_linkers() {
        // SHA-1, MD5, a UUID or xxHash (ld(1), --build-id), where the linker adds one.
        let id = Modules::new().build_id();
        assert!(
            id.is_none_or(|id| [8, 16, 20].contains(&id.len())),
            "{id:?}"
        );
    }

    #[test]
    fn lines_are_whole() {
        let mut found: Vec<String> = Vec::new();
        lines(c"/proc/self/status", &mut |line| {
            found.push(String::from_utf8_lossy(line).into_owned());
        });
        let text = std::fs::read_to_string("/proc/self/status").expect("Linux");
        assert_eq!(found.len(), text.lines().count());
        lines(c"/nonexistent", &mut |_| panic!("no file"));
    }
}
