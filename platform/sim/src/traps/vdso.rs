//! The vDSO: its functions answer without a system call, and so without a trap.

use core::ffi::CStr;

/// The functions, and the calls that answer the same.
const FUNCTIONS: [(&CStr, i64); 6] = [
    (c"__vdso_clock_gettime", libc::SYS_clock_gettime),
    (c"__vdso_gettimeofday", libc::SYS_gettimeofday),
    (c"__vdso_time", libc::SYS_time),
    (c"__vdso_getcpu", libc::SYS_getcpu),
    (c"__vdso_clock_getres", libc::SYS_clock_getres),
    (c"__vdso_getrandom", libc::SYS_getrandom),
];

/// Bytes of a page.
const PAGE: usize = 4096;
/// The largest number of symbols that is searched.
const MAX_SYMBOLS: usize = 64;

/// Tags of the dynamic section (elf(5)).
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;

/// An entry of the dynamic section.
#[derive(Clone, Copy)]
#[repr(C)]
struct Dynamic {
    tag: u64,
    value: u64,
}

/// Makes the functions of the vDSO make system calls.
pub fn redirect() {
    // SAFETY: a number that the kernel gave the process.
    let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
    if base == 0 {
        return;
    }
    let programs = programs(base);
    let is_code = |program: &libc::Elf64_Phdr| program.p_type == libc::PT_LOAD;
    let code = programs.clone().find(is_code);
    let dynamic = programs
        .into_iter()
        .find(|program| program.p_type == libc::PT_DYNAMIC);
    let (Some(code), Some(dynamic)) = (code, dynamic) else {
        return;
    };
    // Linux doesn't divide the mapping.
    let len = (code.p_memsz as usize).next_multiple_of(PAGE);
    let pages = core::ptr::with_exposed_provenance_mut(base);
    // SAFETY: the vDSO is a private mapping of this process. No other thread runs.
    unsafe {
        let writable = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        if libc::mprotect(pages, len, writable) == 0 {
            for (name, number) in FUNCTIONS {
                if let Some(address) = find(base, base + dynamic.p_offset as usize, name) {
                    replace(address, number);
                }
            }
            libc::mprotect(pages, len, libc::PROT_READ | libc::PROT_EXEC);
        }
    }
}

/// A value in the vDSO.
fn at<T: Copy>(address: usize) -> T {
    // SAFETY: `find` follows the tables of the vDSO, which the kernel has mapped.
    unsafe { core::ptr::with_exposed_provenance::<T>(address).read_unaligned() }
}

/// The program headers.
fn programs(base: usize) -> impl Iterator<Item = libc::Elf64_Phdr> + Clone {
    let header: libc::Elf64_Ehdr = at(base);
    (0..usize::from(header.e_phnum)).map(move |i| {
        let offset = header.e_phoff as usize + i * size_of::<libc::Elf64_Phdr>();
        at(base + offset)
    })
}

/// The address of a function, by the dynamic section. The vDSO is mapped as it is in its file, and
/// its names follow its symbols.
fn find(base: usize, dynamic: usize, name: &CStr) -> Option<usize> {
    let mut next = dynamic;
    let (mut names, mut symbols) = (0, 0);
    loop {
        let entry: Dynamic = at(next);
        match entry.tag {
            DT_NULL => break,
            DT_STRTAB => names = entry.value as usize,
            DT_SYMTAB => symbols = entry.value as usize,
            _ => (),
        }
        next += size_of::<Dynamic>();
    }
    let count = names.checked_sub(symbols)? / size_of::<libc::Elf64_Sym>();
    (0..count.min(MAX_SYMBOLS)).find_map(|i| {
        let symbol: libc::Elf64_Sym = at(base + symbols + i * size_of::<libc::Elf64_Sym>());
        let text = core::ptr::with_exposed_provenance(base + names + symbol.st_name as usize);
        // SAFETY: names end with a zero byte.
        let found = unsafe { CStr::from_ptr(text) } == name;
        (found && symbol.st_value != 0).then_some(base + symbol.st_value as usize)
    })
}

/// Writes `mov eax, NUMBER; syscall; ret` in place of the function at an address.
///
/// # Safety
/// The function's code is writable.
unsafe fn replace(address: usize, number: i64) {
    let [a, b, c, d] = (number as u32).to_le_bytes();
    let code = [0xb8, a, b, c, d, 0x0f, 0x05, 0xc3];
    let to = core::ptr::with_exposed_provenance_mut::<u8>(address);
    // SAFETY: functions have more bytes than this.
    unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), to, code.len()) };
}

#[cfg(test)]
mod tests {
    use super::{FUNCTIONS, at, find, programs};

    /// Within one process: other tests of this program go on with the functions' system calls.
    #[test]
    fn functions_make_system_calls() {
        super::redirect();
        // SAFETY: a number that the kernel gave the process.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) } as usize;
        let (name, number) = FUNCTIONS[0];
        let mut programs = programs(base);
        let dynamic = programs.find(|program| program.p_type == libc::PT_DYNAMIC);
        let dynamic = base + dynamic.expect("a dynamic section").p_offset as usize;
        let address = find(base, dynamic, name).expect("a vDSO with clock_gettime");
        let code: [u8; 8] = at(address);
        assert_eq!(code[0], 0xb8);
        assert_eq!(code[1], number as u8);
        assert!(std::time::SystemTime::UNIX_EPOCH.elapsed().is_ok());
    }
}
