//! The machine's processor and memory by gdb's remote protocol, which QEMU speaks: it is stopped,
//! looked at, and continued.
//!
//! The protocol is that of "Debugging with GDB", appendix E. Time stands still in a stopped machine.

use super::unwind::{Memory, Registers};
use crate::trace::Access;
use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Memory is fetched in blocks of this many bytes.
const BLOCK: u64 = 512;
/// Until then QEMU, which is busy, answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// At the beginning the machine may be stopped already, and then says nothing.
const FIRST: Duration = Duration::from_millis(200);

/// The gdb server of a machine.
pub struct Remote {
    stream: UnixStream,
}

/// The order in which QEMU's `g` has the registers, by DWARF's numbers.
const ORDER: [usize; 17] = [0, 3, 2, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

impl Remote {
    /// Takes the machine over and stops it.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let mut remote = Self { stream };
        remote.stream.set_read_timeout(Some(FIRST))?;
        remote.stream.write_all(b"\x03")?;
        match remote.packet() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            other => _ = other?,
        }
        remote.stream.set_read_timeout(Some(PATIENCE))?;
        // A stop that was late comes before the answer.
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

    /// The next packet's contents.
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
            text.push(char::from(byte[0]));
        }
        self.stream.read_exact(&mut [0; 2])?;
        Ok(text)
    }

    /// Lets the machine run.
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

    /// The registers of the stopped machine.
    pub fn registers(&mut self) -> io::Result<Registers> {
        let text = self.ask("g")?;
        let mut registers = [0; 17];
        for (digits, number) in text.as_bytes().chunks(16).zip(ORDER) {
            registers[number] = word(digits).ok_or_else(|| broken("registers"))?;
        }
        Ok(registers)
    }

    /// Waits this long for the machine to stop by itself; whether it has.
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

    /// Has the machine stop before the instruction at `address`, or run over it again.
    pub fn breakpoint(&mut self, address: u64, is_set: bool) -> io::Result<()> {
        let letter = if is_set { 'Z' } else { 'z' };
        self.ask(&format!("{letter}1,{address:x},1")).map(drop)
    }

    /// Its memory, while it is stopped.
    pub fn memory(&mut self) -> Blocks<'_> {
        Blocks {
            remote: self,
            known: HashMap::new(),
        }
    }
}

/// The number that sixteen digits stand for, the lowest byte first.
fn word(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (digits.len() == 16).then(|| number.swap_bytes())
}

/// Memory of the machine, each block fetched once.
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
            let at = address + bytes.len() as u64;
            let piece = (len - bytes.len() as u64).min(BLOCK);
            let text = self.ask(&format!("m{at:x},{piece:x}")).ok()?;
            let (digits, _) = text.as_bytes().as_chunks::<2>();
            let byte =
                |digits: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
            let read: Option<Vec<u8>> = digits.iter().map(byte).collect();
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
    use super::{Memory as _, ORDER, Remote, word};
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
            expect("\x03", "$T02thread:01;#00");
            expect("$QStartNoAckMode#b0", "+$OK#9a");
            let registers: String = (0..24).map(|n| format!("{n:02x}00000000000000")).collect();
            expect("$g#67", &format!("${registers}#00"));
            // Behind 0x11f8 - 0x1000 zeros.
            let block = format!("{}efcdab8967452301", "00".repeat(504));
            expect("$m1000,200#ec", &format!("${block}#00"));
            expect("$m2000,200#ed", "$E14#aa");
            expect("$c#63", "");
        });
        let mut remote = Remote::new(here).expect("connected");
        let registers = remote.registers().expect("registers");
        for (order, number) in ORDER.into_iter().enumerate() {
            assert_eq!(registers[number], order as u64);
        }
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
    }
}
