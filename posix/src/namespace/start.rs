//! The tree of a program that mounts nothing itself: `/` in memory, with the files of the machine's
//! initrd and the usual directories and files, and each disk at `/NAME`.

use super::{DEVICES, names, zone};
use crate::blocking::once::Once;
use crate::blocking::operation::{at_once, block};
use crate::errors::Result;
use crate::file::{File, Offset};
use crate::files::regular::{Regular, decode};
use alloc::format;
use alloc::string::ToString;
use platform::{Memory, System};
use resources::current::Current;
use resources::files;
use resources::files::drivers::{self, EXT4, INITRD, MEMORY, TAR};

/// Done by the first call on a path. Other threads run while a directory is created, and must not
/// see half of the tree.
static TREE: Once = Once::new();

/// Contents of `/etc`.
const FILES: [(&str, &str); 6] = [
    ("passwd", "root:x:0:0:root:/:/bin/sh\n"),
    ("group", "root:x:0:\n"),
    ("hosts", "127.0.0.1 localhost soil\n::1 localhost\n"),
    ("resolv.conf", ""),
    (
        "protocols",
        "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6 41 IPv6\nipv6-icmp 58 IPv6-ICMP\n",
    ),
    (
        "services",
        "echo 7/tcp\necho 7/udp\ndiscard 9/tcp\nftp 21/tcp\nssh 22/tcp\ntelnet 23/tcp\n\
         smtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nhttp 80/tcp www\npop3 110/tcp\n\
         ntp 123/udp\nimap2 143/tcp imap\nhttps 443/tcp\nhttps 443/udp\n",
    ),
];

/// Creates the tree, the first time.
///
/// If `SOIL_MOUNT` has a file system at `/`, that one isn't changed.
pub fn begin() {
    TREE.run(make_tree);
}

fn make_tree() {
    // The volume in memory uses at most a quarter of the machine's memory.
    let limit = Current::total_memory() / 4;
    let driver = Current::initrd().map_or(MEMORY, |_| INITRD);
    let root = format!("/={}:{}", driver.name, limit.max(1 << 20));
    let is_new = at_once(|rt| {
        for driver in [EXT4, TAR, MEMORY, INITRD] {
            drivers::register(rt, driver)?;
        }
        files::complete_tree(rt, &root).map(usize::from)
    });
    if is_new == Ok(1) {
        fill();
    }
}

/// Creates the directories and files that programs expect, beside an initrd's. A failed one
/// is missing for programs that use it.
fn fill() {
    for directory in ["/tmp", "/etc", "/dev", "/proc"] {
        // The initrd is damaged, which is logged: once is enough.
        if names::make_directory(directory) == Err(libc::EIO) {
            return;
        }
    }
    for (name, text) in FILES {
        let _ = make(&format!("/etc/{name}"), text.as_bytes());
    }
    let rule = Current::variable("TZ");
    let _ = make("/etc/localtime", &zone::file(&rule.unwrap_or_default()));
    // Only listings show these files: names are looked up among the devices first.
    for (name, _) in DEVICES {
        let _ = make(&format!("/dev/{name}"), &[]);
    }
}

/// Creates a file that doesn't exist, without the table of descriptors.
fn make(path: &str, bytes: &[u8]) -> Result<usize> {
    use resources::types::constants::{OPEN_CREATE, OPEN_EXCLUSIVE, OPEN_WRITE};
    let flags = OPEN_WRITE | OPEN_CREATE | OPEN_EXCLUSIVE;
    let opened = block(|rt, token| files::open(rt, path, flags, token))?;
    let file = Regular::new(decode(opened)?, path.to_string());
    file.write(bytes, Offset::Position, 0)
}
