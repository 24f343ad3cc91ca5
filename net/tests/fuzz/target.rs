//! A stack with all features enabled, a program that uses it at random, and a host that tracks the
//! stack's messages, so that mutated frames get deep into it.

use std::collections::HashMap;
use std::net::SocketAddr;

use net::sim::packet::{ACK, Ip, RST, SYN, Tcp};
use net::sim::{Bench, Host, Offloads, Random, World};
use net::{Config, Handle, InterfaceConfig, Keepalive};

use crate::mutate::{Line, repair};

pub const TCP_MEMORY: usize = 1 << 20;
const SECOND: u64 = 1_000_000_000;

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The stack's last segment on a connection: its next number and its timestamp.
#[derive(Clone, Copy, Default)]
struct Said {
    next: u32,
    stamp: u32,
}

pub struct Target {
    pub world: World,
    pub host: Host,
    listeners: Vec<Handle>,
    datagrams: Handle,
    sockets: Vec<Handle>,
    /// Indexed by the host's port and the stack's.
    said: HashMap<(u16, u16), Said>,
    /// The stack's port of its last connect, its last DHCP transaction, its last query.
    connecting: u16,
    xid: [u8; 4],
    question: Option<(u16, [u8; 2])>,
    /// Added to the host's port and numbers in this round.
    shift: (u16, u32),
}

impl Target {
    pub fn new(seed: u64) -> Target {
        let config = Config {
            tcp_memory: TCP_MEMORY,
            time_wait_max: 64,
            half_open_max: 16,
            ..Default::default()
        };
        let interface = InterfaceConfig {
            addresses: ["10.0.0.1/24", "fd00::1/64"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            gateways: ["10.0.0.9", "fd00::9"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            dns_servers: ["10.0.0.9:53", "[fd00::9]:53"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            ..InterfaceConfig::dynamic()
        };
        let offloads = match seed % 2 {
            0 => Offloads::default(),
            _ => Offloads::ALL,
        };
        let Bench {
            mut world,
            mut host,
        } = Bench::with(config, &interface, 1500, offloads, seed);
        host.addresses.push("fe80::9".parse().expect("an address"));
        let stack = &mut world.stacks[0];
        let listeners = vec![stack.tcp_listen(address("[::]:80"), 16).expect("free")];
        let datagrams = stack.udp_bind(address("[::]:53")).expect("free");
        Target {
            world,
            host,
            listeners,
            datagrams,
            sockets: Vec::new(),
            said: HashMap::new(),
            connecting: 40_000,
            xid: [0, 0, 0, 1],
            question: None,
            shift: (0, 0),
        }
    }

    /// Begins a conversation: new ports and numbers, and work for the stack.
    pub fn begin(&mut self, random: &mut Random) {
        self.shift = (random.below(500) as u16, random.bits() as u32);
        for _ in 0..random.below(3) {
            self.operate(random);
        }
    }

    pub fn play(&mut self, line: &Line, random: &mut Random) {
        match line {
            Line::Pause(pause_ns) => {
                self.world.advance((*pause_ns).min(200 * SECOND));
            }
            Line::Frame(frame) => {
                let mut frame = frame.clone();
                if random.chance(950_000) {
                    self.fit(&mut frame, random);
                }
                if random.chance(930_000) {
                    repair(&mut frame);
                }
                self.host.inject(&frame);
            }
        }
        self.receive();
        if random.chance(250_000) {
            self.operate(random);
            self.receive();
        }
    }

    /// Tracks the stack's frames.
    fn receive(&mut self) {
        for frame in self.host.take(&mut self.world) {
            if let Some(segment) = Tcp::parse(&frame) {
                if segment.has(SYN) && !segment.has(ACK) {
                    self.connecting = segment.from.port();
                }
                let said = self
                    .said
                    .entry((segment.to.port(), segment.from.port()))
                    .or_default();
                said.next = segment.end();
                if let Some((value, _)) = segment.found_timestamps() {
                    said.stamp = value;
                }
                if self.said.len() > 4000 {
                    self.said.clear();
                }
                continue;
            }
            let Some(ip) = Ip::parse(&frame).filter(|ip| ip.protocol == 17 && !ip.fragment) else {
                continue;
            };
            let bytes = &ip.payload;
            match bytes.get(..4) {
                Some([0, 68, 0, 67]) => {
                    if let Some(xid) = bytes.get(12..16) {
                        self.xid.copy_from_slice(xid);
                    }
                }
                Some([high, low, 0, 53]) => {
                    if let Some(id) = bytes.get(8..10) {
                        let port = u16::from_be_bytes([*high, *low]);
                        self.question = Some((port, [id[0], id[1]]));
                    }
                }
                _ => {}
            }
        }
    }

    /// Adapts the numbers of a frame to the stack's.
    fn fit(&self, frame: &mut [u8], random: &mut Random) {
        let Some(ip) = Ip::parse(frame) else {
            return;
        };
        let start = frame.len().saturating_sub(ip.payload.len());
        let Some(rest) = frame.get_mut(start..) else {
            return;
        };
        match ip.protocol {
            6 if rest.len() >= 20 => self.fit_tcp(rest, random),
            17 => match (rest.get(..4), self.question) {
                (Some([0, 67, 0, 68]), _) => {
                    if let Some(xid) = rest.get_mut(12..16) {
                        xid.copy_from_slice(&self.xid);
                    }
                }
                (Some([0, 53, 0x9c, 0x40]), Some((port, id))) if rest.len() >= 10 => {
                    rest[2..4].copy_from_slice(&port.to_be_bytes());
                    rest[8..10].copy_from_slice(&id);
                }
                _ => {}
            },
            // An error about a segment: the quoted one.
            1 if rest.len() >= 8 + 28 => self.quote(&mut rest[8 + 20..]),
            58 if rest.len() >= 8 + 48 && rest[0] < 128 => self.quote(&mut rest[8 + 40..]),
            _ => {}
        }
    }

    /// Sets the ports and the number of a segment that the stack may have sent.
    fn quote(&self, quoted: &mut [u8]) {
        let port = 4000 + self.shift.0;
        if let Some(said) = self.said.get(&(port, 80))
            && quoted.len() >= 8
        {
            quoted[2..4].copy_from_slice(&port.to_be_bytes());
            quoted[4..8].copy_from_slice(&said.next.wrapping_sub(1).to_be_bytes());
        }
    }

    fn fit_tcp(&self, segment: &mut [u8], random: &mut Random) {
        let word = |segment: &[u8], at: usize| {
            u32::from_be_bytes([
                segment[at],
                segment[at + 1],
                segment[at + 2],
                segment[at + 3],
            ])
        };
        let mut ports = [
            u16::from_be_bytes([segment[0], segment[1]]),
            u16::from_be_bytes([segment[2], segment[3]]),
        ];
        if ports[0] == 4000 {
            ports[0] += self.shift.0;
        }
        if ports[1] == 40_000 {
            ports[1] = self.connecting;
        }
        segment[..2].copy_from_slice(&ports[0].to_be_bytes());
        segment[2..4].copy_from_slice(&ports[1].to_be_bytes());
        let seq = word(segment, 4).wrapping_add(self.shift.1);
        segment[4..8].copy_from_slice(&seq.to_be_bytes());
        let Some(said) = self.said.get(&(ports[0], ports[1])) else {
            return;
        };
        // Mostly all of it, at times a part.
        let back = match random.below(8) {
            0 => random.below(5000) as u32,
            _ => 0,
        };
        let ack = said.next.wrapping_sub(back);
        segment[8..12].copy_from_slice(&ack.to_be_bytes());
        let header = usize::from(segment[12] >> 4) * 4;
        let mut at = 20;
        while at + 10 <= header.min(segment.len()) {
            match (segment[at], segment[at + 1]) {
                (8, 10) => {
                    segment[at + 6..at + 10].copy_from_slice(&said.stamp.to_be_bytes());
                    return;
                }
                (0, _) => return,
                (1, _) => at += 1,
                (5, len @ 10..) => {
                    // Blocks within the sent data.
                    for block in segment[at + 2..].chunks_exact_mut(8).take(len as usize / 8) {
                        let left = ack.wrapping_add(random.below(4000) as u32);
                        block[..4].copy_from_slice(&left.to_be_bytes());
                        let right = left.wrapping_add(random.below(3000) as u32);
                        block[4..].copy_from_slice(&right.to_be_bytes());
                    }
                    at += usize::from(len);
                }
                (_, len) => at += usize::from(len.max(2)),
            }
        }
    }

    /// One operation of the program.
    fn operate(&mut self, random: &mut Random) {
        let stack = &mut self.world.stacks[0];
        let mut buffer = [3; 9000];
        let len = random.below(9000) as usize;
        let chosen = match self.sockets.len() {
            0 => None,
            count => Some(random.below(count as u64) as usize),
        };
        match (random.below(16), chosen) {
            (0, _) if self.sockets.len() < 40 => {
                let to = ["10.0.0.9:5000", "[fd00::9]:5000"][random.below(2) as usize];
                self.sockets.extend(stack.tcp_connect(address(to), None));
            }
            (2, _) => {
                let to = ["10.0.0.9:7", "[fd00::9]:7", "10.0.0.77:7"][random.below(3) as usize];
                let _ = stack.udp_send_to(self.datagrams, &buffer[..len], address(to));
            }
            (3, _) => {
                let _ = stack.udp_recv_from(self.datagrams, &mut buffer[..len]);
            }
            (4..=6, _) if self.sockets.len() < 40 => {
                let listener = self.listeners[0];
                self.sockets.extend(stack.tcp_accept(listener));
            }
            (7 | 8, Some(at)) => {
                let _ = stack.tcp_write(self.sockets[at], &buffer[..len]);
            }
            (9 | 10, Some(at)) => {
                let _ = stack.tcp_read(self.sockets[at], &mut buffer[..len]);
            }
            (11, Some(at)) => {
                let _ = stack.tcp_shutdown(self.sockets[at]);
            }
            (12, Some(at)) => {
                let interval = random.below(100) * SECOND / 10;
                let keep = (interval > 0).then(|| Keepalive::every(interval));
                let _ = stack.tcp_set_keepalive(self.sockets[at], keep);
                let _ = stack.tcp_set_nodelay(self.sockets[at], random.below(2) == 0);
            }
            (13, Some(at)) => {
                let _ = stack.readiness(self.sockets[at]);
                let _ = stack.tcp_connect_result(self.sockets[at]);
            }
            (14, Some(at)) => {
                let _ = stack.close(self.sockets.swap_remove(at));
            }
            (15, Some(at)) => {
                let _ = stack.abort(self.sockets.swap_remove(at));
            }
            _ => {}
        }
        stack.take_events(&mut |_| {});
    }

    /// Closes the program's sockets and advances the time; then serves an honest peer.
    pub fn finish(&mut self) {
        let stack = &mut self.world.stacks[0];
        for handle in self.sockets.drain(..) {
            stack.close(handle).expect("an open handle");
        }
        while let Ok(handle) = stack.tcp_accept(self.listeners[0]) {
            stack.abort(handle).expect("an open handle");
        }
        self.host.listen(&mut self.world, 400 * SECOND);
        while let Ok(handle) = self.world.stacks[0].tcp_accept(self.listeners[0]) {
            let _ = self.world.stacks[0].abort(handle);
        }
        self.host.listen(&mut self.world, SECOND);
        let served = ["10.0.0.1:80", "[fd00::1]:80"].map(|at| self.serves(address(at)));
        assert_eq!(served, [true; 2], "not everybody is served any more");
        self.host.listen(&mut self.world, 400 * SECOND);
        assert_eq!(self.world.stacks[0].tcp_memory_used(), 0);
        let polls = self.world.polls;
        self.host.listen(&mut self.world, 60 * SECOND);
        let polls = self.world.polls - polls;
        assert!(polls < 3000, "{polls} polls in a quiet minute");
    }

    /// Whether an honest client is served.
    fn serves(&mut self, at: SocketAddr) -> bool {
        let own = match at {
            SocketAddr::V4(_) => address("10.0.0.9:33333"),
            SocketAddr::V6(_) => address("[fd00::9]:33333"),
        };
        let syn = Tcp::between(own, at).seq(77).flags(SYN).mss(1400);
        for _ in 0..4 {
            self.host.inject(&syn.frame(self.host.macs()));
            let received = self.host.listen(&mut self.world, 3 * SECOND);
            let Some(answer) = received.iter().find(|segment| segment.to == own) else {
                continue;
            };
            if !answer.has(SYN | ACK) {
                return false;
            }
            self.host.send(&mut self.world, &syn.reply_to(answer));
            let accepted = self.world.stacks[0].tcp_accept(self.listeners[0]);
            let reset = syn.reply_to(answer).flags(RST);
            self.host.send(&mut self.world, &reset);
            return match accepted {
                Ok(handle) => self.world.stacks[0].abort(handle).is_ok(),
                Err(_) => false,
            };
        }
        false
    }
}
