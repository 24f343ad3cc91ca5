//! The cost of the machine by itself: `cargo test -p net --release machine::tests::cost --
//! --ignored --nocapture`.

use std::time::Instant;

use super::super::{
    Block, Budget, Emit, Flags, Header, LARGE, Machine, Pressure, SMALL, Segment, Setup,
};
use super::link::MS;

/// Reused blocks, as in the stack's budget.
#[derive(Default)]
struct Pool {
    small: Vec<Block>,
    large: Vec<Block>,
}

impl Budget for Pool {
    fn block(&mut self, wanted: usize) -> Option<Block> {
        let (pool, size) = if wanted <= SMALL {
            (&mut self.small, SMALL)
        } else {
            (&mut self.large, LARGE)
        };
        Some(pool.pop().unwrap_or_else(|| Block::new(size)))
    }

    fn guaranteed(&mut self) -> Block {
        Block::new(SMALL)
    }

    fn recycle(&mut self, mut block: Block) {
        block.clear();
        if block.capacity() == SMALL {
            self.small.push(block)
        } else {
            self.large.push(block)
        }
    }

    fn take(&mut self, _bytes: usize) -> bool {
        true
    }

    fn give(&mut self, _bytes: usize) {}

    fn pressure(&self) -> Pressure {
        Pressure::None
    }
}

/// The last frames sent, as bytes.
struct Frames {
    tso: usize,
    frames: Vec<(Vec<u8>, usize, u16)>,
    used: usize,
}

impl Emit for Frames {
    fn max_segment(&self) -> usize {
        self.tso
    }

    fn segment(&mut self, header: &Header, payload: &[&[u8]]) -> bool {
        if self.used == self.frames.len() {
            self.frames.push((vec![0; 70_000], 0, 0));
        }
        let (frame, len, size) = &mut self.frames[self.used];
        self.used += 1;
        let mut at = header.write(1, 2, frame).unwrap();
        for piece in payload {
            frame[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        (*len, *size) = (at, header.segment_size);
        true
    }
}

struct Side {
    machine: Machine,
    pool: Pool,
    frames: Frames,
}

impl Side {
    fn send(&mut self, now_ns: u64) {
        self.frames.used = 0;
        while self.machine.wants_output() {
            self.machine.output(now_ns, 64, &mut self.frames);
        }
    }

    fn receive(&mut self, from: &mut Side, now_ns: u64) {
        for (frame, len, size) in &from.frames.frames[..from.frames.used] {
            let mut segment = Segment::parse(&frame[..*len]).unwrap();
            segment.gro = (segment.payload.len() > usize::from(*size)).then_some(*size);
            self.machine
                .input(&mut self.pool, &mut || true, &segment, now_ns);
        }
        from.frames.used = 0;
    }
}

/// Fewer for `valgrind --tool=callgrind`: `ROUNDS=1000`.
fn rounds(usual: u32) -> u32 {
    std::env::var("ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(usual)
}

fn pair(tso: usize) -> (Side, Side, u64) {
    let mut now_ns = 1000 * MS;
    let side = |machine| Side {
        machine,
        pool: Pool::default(),
        frames: Frames {
            tso,
            frames: Vec::new(),
            used: 0,
        },
    };
    let mut client = side(Machine::connect(&Setup::default(), now_ns));
    client.send(now_ns);
    let syn = Segment::parse(&client.frames.frames[0].0[..client.frames.frames[0].1]).unwrap();
    assert!(syn.has(Flags::SYN));
    let mut server = side(Machine::accept(&Setup::default(), &syn, now_ns));
    for _ in 0..2 {
        now_ns += 10_000;
        server.send(now_ns);
        client.receive(&mut server, now_ns);
        client.send(now_ns);
        server.receive(&mut client, now_ns);
    }
    (client, server, now_ns)
}

#[test]
#[ignore = "a measurement"]
fn requests() {
    let (mut client, mut server, mut now_ns) = pair(0);
    let rounds = rounds(500_000);
    let begun = Instant::now();
    for _ in 0..rounds {
        now_ns += 20_000;
        client.machine.write(&mut client.pool, &[1; 100]);
        client.send(now_ns);
        server.receive(&mut client, now_ns);
        let len = server.machine.peek().len();
        assert_eq!(len, 100);
        server.machine.consume(&mut server.pool, len, now_ns);
        server.machine.write(&mut server.pool, &[2; 1100]);
        server.send(now_ns);
        client.receive(&mut server, now_ns);
        let len = client.machine.peek().len();
        assert_eq!(len, 1100);
        client.machine.consume(&mut client.pool, len, now_ns);
        let _ = client.machine.deadline_ns();
    }
    println!(
        "request and answer: {} ns, both ends",
        begun.elapsed().as_nanos() / u128::from(rounds)
    );
}

#[test]
#[ignore = "a measurement"]
fn bulk() {
    let rounds = rounds(500_000);
    for tso in [0, 65_000] {
        let (mut client, mut server, mut now_ns) = pair(tso);
        let data = vec![3; 65_536];
        let begun = Instant::now();
        let (mut bytes, mut frames) = (0u64, 0);
        while bytes < u64::from(rounds) * 8000 {
            now_ns += 100_000;
            while client.machine.write(&mut client.pool, &data) == data.len() {}
            client.send(now_ns);
            frames += client.frames.used;
            server.receive(&mut client, now_ns);
            while !server.machine.peek().is_empty() {
                let len = server.machine.peek().len();
                server.machine.consume(&mut server.pool, len, now_ns);
                bytes += len as u64;
            }
            server.send(now_ns);
            client.receive(&mut server, now_ns);
        }
        let took = begun.elapsed();
        println!(
            "bulk, tso {tso}: {:.1} Gbit/s, {} ns a frame of {} bytes, both ends with three copies",
            bytes as f64 * 8.0 / took.as_nanos() as f64,
            took.as_nanos() / frames as u128,
            bytes / frames as u64,
        );
    }
}

#[test]
#[ignore = "a measurement"]
fn connections() {
    let rounds = rounds(300_000);
    let begun = Instant::now();
    for _ in 0..rounds {
        let (mut client, mut server, mut now_ns) = pair(0);
        client.machine.write(&mut client.pool, &[1; 100]);
        client.machine.shutdown_send();
        server.machine.shutdown_send();
        for _ in 0..3 {
            now_ns += 10_000;
            client.send(now_ns);
            server.receive(&mut client, now_ns);
            server.send(now_ns);
            client.receive(&mut server, now_ns);
        }
        server.machine.release(&mut server.pool);
        client.machine.release(&mut client.pool);
    }
    println!(
        "connection: {} ns, both ends",
        begun.elapsed().as_nanos() / u128::from(rounds)
    );
}
