//! The limit of the process's memory, of its control groups and its resources, and what is left.

use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;

/// Room for `/proc/self/cgroup`, which has a line for each hierarchy, and for the other files.
const GROUPS: usize = 4096;

/// Names of a version of control groups.
struct Names {
    root: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// Lines of `memory.stat`: pages of files that Linux takes back when others need memory.
    inactive: &'static str,
    active: &'static str,
}

const VERSION_1: Names = Names {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    inactive: "total_inactive_file",
    active: "total_active_file",
};

const VERSION_2: Names = Names {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    usage: "memory.current",
    inactive: "inactive_file",
    active: "active_file",
};

/// The least of the limits of this process: `memory.max` of its control group and of those above it
/// (cgroups(7), version 2; `memory.limit_in_bytes` in version 1), `RLIMIT_AS` and `RLIMIT_DATA`.
/// `u64::MAX` if there is none.
pub fn of_process() -> u64 {
    let of_groups = least_of_groups(&|names, folder| limit_of(&contents_of, names, folder));
    [libc::RLIMIT_AS, libc::RLIMIT_DATA]
        .map(of_resource)
        .into_iter()
        .fold(of_groups, u64::min)
}

/// What Linux can still give this process, in bytes: of its control groups and those above, and of
/// the machine (`MemAvailable`, proc(5)). Pages of files count as far as Linux would take them
/// back.
pub fn free() -> u64 {
    let mut text = [0; GROUPS];
    let machine = contents(c"/proc/meminfo", &mut text)
        .and_then(|text| number(text, "MemAvailable:"))
        .map_or(u64::MAX, |kilobytes| kilobytes.saturating_mul(1024));
    machine.min(least_of_groups(&|names, folder| {
        free_of(&contents_of, names, folder)
    }))
}

/// The least of `of_group` for the control groups of this process.
fn least_of_groups(of_group: &dyn Fn(&Names, &str) -> u64) -> u64 {
    let mut text = [0; GROUPS];
    let groups = contents(c"/proc/self/cgroup", &mut text).unwrap_or_default();
    groups
        .lines()
        .map(|line| least_of_line(line, of_group))
        .min()
        .unwrap_or(u64::MAX)
}

/// The least of `of_group` for the groups in a line of `/proc/self/cgroup`
/// (`NUMBER:CONTROLLERS:PATH`), which gets their folders. In a container the path may be one of the
/// host's, and the files of its own group are at the root.
fn least_of_line(line: &str, of_group: &dyn Fn(&Names, &str) -> u64) -> u64 {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return u64::MAX;
    };
    let names = if controllers.is_empty() {
        VERSION_2
    } else if controllers.split(',').any(|name| name == "memory") {
        VERSION_1
    } else {
        return u64::MAX;
    };
    let mut path = path.trim_end_matches('/');
    let mut least = u64::MAX;
    loop {
        least = least.min(of_group(&names, &format!("{}{path}", names.root)));
        match path.rfind('/') {
            Some(at) => path = path.get(..at).unwrap_or_default(),
            None => return least,
        }
    }
}

/// The limit of the group in `folder`: a number, or `max` for none. `read` is the contents of a
/// file.
fn limit_of(read: &dyn Fn(&str) -> Option<String>, names: &Names, folder: &str) -> u64 {
    read(&format!("{folder}/{}", names.limit))
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX)
}

/// What the group in `folder` may still use.
fn free_of(read: &dyn Fn(&str) -> Option<String>, names: &Names, folder: &str) -> u64 {
    let limit = limit_of(read, names, folder);
    // Version 1 has almost 2^63 for none.
    if limit >= i64::MAX as u64 - 0xffff {
        return u64::MAX;
    }
    let usage = read(&format!("{folder}/{}", names.usage))
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let free = limit.saturating_sub(usage);
    if free >= limit / 2 {
        return free;
    }
    let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
    let pages = |name| number(&stat, name).unwrap_or(0);
    // The program's own code is among the active ones.
    limit.min(free + pages(names.inactive) + pages(names.active) / 2)
}

/// The number behind `name` in a text of lines.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn contents_of(path: &str) -> Option<String> {
    let mut text = [0; GROUPS];
    Some(contents(&CString::new(path).ok()?, &mut text)?.into())
}

fn of_resource(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: writes `limit` only.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    limit.rlim_cur
}

/// The beginning of the file at `path`, as far as there is room for it in `text`.
pub fn contents<'a>(path: &CStr, text: &'a mut [u8]) -> Option<&'a str> {
    // SAFETY: the name ends with a zero byte; reading stays within `text`; the descriptor is closed
    // again.
    let n = unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return None;
        }
        let n = libc::read(fd, text.as_mut_ptr().cast(), text.len());
        libc::close(fd);
        n
    };
    core::str::from_utf8(text.get(..usize::try_from(n).ok()?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files = &'static [(&'static str, &'static str)];

    fn read(files: Files) -> impl Fn(&str) -> Option<String> {
        |path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map(|(_, text)| String::from(*text))
        }
    }

    fn of(line: &str, files: Files) -> u64 {
        least_of_line(line, &|names, folder| limit_of(&read(files), names, folder))
    }

    fn left(line: &str, files: Files) -> u64 {
        least_of_line(line, &|names, folder| free_of(&read(files), names, folder))
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it() {
        const FILES: Files = &[
            ("/sys/fs/cgroup/a/b/memory.max", "300\n"),
            ("/sys/fs/cgroup/a/memory.max", "200\n"),
            ("/sys/fs/cgroup/memory.max", "400\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "100\n"),
            ("/sys/fs/cgroup/none/memory.max", "max\n"),
        ];
        for (line, limit) in [
            ("0::/a/b", 200),
            ("0::/", 400),
            ("0::/elsewhere", 400),
            ("0::/none", 400),
            ("7:cpu,memory:/a", 100),
            ("7:cpu:/a", u64::MAX),
            ("7:memory:/", u64::MAX),
            ("nothing", u64::MAX),
            ("", u64::MAX),
        ] {
            assert_eq!(of(line, FILES), limit, "{line}");
        }
    }

    #[test]
    fn what_is_free_is_a_part_of_the_machine() {
        let mut text = [0; GROUPS];
        let machine = contents(c"/proc/meminfo", &mut text).expect("Linux");
        let total = number(machine, "MemTotal:").expect("a number") * 1024;
        assert!(((1 << 20)..total).contains(&free()), "{total}");
    }

    #[test]
    fn what_is_left_of_a_group() {
        const FILES: Files = &[
            ("/sys/fs/cgroup/a/memory.max", "1000\n"),
            ("/sys/fs/cgroup/a/memory.current", "900\n"),
            (
                "/sys/fs/cgroup/a/memory.stat",
                "anon 500\nfile 310\ninactive_file 300\nactive_file 10\n",
            ),
            ("/sys/fs/cgroup/a/b/memory.max", "800\n"),
            ("/sys/fs/cgroup/a/b/memory.current", "400\n"),
            ("/sys/fs/cgroup/a/c/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/c/memory.current", "900\n"),
            ("/sys/fs/cgroup/a/over/memory.max", "100\n"),
            ("/sys/fs/cgroup/a/over/memory.current", "900\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000\n"),
            ("/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "900\n"),
            (
                "/sys/fs/cgroup/memory/a/memory.stat",
                "inactive_file 1\ntotal_inactive_file 200\ntotal_active_file 20\n",
            ),
            (
                "/sys/fs/cgroup/memory/none/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
        ];
        for (line, free) in [
            ("0::/a", 405),
            ("0::/a/b", 400),
            ("0::/a/c", 405),
            ("0::/a/over", 0),
            ("4:memory:/a", 310),
            ("4:memory:/none", u64::MAX),
            ("0::/", u64::MAX),
        ] {
            assert_eq!(left(line, FILES), free, "{line}");
        }
    }

    #[test]
    fn without_a_number_there_is_no_limit() {
        let limit = |folder| limit_of(&contents_of, &VERSION_2, folder);
        assert_eq!(limit("/nowhere"), u64::MAX);
        assert!(of_process() > 0);
        assert!(free() > 0);
        assert!(free() < u64::MAX, "/proc/meminfo tells it");
    }
}
