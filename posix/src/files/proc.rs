//! `/proc` and `/dev/fd`: Linux's information about the process and the machine. A text is
//! generated when it is opened. Source: proc(5).

use crate::errors::Result;
use crate::file::{Description, File, Offset};
use crate::process;
use crate::stat::{self, Stat};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use platform::{Clock, Memory};
use resources::current::Current;

/// The object that a path below `/proc` or `/dev/fd` names.
pub enum Entry {
    /// A directory, with its entries.
    Directory(Vec<(u8, String)>),
    /// A file, by the function that generates its text.
    Text(fn() -> String),
    /// A symbolic link.
    Link(String),
    /// A link to the object of a descriptor.
    Descriptor(Arc<Description>),
}

/// An open text.
pub struct Text {
    path: String,
    bytes: Vec<u8>,
    position: AtomicU64,
}

impl Text {
    /// At its start, opened by `path`.
    pub fn new(text: String, path: String) -> Text {
        Text {
            path,
            bytes: text.into_bytes(),
            position: AtomicU64::new(0),
        }
    }
}

impl File for Text {
    fn stat(&self) -> Result<Stat> {
        let number = stat::number(&self.path);
        Ok(Stat::special(libc::S_IFREG, 0o444, number))
    }

    fn name(&self) -> String {
        self.path.clone()
    }

    fn path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn read(&self, into: &mut [u8], offset: Offset, _: i32) -> Result<usize> {
        let at = offset.byte();
        let from = at.unwrap_or_else(|| self.position.load(Ordering::Relaxed));
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(from..).unwrap_or_default();
        let len = bytes.len().min(into.len());
        for (into, byte) in into.iter_mut().zip(bytes) {
            *into = *byte;
        }
        if at.is_none() {
            self.position.fetch_add(len as u64, Ordering::Relaxed);
        }
        Ok(len)
    }

    /// [`libc::EINVAL`] from the end as well.
    fn seek(&self, offset: i64, whence: i32) -> Result<u64> {
        let base = match whence {
            libc::SEEK_SET => 0,
            libc::SEEK_CUR => self.position.load(Ordering::Relaxed),
            _ => return Err(libc::EINVAL),
        };
        let position = base.checked_add_signed(offset).ok_or(libc::EINVAL)?;
        self.position.store(position, Ordering::Relaxed);
        Ok(position)
    }

    fn is_regular(&self) -> bool {
        true
    }

    fn can_poll(&self) -> bool {
        false
    }
}

/// The entry of an absolute path; `None` for a path elsewhere.
///
/// # Errors
/// [`libc::ENOENT`] for an unknown name.
pub fn find(path: &str) -> Option<Result<Entry>> {
    let mut names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    match (names.next()?, names.next()) {
        ("dev", Some("fd")) => Some(of_descriptors(names.next()).filter_end(names)),
        ("proc", name) => Some(in_proc(name, &mut names).filter_end(names)),
        _ => None,
    }
}

/// Rejects a path that continues after its end.
trait FilterEnd: Sized {
    fn filter_end<'a>(self, names: impl Iterator<Item = &'a str>) -> Self;
}

impl FilterEnd for Result<Entry> {
    fn filter_end<'a>(self, mut names: impl Iterator<Item = &'a str>) -> Self {
        self.and_then(|entry| match (names.next(), entry) {
            (None, entry) => Ok(entry),
            (Some(_), Entry::Text(_)) => Err(libc::ENOTDIR),
            _ => Err(libc::ENOENT),
        })
    }
}

/// Texts by their names.
type Texts = [(&'static str, fn() -> String)];

const FILES: &Texts = &[
    ("cpuinfo", cpuinfo),
    ("meminfo", meminfo),
    ("uptime", uptime),
];
const OF_PROCESS: &Texts = &[("maps", maps), ("status", status)];

fn text(files: &Texts, name: &str) -> Result<Entry> {
    let found = files.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, make)| Entry::Text(*make))
        .ok_or(libc::ENOENT)
}

fn directory(files: &Texts, others: &[(u8, &str)]) -> Entry {
    let files = files.iter().map(|(name, _)| (libc::DT_REG, *name));
    let all = files.chain(others.iter().copied());
    Entry::Directory(all.map(|(kind, name)| (kind, name.to_string())).collect())
}

fn in_proc<'a>(name: Option<&str>, rest: &mut impl Iterator<Item = &'a str>) -> Result<Entry> {
    match name {
        None => Ok(directory(
            FILES,
            &[(libc::DT_DIR, "1"), (libc::DT_LNK, "self")],
        )),
        Some("self" | "thread-self" | "1") => match rest.next() {
            None => Ok(directory(
                OF_PROCESS,
                &[(libc::DT_LNK, "exe"), (libc::DT_DIR, "fd")],
            )),
            Some("exe") => Ok(Entry::Link(executable())),
            Some("fd") => of_descriptors(rest.next()),
            Some(name) => text(OF_PROCESS, name),
        },
        Some(name) => text(FILES, name),
    }
}

fn of_descriptors(name: Option<&str>) -> Result<Entry> {
    match name {
        None => {
            let numbers = process::descriptors().into_iter();
            let names = numbers.map(|number| (libc::DT_LNK, number.to_string()));
            Ok(Entry::Directory(names.collect()))
        }
        Some(name) => {
            let number = name.parse().map_err(|_| libc::ENOENT)?;
            let description = process::get(number).map_err(|_| libc::ENOENT)?;
            Ok(Entry::Descriptor(description))
        }
    }
}

#[cfg(feature = "image")]
fn cpuinfo() -> String {
    let mut text = String::from("processor\t: 0\n");
    kernel::arch::cpu::information(&mut |line| text += &format!("{line}\n"));
    text + "\n"
}

#[cfg(not(feature = "image"))]
fn cpuinfo() -> String {
    "processor\t: 0\n\n".into()
}

fn meminfo() -> String {
    let [total, _, free, _] = Current::memory().map(|bytes| bytes / 1024);
    let lines = [
        ("MemTotal:", total),
        ("MemFree:", free),
        ("MemAvailable:", free),
        ("Buffers:", 0),
        ("Cached:", 0),
        ("SwapCached:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
    ];
    let line = |(name, kib): (&str, u64)| format!("{name:<16}{kib:>8} kB\n");
    lines.into_iter().map(line).collect()
}

/// Seconds since the start; the idle time isn't known.
fn uptime() -> String {
    let hundredths = Current::monotonic_ns() / 10_000_000;
    format!("{}.{:02} 0.00\n", hundredths / 100, hundredths % 100)
}

fn status() -> String {
    let [_, used, _, most] = Current::memory().map(|bytes| bytes / 1024);
    let name = executable();
    let name = name.rsplit('/').next().unwrap_or_default();
    let size = process::descriptors().last().map_or(0, |last| last + 1);
    format!(
        "Name:\t{name:.15}\nUmask:\t0022\nState:\tR (running)\nTgid:\t1\nNgid:\t0\nPid:\t1\n\
         PPid:\t0\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t{size}\nGroups:\t\n\
         VmPeak:\t{most:>8} kB\nVmSize:\t{used:>8} kB\nVmHWM:\t{most:>8} kB\nVmRSS:\t{used:>8} kB\n\
         VmSwap:\t{:>8} kB\n",
        0
    )
}

#[cfg(feature = "image")]
fn executable() -> String {
    let name = kernel::environment::variable(b"SOIL_ARGV0").unwrap_or(b"main.exe");
    let name = String::from_utf8_lossy(name);
    match name.starts_with('/') {
        true => name.to_string(),
        false => format!("/{name}"),
    }
}

#[cfg(not(feature = "image"))]
fn executable() -> String {
    "/main.exe".into()
}

#[cfg(feature = "image")]
fn maps() -> String {
    let mut text = String::new();
    let executable = executable();
    let mut line = |range: &core::ops::Range<u64>, access: &str, name: &str| {
        let (start, end) = (range.start, range.end);
        text += format!("{start:08x}-{end:08x} {access} 00000000 00:00 0").as_str();
        if !name.is_empty() {
            text += format!("{:27}{name}", "").as_str();
        }
        text += "\n";
    };
    let (all, code) = (kernel::memory::image::all(), kernel::memory::image::text());
    line(&code, "r-xp", &executable);
    line(&(code.end..all.end), "rw-p", &executable);
    let stack = kernel::memory::stack();
    // Collected first: a growing text may change the mappings.
    for (range, protection) in kernel::memory::mappings() {
        let flag = |set, flag| if set { flag } else { '-' };
        let access: String = [
            flag(protection.read, 'r'),
            flag(protection.write, 'w'),
            flag(protection.execute, 'x'),
            'p',
        ]
        .into_iter()
        .collect();
        let is_stack = range.start < stack.end && stack.start < range.end;
        line(&range, &access, if is_stack { "[stack]" } else { "" });
    }
    text
}

#[cfg(not(feature = "image"))]
fn maps() -> String {
    String::new()
}

#[cfg(test)]
mod tests {
    use super::{Entry, Text, find};
    use crate::file::{File, Offset};

    fn contents(path: &str) -> String {
        match find(path) {
            Some(Ok(Entry::Text(make))) => make(),
            _ => panic!("{path}"),
        }
    }

    #[test]
    fn texts_have_linuxs_lines() {
        for (path, line) in [
            ("/proc/cpuinfo", "processor\t: 0"),
            ("/proc/meminfo", "SwapTotal:             0 kB"),
            ("/proc/self/status", "Pid:\t1"),
            ("//proc/./1//status", "Uid:\t0\t0\t0\t0"),
        ] {
            assert!(contents(path).lines().any(|it| it == line), "{path}");
        }
        assert!(contents("/proc/uptime").ends_with(" 0.00\n"));
        for (path, errno) in [
            ("/proc/none", libc::ENOENT),
            ("/proc/self/none", libc::ENOENT),
            ("/proc/uptime/x", libc::ENOTDIR),
            ("/dev/fd/x", libc::ENOENT),
            ("/proc/self/fd/99999", libc::ENOENT),
        ] {
            assert_eq!(find(path).and_then(Result::err), Some(errno), "{path}");
        }
        assert!(find("/dev/null").is_none() && find("/process").is_none() && find("/").is_none());
    }

    #[test]
    fn a_text_is_read_at_its_position() {
        let text = Text::new("0123456789".into(), String::new());
        let mut bytes = [0; 4];
        let read = |bytes: &mut [u8; 4], offset| text.read(bytes, offset, 0);
        assert_eq!(
            (read(&mut bytes, Offset::Position), &bytes),
            (Ok(4), b"0123")
        );
        assert_eq!((read(&mut bytes, Offset::At(8)), &bytes), (Ok(2), b"8923"));
        assert_eq!(
            (read(&mut bytes, Offset::Position), &bytes),
            (Ok(4), b"4567")
        );
        assert_eq!(text.seek(-7, libc::SEEK_CUR), Ok(1));
        assert_eq!(
            (read(&mut bytes, Offset::Position), &bytes),
            (Ok(4), b"1234")
        );
        assert_eq!(text.seek(-1, libc::SEEK_SET), Err(libc::EINVAL));
        assert_eq!(text.seek(99, libc::SEEK_SET), Ok(99));
        assert_eq!(read(&mut bytes, Offset::Position), Ok(0));
    }
}
