//! The limit of the process's memory: of its control groups and its resources.

use alloc::ffi::CString;
use alloc::format;
use core::ffi::CStr;

/// Room for `/proc/self/cgroup`, which has a line for each hierarchy.
const GROUPS: usize = 4096;

/// The least of the limits of this process: `memory.max` of its control group and of those above it
/// (cgroups(7), version 2; `memory.limit_in_bytes` in version 1), `RLIMIT_AS` and `RLIMIT_DATA`.
/// `u64::MAX` if there is none.
pub fn of_process() -> u64 {
    let mut text = [0; GROUPS];
    let groups = contents(c"/proc/self/cgroup", &mut text).unwrap_or_default();
    let of_groups = groups
        .lines()
        .map(|line| of_group(line, &of_file))
        .min()
        .unwrap_or(u64::MAX);
    [libc::RLIMIT_AS, libc::RLIMIT_DATA]
        .map(of_resource)
        .into_iter()
        .fold(of_groups, u64::min)
}

/// The least limit of a line of `/proc/self/cgroup` (`NUMBER:CONTROLLERS:PATH`), by `of_file`,
/// which is the limit in a file. In a container the path may be one of the host's, and the files of
/// its own group are at the root.
fn of_group(line: &str, of_file: &dyn Fn(&str) -> u64) -> u64 {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return u64::MAX;
    };
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return u64::MAX;
    };
    let mut path = path.trim_end_matches('/');
    let mut least = u64::MAX;
    loop {
        least = least.min(of_file(&format!("{root}{path}/{file}")));
        match path.rfind('/') {
            Some(at) => path = path.get(..at).unwrap_or_default(),
            None => return least,
        }
    }
}

/// The limit in a file: a number, or `max` for none.
fn of_file(path: &str) -> u64 {
    let mut text = [0; 32];
    CString::new(path)
        .ok()
        .and_then(|path| contents(&path, &mut text)?.trim().parse().ok())
        .unwrap_or(u64::MAX)
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

    fn of(line: &str, files: &[(&str, u64)]) -> u64 {
        of_group(line, &|path| {
            let found = files.iter().find(|(name, _)| *name == path);
            found.map_or(u64::MAX, |(_, limit)| *limit)
        })
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", 300),
            ("/sys/fs/cgroup/a/memory.max", 200),
            ("/sys/fs/cgroup/memory.max", 400),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", 100),
        ];
        for (line, limit) in [
            ("0::/a/b", 200),
            ("0::/", 400),
            ("0::/elsewhere", 400),
            ("7:cpu,memory:/a", 100),
            ("7:cpu:/a", u64::MAX),
            ("7:memory:/", u64::MAX),
            ("nothing", u64::MAX),
            ("", u64::MAX),
        ] {
            assert_eq!(of(line, &files), limit, "{line}");
        }
    }

    #[test]
    fn without_a_number_there_is_no_limit() {
        assert_eq!(of_file("/nowhere"), u64::MAX);
        assert_eq!(of_file("/proc/self/comm"), u64::MAX);
        assert!(of_process() > 0);
    }
}
