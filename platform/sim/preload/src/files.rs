//! Files by which the C library finds names: generated, so that the host's don't matter.

use crate::kernel;
use crate::memory::store;
use std::fmt::Write;

/// The variable with the nodes' addresses: `NAME=ADDRESS`, separated by `;`.
const HOSTS: &str = "SOIL_SIMULATION_HOSTS";

/// Files that a node doesn't have.
const ABSENT: &[&str] = &["/etc/gai.conf", "/etc/aliases", "/etc/ethers"];

const NAME_SERVICES: &str = "passwd: files\ngroup: files\nhosts: files\nnetworks: files\n\
                             protocols: files\nservices: files\n";
const PROTOCOLS: &str = "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\n";
const SERVICES: &str = "echo 7/tcp\necho 7/udp\nssh 22/tcp\nsmtp 25/tcp\ndomain 53/tcp\n\
                        domain 53/udp\nhttp 80/tcp\nntp 123/udp\nhttps 443/tcp\n";
/// The user of getuid(2).
const USERS: &str = "root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\nnode:x:1000:\n";

/// hosts(5) with the nodes of [`HOSTS`], and this one under the name that uname(2) returns.
fn hosts(nodes: &str, own: &str) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    let own = own.split(['/', ',', ';']).next().unwrap_or_default();
    if !own.is_empty() {
        // Text in memory takes every line.
        let _ = writeln!(text, "{own} node");
    }
    for (name, address) in nodes.split(';').filter_map(|node| node.split_once('=')) {
        let _ = writeln!(text, "{address} {name}");
    }
    text
}

/// The contents of a generated file.
fn contents(path: &str) -> Option<String> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let text = match path {
        "/etc/hosts" => return Some(hosts(&variable(HOSTS), &variable("SOIL_IP"))),
        "/etc/nsswitch.conf" => NAME_SERVICES,
        "/etc/host.conf" => "multi on\n",
        "/etc/resolv.conf" | "/etc/networks" => "",
        "/etc/protocols" => PROTOCOLS,
        "/etc/services" => SERVICES,
        "/etc/passwd" => USERS,
        "/etc/group" => GROUPS,
        _ => return None,
    };
    Some(text.into())
}

/// Opens a file with these flags; `None` for a path that isn't generated.
pub fn open(path: &str, flags: i32) -> Option<Result<isize, i32>> {
    if ABSENT.contains(&path) {
        return Some(Err(libc::ENOENT));
    }
    let contents = contents(path)?;
    if flags & libc::O_ACCMODE != libc::O_RDONLY {
        return Some(Err(libc::EACCES));
    }
    let close_on_exec = flags & libc::O_CLOEXEC != 0;
    let file = kernel::file(c"soil", contents.as_bytes(), close_on_exec);
    Some(file.map(|fd| fd as isize))
}

/// stat(2) of a path; `None` if it isn't generated. Its times are 0, as in each run.
pub fn status(path: &str, to: usize) -> Option<Result<isize, i32>> {
    if ABSENT.contains(&path) {
        return Some(Err(libc::ENOENT));
    }
    // The C library compares the root folder, in case it has changed.
    let (mode, len) = match path {
        "/" => (libc::S_IFDIR | 0o555, 0),
        path => (libc::S_IFREG | 0o444, contents(path)?.len()),
    };
    put(to, mode, len as i64);
    Some(Ok(0))
}

fn put(to: usize, mode: u32, len: i64) {
    // SAFETY: numbers, of which 0 is valid.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    status.st_mode = mode;
    status.st_nlink = 1;
    status.st_ino = 1;
    status.st_size = len;
    status.st_blksize = 4096;
    store(to, status);
}

/// The same for the descriptor of a generated file, of which `given` is what Linux says.
pub fn correct(given: &libc::stat, to: usize) {
    // Files in memory have no name; other files of a node do.
    if given.st_nlink == 0 && given.st_mode & libc::S_IFMT == libc::S_IFREG {
        put(to, libc::S_IFREG | 0o444, given.st_size);
    }
}

#[cfg(test)]
mod tests {
    use super::hosts;

    #[test]
    fn hosts_have_the_nodes_names() {
        assert_eq!(
            hosts("db0=10.0.0.1;db1=10.0.0.2", "10.0.0.2/24"),
            "127.0.0.1 localhost\n10.0.0.2 node\n10.0.0.1 db0\n10.0.0.2 db1\n"
        );
        assert_eq!(hosts("", ""), "127.0.0.1 localhost\n");
    }
}
