//! `/etc/resolv.conf`: the name servers of the network's configuration, for the C library's
//! resolver.

use super::attempts::await_network;
use crate::errors::{Errno, Result};
use crate::file::{Description, Offset};
use crate::namespace;
use crate::wait::blocking::now;
use alloc::string::String;
use core::fmt::Write;
use platform::System;
use resources::current::Current;
use resources::net;
use spin::Mutex;

/// The path of the file.
pub const PATH: &str = "/etc/resolv.conf";

/// The last written contents; a file with other contents isn't changed.
static WRITTEN: Mutex<String> = Mutex::new(String::new());

/// Writes the current name servers, before the file is opened.
pub fn update() {
    // A failure leaves the file unchanged.
    let _ = try_update();
}

fn try_update() -> Result<()> {
    let previous = WRITTEN.lock().clone();
    if contents()? != previous {
        return Ok(());
    }
    await_network();
    let mut text = String::new();
    now(|rt| {
        // Writing to a string can't fail.
        let add = |server| _ = writeln!(text, "nameserver {server}");
        let _ = net::name_servers(rt, add);
        Ok::<_, Errno>(())
    })?;
    if let Some(domains) = Current::variable("SOIL_DNS_SEARCH") {
        let _ = writeln!(text, "search {}", domains.replace(',', " "));
    }
    if let Some(dots) = Current::variable("SOIL_DNS_NDOTS") {
        let _ = writeln!(text, "options ndots:{dots}");
    }
    if text != previous {
        on_file(libc::O_WRONLY | libc::O_TRUNC, |file| {
            file.write(text.as_bytes(), Offset::Position)
        })?;
        *WRITTEN.lock() = text;
    }
    Ok(())
}

/// Not inlined: a thread's kernel stack has 16 KiB, and needs most of it where the network starts.
#[inline(never)]
fn contents() -> Result<String> {
    let mut bytes = [0; 4096];
    let len = on_file(libc::O_RDONLY, |file| {
        file.read(&mut bytes, Offset::Position)
    })?;
    let text = bytes.get(..len).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Runs `f` on the file.
fn on_file(flags: i32, f: impl FnOnce(&Description) -> Result<usize>) -> Result<usize> {
    let opened = namespace::open(String::from(PATH), flags)?;
    match opened.file().is_regular() {
        true => f(&opened),
        false => Err(libc::EINVAL),
    }
}
