//! A host driven by a test, above the level of neighbors.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::sim::packet::{self, Tcp};
use crate::sim::{Cable, Impairment, Offloads, Script, World};
use crate::{Config, InterfaceConfig};

/// A host at the end of a cable that sends and expects what a test specifies. It answers ARP and
/// neighbor solicitations for its addresses on its own.
pub struct Host {
    script: Script,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The Ethernet address that it sends to.
    pub gateway: [u8; 6],
    /// The addresses for which it answers.
    pub addresses: Vec<IpAddr>,
    /// It answers for every requested address, as a router with proxy ARP.
    pub everyone: bool,
    /// Received frames that weren't taken yet.
    inbox: VecDeque<Vec<u8>>,
}

impl Host {
    /// A host at this end of a cable, that sends to `gateway`.
    pub fn new(script: Script, mac: [u8; 6], gateway: [u8; 6], addresses: Vec<IpAddr>) -> Host {
        Host {
            script,
            mac,
            gateway,
            addresses,
            everyone: false,
            inbox: VecDeque::new(),
        }
    }

    /// Source and destination of the frames that it sends.
    pub fn macs(&self) -> ([u8; 6], [u8; 6]) {
        (self.mac, self.gateway)
    }

    /// Puts a frame on the cable without running the world.
    pub fn inject(&self, frame: &[u8]) {
        self.script.inject(frame);
    }

    /// Sends a segment and runs the world at this moment.
    pub fn send(&mut self, world: &mut World, segment: &Tcp) {
        self.inject(&segment.frame(self.macs()));
        self.collect(world);
    }

    /// Sends a frame and runs the world at this moment.
    pub fn send_frame(&mut self, world: &mut World, frame: &[u8]) {
        self.inject(frame);
        self.collect(world);
    }

    /// All frames that have arrived, except requests for its addresses.
    pub fn take(&mut self, world: &mut World) -> Vec<Vec<u8>> {
        self.collect(world);
        self.inbox.drain(..).collect()
    }

    /// The segments that have arrived; drops all other frames.
    pub fn take_tcp(&mut self, world: &mut World) -> Vec<Tcp> {
        let frames = self.take(world);
        frames
            .iter()
            .filter_map(|frame| Tcp::parse(frame))
            .collect()
    }

    /// Runs until a frame arrives for which `find` returns a value, for at most `limit_ns`; drops
    /// the frames before it. Panics when none arrives.
    pub fn expect<T>(
        &mut self,
        world: &mut World,
        limit_ns: u64,
        mut find: impl FnMut(&[u8]) -> Option<T>,
    ) -> T {
        let end_ns = world.now_ns + limit_ns;
        let mut seen = Vec::new();
        loop {
            self.collect(world);
            while let Some(frame) = self.inbox.pop_front() {
                if let Some(found) = find(&frame) {
                    return found;
                }
                seen.push(frame);
            }
            if world.now_ns >= end_ns {
                let shown: Vec<_> = seen.iter().map(|frame| describe(frame)).collect();
                panic!(
                    "nothing that was expected came within {} ms, but {shown:#?}",
                    limit_ns / 1_000_000
                );
            }
            world.step(end_ns - world.now_ns);
        }
    }

    /// The same for a segment.
    pub fn expect_tcp(
        &mut self,
        world: &mut World,
        limit_ns: u64,
        mut find: impl FnMut(&Tcp) -> bool,
    ) -> Tcp {
        self.expect(world, limit_ns, |frame| {
            Tcp::parse(frame).filter(|segment| find(segment))
        })
    }

    /// Runs for `duration_ns`, answering requests; returns the segments that arrived.
    pub fn listen(&mut self, world: &mut World, duration_ns: u64) -> Vec<Tcp> {
        let end_ns = world.now_ns + duration_ns;
        self.collect(world);
        while world.now_ns < end_ns {
            world.step(end_ns - world.now_ns);
            self.collect(world);
        }
        self.take_tcp(world)
    }

    fn collect(&mut self, world: &mut World) {
        loop {
            world.run_now();
            let mut answered = false;
            while let Some(frame) = self.script.take() {
                match self.answer(&frame) {
                    Some(answer) => {
                        self.script.inject(&answer);
                        answered = true;
                    }
                    None => self.inbox.push_back(frame),
                }
            }
            if !answered {
                return;
            }
        }
    }

    fn is_here(&self, address: IpAddr) -> bool {
        self.everyone || self.addresses.contains(&address)
    }

    /// The reply to a request for one of its addresses.
    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        if frame.get(12..14)? == [8, 6] {
            let arp = frame.get(14..42)?;
            let target: [u8; 4] = arp[24..28].try_into().ok()?;
            let asker: [u8; 4] = arp[14..18].try_into().ok()?;
            // A probe or an announcement gets no reply (RFC 5227).
            let question = arp[6..8] == [0, 1] && asker != [0; 4] && asker != target;
            if !question || !self.is_here(target.into()) {
                return None;
            }
            let reply = [
                &[0, 1, 8, 0, 6, 4, 0, 2],
                &self.mac[..],
                &target,
                &arp[8..14],
                &asker,
            ]
            .concat();
            return Some(packet::ethernet(
                self.mac,
                arp[8..14].try_into().ok()?,
                0x0806,
                &reply,
            ));
        }
        let solicitation = packet::Ip::parse(frame)?;
        if solicitation.protocol != 58
            || solicitation.payload.first() != Some(&135)
            || solicitation.from.is_unspecified()
        {
            return None;
        }
        let target: [u8; 16] = solicitation.payload.get(8..24)?.try_into().ok()?;
        if !self.is_here(target.into()) {
            return None;
        }
        let rest = [&target[..], &[2, 1], &self.mac].concat();
        // Solicited and override (RFC 4861, 4.4).
        Some(packet::icmp(
            (self.mac, frame[6..12].try_into().ok()?),
            target.into(),
            solicitation.from,
            (136, 0),
            0x6000_0000,
            &rest,
        ))
    }
}

/// A description of a frame, for messages.
fn describe(frame: &[u8]) -> String {
    match (Tcp::parse(frame), packet::Ip::parse(frame)) {
        (Some(segment), _) => format!(
            "TCP {} > {} seq {} ack {} flags {:#04x} window {} len {}",
            segment.from,
            segment.to,
            segment.seq,
            segment.ack,
            segment.flags,
            segment.window,
            segment.payload.len()
        ),
        (None, Some(ip)) => format!(
            "IP {} > {} protocol {} {:02x?}",
            ip.from,
            ip.to,
            ip.protocol,
            &ip.payload[..ip.payload.len().min(16)]
        ),
        _ => format!("{:02x?}", &frame[..frame.len().min(42)]),
    }
}

/// A stack and a scripted host, joined by a cable.
pub struct Bench {
    /// The stack and the cable are the first of the world.
    pub world: World,
    /// At 10.0.0.9 and fd00::9.
    pub host: Host,
}

impl Bench {
    /// A stack at 10.0.0.1/24 and fd00::1/64 with the host as its gateway, on a perfect cable.
    pub fn new(seed: u64) -> Bench {
        let interface = InterfaceConfig {
            addresses: ["10.0.0.1/24", "fd00::1/64"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            gateways: ["10.0.0.9", "fd00::9"]
                .map(|text| text.parse().expect("an address"))
                .to_vec(),
            // The host has no conflicting address: the addresses are used at once.
            dad_transmits: 0,
            ..Default::default()
        };
        Bench::with(
            Config::default(),
            &interface,
            1500,
            Offloads::default(),
            seed,
        )
    }

    /// The same with another configuration. Ten seconds have passed, so that fixed addresses are in
    /// use and the initial announcements were sent.
    pub fn with(
        config: Config,
        interface: &InterfaceConfig,
        mtu: usize,
        offloads: Offloads,
        seed: u64,
    ) -> Bench {
        let mut bench = Bench::unconfigured(config, interface, mtu, offloads, seed);
        bench.host.listen(&mut bench.world, 10_000_000_000);
        bench
    }

    /// The same at the start.
    pub fn unconfigured(
        config: Config,
        interface: &InterfaceConfig,
        mtu: usize,
        offloads: Offloads,
        seed: u64,
    ) -> Bench {
        let mut world = World::new();
        let cable = Cable::new(Impairment::default(), seed);
        let mut stack = world.stack(config, seed);
        let link = cable.link(0, World::mac(0), mtu, offloads);
        stack
            .add_interface(link, interface)
            .expect("a sound configuration");
        world.stacks.push(stack);
        let addresses = ["10.0.0.9", "fd00::9"].map(|text| text.parse().expect("an address"));
        let host = Host::new(
            cable.script(1),
            [2, 0, 0, 0, 9, 9],
            World::mac(0),
            addresses.to_vec(),
        );
        world.cables.push(cable);
        Bench { world, host }
    }
}
