//! Stops, inspects and continues the machine by gdb's remote protocol, which QEMU implements.
//!
//! "Debugging with GDB", appendix E, describes the protocol. The clocks of a stopped machine stop,
//! too.

use super::access::Access;
use super::unwind::{Memory, Registers};
use crate::arch::Arch;
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Bytes per read of memory.
const BLOCK: u64 = 512;
/// The longest accepted packet; the longest expected one is a block in hexadecimal.
const MAX_PACKET: usize = 4096;
/// The timeout for an answer of a busy QEMU.
const PATIENCE: Duration = Duration::from_secs(20);

/// The gdb server of a machine.
pub struct Remote {
    stream: UnixStream,
}

/// The place of each register of x86-64 in QEMU's `g` packet, by DWARF numbers.
const ORDER: [usize; 17] = [0, 3, 2, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// The same for an architecture; aarch64's are in the order of DWARF.
const fn place(arch: Arch, number: usize) -> usize {
    match arch {
        Arch::X86_64 if number < ORDER.len() => ORDER[number],
        _ => number,
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Remote {
    /// Attaches to a machine before its start (QEMU's `-S`).
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let mut remote = Self { stream };
        remote.stream.set_read_timeout(Some(PATIENCE))?;
        // QEMU may report the stop before it answers.
        let mut answer = remote.ask("QStartNoAckMode")?;
        while answer.starts_with(['T', 'S']) {
            answer = remote.packet()?;
        }
        Ok(remote)
    }

    fn send(&mut self, command: &str) -> io::Result<()> {
        let sum = command.bytes().fold(0u8, u8::wrapping_add);
        self.stream
            .write_all(format!("${command}#{sum:02x}").as_bytes())
    }

    fn ask(&mut self, command: &str) -> io::Result<String> {
        self.send(command)?;
        self.packet()
    }

    /// Reads the next packet's contents.
    fn packet(&mut self) -> io::Result<String> {
        let mut byte = [0];
        while byte != *b"$" {
            self.stream.read_exact(&mut byte)?;
        }
        let mut text = String::new();
        loop {
            self.stream.read_exact(&mut byte)?;
            if byte == *b"#" {
                break;
            }
            if text.len() >= MAX_PACKET {
                return Err(broken("a packet without end"));
            }
            text.push(char::from(byte[0]));
        }
        self.stream.read_exact(&mut [0; 2])?;
        Ok(text)
    }

    /// Continues the machine.
    pub fn go(&mut self) -> io::Result<()> {
        self.send("c")
    }

    /// Stops it.
    pub fn stop(&mut self) -> io::Result<()> {
        self.stream.write_all(b"\x03")?;
        let reply = self.packet()?;
        // `W`: the machine has ended.
        match reply.starts_with(['T', 'S']) {
            true => Ok(()),
            false => Err(broken(&reply)),
        }
    }

    /// Reads the registers of the stopped machine, whose processor is of this architecture.
    pub fn registers(&mut self, arch: Arch) -> io::Result<Registers> {
        let text = self.ask("g")?;
        let value = |number| {
            let place = place(arch, number);
            word(text.as_bytes().get(place * 16..place * 16 + 16)?)
        };
        let values: Option<Vec<u64>> = (0..Registers::count(arch)).map(value).collect();
        let registers = values.and_then(|values| Registers::new(arch, &values));
        registers.ok_or_else(|| broken("registers"))
    }

    /// Waits up to `time` for the machine to stop by itself. Returns whether it did.
    pub fn stops_within(&mut self, time: Duration) -> io::Result<bool> {
        self.stream.set_read_timeout(Some(time))?;
        let reply = self.packet();
        self.stream.set_read_timeout(Some(PATIENCE))?;
        match reply {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Ok(reply) if reply.starts_with('T') => Ok(true),
            Ok(reply) => Err(broken(&reply)),
            Err(error) => Err(error),
        }
    }

    /// Sets or removes a breakpoint at `address`.
    pub fn breakpoint(&mut self, address: u64, is_set: bool) -> io::Result<()> {
        let letter = if is_set { 'Z' } else { 'z' };
        self.ask(&format!("{letter}1,{address:x},1")).map(drop)
    }

    /// The memory of the stopped machine.
    pub fn memory(&mut self) -> Blocks<'_> {
        Blocks {
            remote: self,
            known: HashMap::new(),
        }
    }
}

/// Parses two hexadecimal digits.
fn byte(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
    u8::try_from(high? << 4 | low?).ok()
}

/// Parses sixteen hexadecimal digits, lowest byte first.
fn word(digits: &[u8]) -> Option<u64> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(|pair| byte(*pair)).collect();
    Some(u64::from_le_bytes(bytes?.try_into().ok()?))
}

/// The machine's memory, with a cache of the blocks read.
pub struct Blocks<'a> {
    remote: &'a mut Remote,
    known: HashMap<u64, Option<Vec<u8>>>,
}

impl Memory for Blocks<'_> {
    fn word(&mut self, address: u64) -> Option<u64> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let start = address / BLOCK * BLOCK;
        let block = self.known.entry(start).or_insert_with(|| {
            let text = self.remote.ask(&format!("m{start:x},{BLOCK:x}")).ok()?;
            (text.len() as u64 == 2 * BLOCK).then(|| text.into_bytes())
        });
        let at = usize::try_from(address - start).ok()? * 2;
        word(block.as_ref()?.get(at..at + 16)?)
    }
}

impl Access for Remote {
    fn read(&mut self, address: u64, len: u64) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            let at = address.wrapping_add(bytes.len() as u64);
            let piece = (len - bytes.len() as u64).min(BLOCK);
            let text = self.ask(&format!("m{at:x},{piece:x}")).ok()?;
            let (digits, _) = text.as_bytes().as_chunks::<2>();
            let read: Option<Vec<u8>> = digits.iter().map(|digits| byte(*digits)).collect();
            bytes.extend(read.filter(|read| read.len() as u64 == piece)?);
        }
        Some(bytes)
    }

    fn write(&mut self, address: u64, word: u64) -> Option<()> {
        let digits = word.swap_bytes();
        let reply = self.ask(&format!("M{address:x},8:{digits:016x}")).ok()?;
        (reply == "OK").then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_PACKET, Memory as _, Remote, word};
    use crate::arch::Arch;
    use crate::profile::access::Access as _;
    use proptest::prelude::{Just, Strategy as _, any, prop_oneof, proptest};
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    #[test]
    fn registers_and_memory_are_asked_for_in_packets() {
        let (here, mut there) = UnixStream::pair().expect("a socket");
        let server = std::thread::spawn(move || {
            let mut expect = |asked: &str, answer: &str| {
                let mut bytes = vec![0; asked.len()];
                there.read_exact(&mut bytes).expect("a command");
                assert_eq!(String::from_utf8_lossy(&bytes), asked);
                there.write_all(answer.as_bytes()).expect("sent");
            };
            expect("$QStartNoAckMode#b0", "$T02thread:01;#00+$OK#9a");
            let registers: String = (0..34).map(|n| format!("{n:02x}00000000000000")).collect();
            expect("$g#67", &format!("${registers}#00"));
            expect("$g#67", &format!("${registers}#00"));
            // After 0x11f8 - 0x1000 zeros.
            let block = format!("{}efcdab8967452301", "00".repeat(504));
            expect("$m1000,200#ec", &format!("${block}#00"));
            expect("$m2000,200#ed", "$E14#aa");
            expect("$c#63", "");
        });
        let mut remote = Remote::new(here).expect("connected");
        // DWARF's rdx and rbx are QEMU's fourth and second.
        let registers = remote.registers(Arch::X86_64).expect("registers");
        let some = [0, 1, 2, 3, 7, 16].map(|number| registers.get(number));
        assert_eq!(some, [0, 3, 2, 1, 7, 16].map(Some));
        let registers = remote.registers(Arch::Aarch64).expect("registers");
        let some = [0, 1, 30, 31, 32].map(|number| registers.get(number));
        assert_eq!(some, [0, 1, 30, 31, 32].map(Some));
        let mut memory = remote.memory();
        assert_eq!(memory.word(0x11f8), Some(0x0123_4567_89ab_cdef));
        assert_eq!(memory.word(0x1000), Some(0));
        assert_eq!(memory.word(0x2000), None);
        assert_eq!(memory.word(0x1001), None);
        remote.go().expect("sent");
        server.join().expect("all came");
    }

    #[test]
    fn numbers_have_sixteen_digits() {
        assert_eq!(word(b"0100000000000000"), Some(1));
        assert_eq!(word(b"01"), None);
        assert_eq!(word(b"xxxxxxxxxxxxxxxx"), None);
        assert_eq!(word(b"+1+1+1+1+1+1+1+1"), None);
    }

    /// A server that sends these bytes regardless of requests; and its end, to read the requests.
    fn saying(bytes: &[u8]) -> (Remote, UnixStream) {
        let (here, mut there) = UnixStream::pair().expect("a socket");
        there.write_all(bytes).expect("room for it");
        there
            .shutdown(std::net::Shutdown::Write)
            .expect("shut down");
        (Remote { stream: here }, there)
    }

    #[test]
    fn a_packet_without_end_is_an_error() {
        let mut bytes = vec![b'$'];
        bytes.resize(2 * MAX_PACKET, b'0');
        let (mut remote, _there) = saying(&bytes);
        let error = remote.registers(Arch::HOST).expect_err("too long");
        assert_eq!(error.to_string(), "a packet without end");
    }

    #[test]
    fn too_few_registers_are_an_error() {
        let (mut remote, _there) = saying(b"$0100000000000000#00");
        let error = remote.registers(Arch::HOST).expect_err("one register");
        assert_eq!(error.to_string(), "registers");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_an_error(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just(b"$".to_vec()),
                    Just(b"#00".to_vec()),
                    Just(b"$T05#00".to_vec()),
                    "\\$[0-9a-f]{0,1100}#00".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..20),
                ],
                0..10,
            ),
            address in prop_oneof![any::<u64>(), u64::MAX - 500..=u64::MAX],
        ) {
            let (mut remote, _there) = saying(&pieces.concat());
            let _ = remote.registers(Arch::Aarch64);
            let _ = remote.registers(Arch::X86_64);
            let _ = remote.memory().word(address);
            let _ = remote.read(address, 600);
            let _ = remote.write(address, 1);
            let _ = remote.stop();
        }
    }
}
