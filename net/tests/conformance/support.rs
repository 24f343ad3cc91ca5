//! One connection with a scripted other end.

use std::net::{IpAddr, SocketAddr};

use net::sim::packet::{ACK, FIN, Ip, SYN, Tcp};
use net::sim::{Bench, Host, World};
use net::{ConnectOptions, Error, Handle, Stack};

pub const MS: u64 = 1_000_000;
pub const SECOND: u64 = 1000 * MS;

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// The addresses of the stack and of the host of a [`Bench`].
#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub stack: &'static str,
    pub host: &'static str,
}

pub const V4: Family = Family {
    stack: "10.0.0.1",
    host: "10.0.0.9",
};
pub const V6: Family = Family {
    stack: "fd00::1",
    host: "fd00::9",
};
pub const FAMILIES: [Family; 2] = [V4, V6];

impl Family {
    pub fn stack(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.stack.parse::<IpAddr>().expect("an address"), port)
    }

    pub fn host(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host.parse::<IpAddr>().expect("an address"), port)
    }
}

/// The value, or `None` for `WouldBlock`.
pub fn ready<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::WouldBlock) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Bytes whose period is no power of two.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|n| (n % 251) as u8 ^ (n / 251) as u8)
        .collect()
}

/// Both ends know each other's Ethernet address from here on: the stack sends a datagram, for which
/// it has to resolve the host.
pub fn meet(world: &mut World, host: &mut Host, family: Family) {
    let socket = world.stacks[0]
        .udp_bind(family.stack(9999))
        .expect("a free port");
    world.stacks[0]
        .udp_send_to(socket, b"hello", family.host(9))
        .expect("room");
    host.expect(world, 10 * SECOND, |frame| {
        Ip::parse(frame).filter(|ip| ip.protocol == 17 && ip.payload.ends_with(b"hello"))
    });
    world.stacks[0].close(socket).expect("an open handle");
    host.listen(world, SECOND);
}

/// Numbers of a connection as the host sees them.
pub struct Talk {
    pub world: World,
    pub host: Host,
    pub listener: Option<Handle>,
    pub handle: Option<Handle>,
    pub own: SocketAddr,
    pub other: SocketAddr,
    /// Next sequence number of the host: RCV.NXT of the stack.
    pub seq: u32,
    /// Next expected number from the stack, of the data seen so far: SND.NXT.
    pub ack: u32,
    /// The first of the stack's numbers that the host has not acknowledged: SND.UNA.
    pub una: u32,
    /// The window that the stack advertised last, in bytes.
    pub window: u32,
    /// The scale of the stack's windows, and whether it was negotiated.
    pub shift: Option<u8>,
    /// The host's own timestamp, and the stack's last one, if in use.
    pub stamp: Option<(u32, u32)>,
}

impl Talk {
    /// A stack without any earlier traffic.
    pub fn new(family: Family) -> Talk {
        Talk::on(Bench::new(1), family)
    }

    pub fn on(bench: Bench, family: Family) -> Talk {
        let Bench {
            mut world,
            mut host,
        } = bench;
        meet(&mut world, &mut host, family);
        Talk {
            world,
            host,
            listener: None,
            handle: None,
            own: family.host(4000),
            other: family.stack(80),
            seq: 1_000_000,
            ack: 0,
            una: 0,
            window: 0,
            shift: None,
            stamp: None,
        }
    }

    pub fn stack(&mut self) -> &mut Stack {
        &mut self.world.stacks[0]
    }

    pub fn handle(&self) -> Handle {
        self.handle.expect("a connection")
    }

    /// With a listener on port 80.
    pub fn listening(mut self) -> Talk {
        let at = SocketAddr::new(self.other.ip(), 80);
        self.listener = Some(self.stack().tcp_listen(at, 16).expect("a free port"));
        self
    }

    /// A segment of the host with the current numbers.
    pub fn segment(&self) -> Tcp {
        let segment = Tcp::between(self.own, self.other)
            .seq(self.seq)
            .ack(self.ack);
        match self.stamp {
            Some((value, echo)) => segment.timestamps(value, echo),
            None => segment,
        }
    }

    /// The SYN of the host.
    pub fn syn(&self) -> Tcp {
        Tcp::between(self.own, self.other).seq(self.seq).flags(SYN)
    }

    pub fn send(&mut self, segment: &Tcp) {
        self.host.send(&mut self.world, segment);
    }

    /// Sends bytes, with the acknowledgement of everything seen.
    pub fn data(&mut self, payload: &[u8]) {
        let segment = self.segment().payload(payload);
        self.send(&segment);
        self.seq = segment.end();
        self.una = self.ack;
    }

    /// Acknowledges everything seen.
    pub fn acknowledge(&mut self) {
        let segment = self.segment();
        self.send(&segment);
        self.una = self.ack;
    }

    /// Sends FIN.
    pub fn fin(&mut self) {
        let segment = self.segment();
        let segment = segment.flags(FIN | ACK);
        self.send(&segment);
        self.seq = segment.end();
        self.una = self.ack;
    }

    /// Returns the segments that have arrived by now.
    pub fn receive(&mut self) -> Vec<Tcp> {
        self.listen(0)
    }

    /// Returns the segments that arrive within `duration_ns`.
    pub fn listen(&mut self, duration_ns: u64) -> Vec<Tcp> {
        let (own, other) = (self.own, self.other);
        let mut received = self.host.listen(&mut self.world, duration_ns);
        received.retain(|segment| (segment.from, segment.to) == (other, own));
        for segment in &received {
            self.note(segment);
        }
        received
    }

    /// Runs until a matching segment arrives.
    pub fn expect(&mut self, limit_ns: u64, mut find: impl FnMut(&Tcp) -> bool) -> Tcp {
        let (own, other) = (self.own, self.other);
        let mut received = Vec::new();
        let found = self.host.expect_tcp(&mut self.world, limit_ns, |segment| {
            if (segment.from, segment.to) != (other, own) {
                return false;
            }
            received.push(segment.clone());
            find(segment)
        });
        for segment in &received {
            self.note(segment);
        }
        found
    }

    fn note(&mut self, segment: &Tcp) {
        if segment.has(SYN) {
            self.ack = segment.end();
            self.una = segment.seq;
        } else if segment.seq == self.ack {
            self.ack = segment.end();
        }
        if segment.has(ACK) {
            let shift = self.shift.filter(|_| !segment.has(SYN)).unwrap_or(0);
            self.window = u32::from(segment.window) << shift;
        }
        if let (Some(stamp), Some((value, _))) = (&mut self.stamp, segment.found_timestamps()) {
            stamp.1 = value;
        }
    }

    /// Completes a handshake as a client with the host's `syn`, and accepts.
    pub fn accepted_with(mut self, syn: Tcp) -> Talk {
        self.send(&syn);
        let answer = self.expect(SECOND, |segment| segment.has(SYN | ACK));
        assert_eq!(answer.ack, syn.end(), "the SYN's acknowledgement");
        self.seq = syn.end();
        if syn.found_scale().is_some() {
            self.shift = answer.found_scale();
        }
        if let (Some((value, _)), Some((echoed, _))) =
            (syn.found_timestamps(), answer.found_timestamps())
        {
            self.stamp = Some((value, echoed));
        }
        self.acknowledge();
        let listener = self.listener.expect("a listener");
        self.handle = Some(
            self.stack()
                .tcp_accept(listener)
                .expect("an accepted connection"),
        );
        self
    }

    /// An established connection that the host opened, without any option except the MSS.
    pub fn accepted(family: Family) -> Talk {
        let talk = Talk::new(family).listening();
        let syn = talk.syn().mss(1440);
        talk.accepted_with(syn)
    }

    /// The same with window scale 7, timestamps and SACK.
    pub fn accepted_full(family: Family) -> Talk {
        let talk = Talk::new(family).listening();
        let syn = talk.full_syn();
        talk.accepted_with(syn)
    }

    /// A SYN with all usual options.
    pub fn full_syn(&self) -> Tcp {
        self.syn()
            .mss(1440)
            .sack_permitted()
            .timestamps(5000, 0)
            .scale(7)
    }

    /// A stack that has sent a SYN; returns the SYN.
    pub fn connecting(family: Family) -> (Talk, Tcp) {
        let mut talk = Talk::new(family);
        let syn = talk.connect();
        (talk, syn)
    }

    /// Lets the stack send a SYN to port 4000 of the host.
    pub fn connect(&mut self) -> Tcp {
        self.connect_with(&ConnectOptions::default())
    }

    /// The same with options.
    pub fn connect_with(&mut self, options: &ConnectOptions) -> Tcp {
        let to = self.own;
        let connecting = self.stack().tcp_connect_with(to, None, options);
        self.handle = Some(connecting.expect("a route"));
        let syn = self.host.expect_tcp(&mut self.world, SECOND, |segment| {
            segment.to == to && segment.flags & !0xc0 == SYN
        });
        self.other = syn.from;
        self.note(&syn);
        syn
    }

    /// All readable data, and whether the end was reached.
    pub fn read(&mut self) -> (Vec<u8>, bool) {
        let handle = self.handle();
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.stack().tcp_read(handle, &mut buffer) {
                Ok(0) => return (bytes, true),
                Ok(len) => bytes.extend(&buffer[..len]),
                Err(Error::WouldBlock) => return (bytes, false),
                Err(_) => return (bytes, false),
            }
        }
    }

    pub fn error(&mut self) -> Option<Error> {
        let handle = self.handle();
        self.stack().socket_error(handle).unwrap_or(None)
    }
}

/// Inserts options into the IP header of a frame. IPv4: record route and an unknown one (RFC 791,
/// 3.1). IPv6: an unknown one that has to be skipped, in an extension header (RFC 8200, 4.2 and
/// 4.6).
pub fn with_ip_options(mut frame: Vec<u8>) -> Vec<u8> {
    let (at, options): (usize, &[u8]) = match frame[14] >> 4 {
        4 => (34, &[7, 7, 4, 0, 0, 0, 0, 0x9e, 4, 1, 2, 0]),
        _ => (54, &[6, 0, 0x1e, 4, 1, 2, 3, 4]),
    };
    frame.splice(at..at, options.iter().copied());
    if at == 34 {
        frame[14] += 3;
        frame[17] += 12;
        frame[24..26].fill(0);
        let words = frame[14..46]
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        let sum = !(((sum >> 16) + sum) as u16);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame[19] += 8;
        frame[20] = 60;
    }
    frame
}
