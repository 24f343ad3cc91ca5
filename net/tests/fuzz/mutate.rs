//! The corpus, and the mutation of its frames.

use net::sim::Random;
use net::sim::packet::{self, Ip};

/// A line of a conversation.
#[derive(Clone, Debug)]
pub enum Line {
    Frame(Vec<u8>),
    /// In nanoseconds.
    Pause(u64),
}

/// All conversations, with their names.
pub fn corpus() -> Vec<(String, Vec<Line>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("net/corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "hex") {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let lines = text.lines().filter_map(line).collect();
            found.push((path.display().to_string(), lines));
        }
    }
    // The order of a directory differs between systems.
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

fn line(text: &str) -> Option<Line> {
    if text.is_empty() || text.starts_with('#') {
        return None;
    }
    if let Some(pause) = text.strip_prefix('+') {
        let milliseconds: u64 = pause.parse().expect("a number");
        return Some(Line::Pause(milliseconds * 1_000_000));
    }
    let bytes = text.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    });
    Some(Line::Frame(bytes.collect()))
}

const TELLING: [u8; 10] = [0, 1, 2, 0x0f, 0x40, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/// Changes a conversation: its lines, and the bytes of its frames. `other` supplies foreign parts.
pub fn mutate(lines: &mut Vec<Line>, other: &[Line], random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = random.below(lines.len() as u64) as usize;
        let to = random.below(lines.len() as u64) as usize;
        match random.below(6) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(to, lines[at].clone()),
            2 => lines.swap(at, to),
            3 if !other.is_empty() => {
                let foreign = other[random.below(other.len() as u64) as usize].clone();
                lines.insert(to, foreign);
            }
            4 => lines.insert(to, Line::Pause(1 << random.below(40))),
            _ => {
                for _ in 0..random.below(40) {
                    lines.insert(to, lines[at].clone());
                }
            }
        }
        if lines.is_empty() {
            return;
        }
    }
    for line in lines {
        if let Line::Frame(frame) = line
            && random.chance(600_000)
        {
            for _ in 0..1 + random.below(4) {
                change(frame, random);
            }
        }
    }
}

fn change(frame: &mut Vec<u8>, random: &mut Random) {
    if frame.is_empty() {
        return;
    }
    // Headers are most relevant.
    let reach = match random.below(4) {
        0 => frame.len(),
        _ => frame.len().min(80),
    };
    let at = random.below(reach as u64) as usize;
    match random.below(10) {
        0..=2 => frame[at] = TELLING[random.below(10) as usize],
        3 | 4 => frame[at] ^= 1 << random.below(8),
        5 => frame[at] = random.bits() as u8,
        6 => {
            // A 16-bit length or number, slightly wrong.
            if let Some(pair) = frame.get_mut(at..at + 2) {
                let value = u16::from_be_bytes([pair[0], pair[1]]);
                let value = value.wrapping_add(random.below(17) as u16).wrapping_sub(8);
                pair.copy_from_slice(&value.to_be_bytes());
            }
        }
        7 => frame.truncate(at.max(1)),
        8 => {
            let len = random.below(60) as usize;
            let extra: Vec<u8> = (0..len).map(|_| random.bits() as u8).collect();
            frame.splice(at..at, extra);
        }
        _ => {
            let end = frame.len().min(at + random.below(40) as usize);
            frame.drain(at..end);
        }
    }
}

/// Corrects lengths and checksums if the frame still looks like a packet.
pub fn repair(frame: &mut [u8]) {
    let Some(ethertype) = frame.get(12..14) else {
        return;
    };
    let v4 = match ethertype {
        [8, 0] => true,
        [0x86, 0xdd] => false,
        _ => return,
    };
    let len = frame.len() - 14;
    if v4 && len >= 20 {
        frame[16..18].copy_from_slice(&(len as u16).to_be_bytes());
        let header = usize::from(frame[14] & 15) * 4;
        if header < 20 || header > len {
            return;
        }
        frame[24..26].fill(0);
        let sum = !packet::sum(0, &frame[14..14 + header]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else if !v4 && len >= 40 {
        frame[18..20].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    } else {
        return;
    }
    let Some(ip) = Ip::parse(frame) else {
        return;
    };
    let start = frame.len() - ip.payload.len();
    let field = match ip.protocol {
        6 => 16,
        17 => 6,
        1 | 2 | 58 => 2,
        _ => return,
    };
    if ip.payload.len() < field + 2 || ip.fragment {
        return;
    }
    if ip.protocol == 17 {
        let len = (ip.payload.len() as u16).to_be_bytes();
        frame[start + 4..start + 6].copy_from_slice(&len);
    }
    frame[start + field..start + field + 2].fill(0);
    let pseudo = match (ip.protocol, v4) {
        (1 | 2, _) => 0,
        (protocol, true) => packet::pseudo(&frame[26..34], protocol, ip.payload.len()),
        (protocol, false) => packet::pseudo(&frame[22..54], protocol, ip.payload.len()),
    };
    let sum = !packet::sum(pseudo, &frame[start..]);
    frame[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
}
