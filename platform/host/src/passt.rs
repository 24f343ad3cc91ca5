//! `passt` as the other end of a stream socket (passt(1), "Unix domain socket"): a 32-bit
//! big-endian length before each frame. It needs no privileges: it turns the connections into
//! sockets of this host.

use crate::link_wake::LinkWake;
use crate::owned_fd::OwnedFd;
use crate::{check, failure};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use net::{Link, LinkCapabilities, RxMeta, TxMeta};
use platform::error::{Error, Failure, Stop};

/// Bytes of the length field.
const LENGTH: usize = 4;
/// The largest frame that passt carries (its own MTU of 65 520 and the Ethernet header).
const MAX_FRAME: usize = 65_520 + 14;
/// Maximum number of bytes that one system call reads or writes: two of the largest frames, or many
/// small ones.
const BUFFER: usize = 2 * (LENGTH + MAX_FRAME);
/// The number of passt's socket descriptor.
const CHILD_FD: i32 = 3;

/// A link whose other end is `passt`.
pub struct Passt {
    fd: OwnedFd,
    wake: LinkWake,
    mac: [u8; 6],
    /// Bytes `start..end` have been received and not delivered.
    received: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes `sent_start..` have not been written yet.
    sent: Vec<u8>,
    sent_start: usize,
}

// SAFETY: `net` requires links that can move between threads. This one belongs to the stack of the
// runtime, which one thread at a time uses (`runtime.rs`), as is everything that it shares with the
// runtime's waits; none of it depends on the thread.
unsafe impl Send for Passt {}

fn new(fd: OwnedFd, mac: [u8; 6]) -> Result<(Passt, LinkWake), Failure> {
    let none = |_| Error::OutOfMemory;
    let (mut received, mut sent) = (Vec::new(), Vec::new());
    received.try_reserve_exact(BUFFER).map_err(none)?;
    received.resize(BUFFER, 0);
    sent.try_reserve_exact(BUFFER).map_err(none)?;
    let wake = LinkWake::new(&fd);
    Ok((
        Passt {
            fd,
            wake: wake.clone(),
            mac,
            received,
            start: 0,
            end: 0,
            sent,
            sent_start: 0,
        },
        wake,
    ))
}

/// Connects to a `passt` that listens at the Unix domain socket `path`.
pub fn connect(path: &str, mac: [u8; 6]) -> Result<(Passt, LinkWake), Failure> {
    // SAFETY: all zeros is a valid address.
    let mut address: libc::sockaddr_un = unsafe { core::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.is_empty() || path.len() >= address.sun_path.len() {
        let detail = format!("SOIL_NET: \"{path}\" is not the path of a socket");
        return Err(Failure::new(Error::BadConfiguration, detail));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as libc::c_char;
    }
    let len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: `address` is a complete address of the length given.
    let fd = unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        let fd = OwnedFd(libc::socket(libc::AF_UNIX, kind, 0));
        if fd.0 < 0 || libc::connect(fd.0, (&raw const address).cast(), len) < 0 {
            return Err(failure(&format!("passt at {path}")));
        }
        fd
    };
    new(fd, mac)
}

/// The options of passt for `SOIL_FORWARD`.
fn forwards(text: &str) -> Result<Vec<String>, Failure> {
    let mut options = Vec::new();
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let (ports, option) = match word.strip_suffix("/udp") {
            Some(ports) => (ports, "--udp-ports"),
            None => (word.strip_suffix("/tcp").unwrap_or(word), "--tcp-ports"),
        };
        let valid = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        if !ports
            .split_once(':')
            .is_some_and(|(host, own)| valid(host) && valid(own))
        {
            let detail =
                format!("SOIL_FORWARD: \"{word}\" is not of the form 8080:80 or 53:53/udp");
            return Err(Failure::new(Error::BadConfiguration, detail));
        }
        options.push(option.to_string());
        options.push(ports.to_string());
    }
    Ok(options)
}

/// Starts our own `passt`, which ends with our end of the socket.
pub fn start(forward: &str, mac: [u8; 6]) -> Result<(Passt, LinkWake), Failure> {
    let mut words = Vec::new();
    for word in ["passt", "--foreground", "--quiet", "--fd", "3"] {
        words.push(word.to_string());
    }
    // SAFETY: has no arguments, and can't fail.
    if unsafe { libc::geteuid() } == 0 {
        // passt does that by itself, but logs a message about it.
        words.extend(["--runas", "nobody"].map(ToString::to_string));
    }
    words.extend(forwards(forward)?);
    let words: Vec<CString> = words.into_iter().flat_map(CString::new).collect();
    let mut argv: Vec<*mut libc::c_char> = words.iter().map(|w| w.as_ptr().cast_mut()).collect();
    argv.push(core::ptr::null_mut());
    let mut ends = [-1; 2];
    // SAFETY: `ends` has room for both.
    let made = unsafe {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr())
    };
    if made < 0 {
        return Err(failure("socket for passt"));
    }
    let [ours, its] = ends.map(OwnedFd);
    if let Err(number) = spawn(&argv, its.0) {
        let detail = if number == libc::ENOENT {
            "passt is not installed: install the package passt, or give SOIL_NET=tap=DEVICE or none"
                .to_string()
        } else {
            format!("can't start passt: error {number}")
        };
        return Err(Failure::new(Error::NoNetwork, detail));
    }
    new(ours, mac)
}

/// Starts a program with its end of the socket; the error number if that fails.
fn spawn(argv: &[*mut libc::c_char], end: i32) -> Result<(), i32> {
    unsafe extern "C" {
        static environ: *const *mut libc::c_char;
    }
    let Some(&program) = argv.first() else {
        return Err(libc::EINVAL);
    };
    // SAFETY: `argv` is a null-terminated list of strings; the actions are initialised before use
    // and destroyed after. A descriptor that already has the wanted number is moved away first,
    // since dup2 onto itself would keep it closed on exec.
    unsafe {
        let end = libc::fcntl(end, libc::F_DUPFD_CLOEXEC, CHILD_FD + 1);
        if end < 0 {
            return Err(super::errno());
        }
        let end = OwnedFd(end);
        let mut actions: libc::posix_spawn_file_actions_t = core::mem::zeroed();
        libc::posix_spawn_file_actions_init(&mut actions);
        libc::posix_spawn_file_actions_adddup2(&mut actions, end.0, CHILD_FD);
        let mut pid = 0;
        let result = libc::posix_spawnp(
            &mut pid,
            program,
            &actions,
            core::ptr::null(),
            argv.as_ptr(),
            environ,
        );
        libc::posix_spawn_file_actions_destroy(&mut actions);
        if result == 0 { Ok(()) } else { Err(result) }
    }
}

impl Passt {
    /// Appends available bytes to the buffer; returns whether there were any.
    fn fill(&mut self) -> bool {
        if self.start > 0 {
            self.received.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let Some(room) = self
            .received
            .get_mut(self.end..)
            .filter(|room| !room.is_empty())
        else {
            return false;
        };
        // SAFETY: writes within `room`.
        let n = unsafe {
            libc::recv(
                self.fd.0,
                room.as_mut_ptr().cast(),
                room.len(),
                libc::MSG_DONTWAIT,
            )
        };
        match check(n) {
            Ok(n) if n > 0 => {
                self.end += n;
                true
            }
            Err(Stop::WouldBlock) => false,
            _ => {
                self.wake.gone("passt");
                false
            }
        }
    }

    /// The range of the next complete frame.
    fn next(&self) -> Option<core::ops::Range<usize>> {
        let bytes = self.received.get(self.start..self.end)?;
        let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
        let length = u32::from_be_bytes(*length) as usize;
        let first = self.start + LENGTH;
        (rest.len() >= length).then_some(first..first + length)
    }

    /// Whether the received bytes can't be the beginning of a frame: the stream is out of step, and
    /// can't be parsed any further.
    fn is_corrupt(&self) -> bool {
        let bytes = self.received.get(self.start..self.end).unwrap_or(&[]);
        let length = bytes
            .first_chunk::<LENGTH>()
            .map(|length| u32::from_be_bytes(*length));
        length.is_some_and(|length| length as usize > BUFFER - LENGTH)
    }

    /// Writes pending bytes, as far as the socket accepts them.
    fn send(&mut self) {
        let Some(rest) = self
            .sent
            .get(self.sent_start..)
            .filter(|rest| !rest.is_empty())
        else {
            return;
        };
        // SAFETY: reads within `rest`.
        let n = unsafe {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            libc::send(self.fd.0, rest.as_ptr().cast(), rest.len(), flags)
        };
        match check(n) {
            Ok(n) => self.sent_start += n,
            Err(Stop::WouldBlock) => (),
            // passt has ended: like an unplugged cable.
            Err(_) => self.sent_start = self.sent.len(),
        }
        if self.sent_start == self.sent.len() {
            self.sent.clear();
            self.sent_start = 0;
        }
    }
}

impl Link for Passt {
    fn capabilities(&self) -> LinkCapabilities {
        LinkCapabilities {
            mac: self.mac,
            mtu: MAX_FRAME - 14,
            tx_checksum: false,
            tso4: false,
            tso6: false,
        }
    }

    fn receive(&mut self, f: &mut dyn FnMut(&mut [u8], RxMeta)) -> bool {
        if self.next().is_none() {
            if self.is_corrupt() {
                self.wake.gone("passt, after a frame of impossible length,");
                return false;
            }
            if !self.fill() {
                return false;
            }
        }
        let Some(place) = self.next() else {
            return false;
        };
        self.start = place.end;
        if let Some(frame) = self.received.get_mut(place) {
            f(frame, RxMeta::default());
        }
        true
    }

    fn can_transmit(&mut self) -> bool {
        if self.sent.capacity() - self.sent.len() < LENGTH + MAX_FRAME {
            self.send();
        }
        self.sent.capacity() - self.sent.len() >= LENGTH + MAX_FRAME
    }

    fn transmit(&mut self, len: usize, fill: &mut dyn FnMut(&mut [u8]) -> TxMeta) -> bool {
        if len > MAX_FRAME || !self.can_transmit() {
            return false;
        }
        let start = self.sent.len();
        self.sent.extend_from_slice(&(len as u32).to_be_bytes());
        // Within the capacity: `can_transmit` said so.
        self.sent.resize(start + LENGTH + len, 0);
        if let Some(frame) = self.sent.get_mut(start + LENGTH..) {
            fill(frame);
        }
        true
    }

    fn flush(&mut self) {
        self.send();
    }
}

#[cfg(test)]
mod tests {
    use super::{OwnedFd, forwards, new};
    use net::{Link, TxMeta};
    use std::vec::Vec;

    /// Frames arrive whole, however the socket splits them, and are sent with their length before
    /// them.
    #[test]
    fn frames_cross_a_stream() {
        let mut ends = [0; 2];
        let kind = libc::SOCK_STREAM;
        // SAFETY: `ends` has room for both.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
        assert_eq!(made, 0);
        let [ours, its] = ends.map(OwnedFd);
        let (mut link, _) = new(ours, [2, 0, 0, 0, 0, 1]).expect("memory");
        let put = |bytes: &[u8]| {
            // SAFETY: reads within `bytes`.
            let n = unsafe { libc::write(its.0, bytes.as_ptr().cast(), bytes.len()) };
            assert_eq!(n, bytes.len() as isize);
        };
        let take = |link: &mut super::Passt| {
            let mut frames: Vec<Vec<u8>> = Vec::new();
            while link.receive(&mut |frame, _| frames.push(frame.to_vec())) {}
            frames
        };
        put(&[0, 0, 0]);
        assert!(take(&mut link).is_empty());
        put(&[3, 1, 2]);
        assert!(take(&mut link).is_empty());
        put(&[3, 0, 0, 0, 1, 9]);
        assert_eq!(take(&mut link), [[1, 2, 3].to_vec(), [9].to_vec()]);

        assert!(link.transmit(2, &mut |frame| {
            frame.copy_from_slice(&[7, 8]);
            TxMeta::default()
        }));
        link.flush();
        let mut got = [0u8; 6];
        // SAFETY: writes within `got`.
        assert_eq!(unsafe { libc::read(its.0, got.as_mut_ptr().cast(), 6) }, 6);
        assert_eq!(got, [0, 0, 0, 2, 7, 8]);

        put(&[0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert!(take(&mut link).is_empty());
    }

    #[test]
    fn reads_forwards() {
        let options = forwards("8080:80, 53:53/udp").expect("valid");
        assert_eq!(options, ["--tcp-ports", "8080:80", "--udp-ports", "53:53"]);
        for wrong in ["80", "0:80", "80:70000", "a:b", "80:80/sctp"] {
            assert!(forwards(wrong).is_err(), "{wrong}");
        }
    }
}
