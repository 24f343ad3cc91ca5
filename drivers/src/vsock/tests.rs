use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::packet::{HEADER_LEN, shutdown};
use super::sockets::CLOSE_NS;
use super::*;
use crate::Error;
use crate::fake::{Handle, HostMemory, Liar, Lie, Options, SocketHost, connect};

/// The machine's CID.
const CID: u64 = 3;
const SECOND: u64 = 1_000_000_000;
const WAIT: Result<usize, Stop> = Err(Stop::WouldBlock);

fn start() -> (Vsock, Handle<SocketHost>) {
    let memory = HostMemory::new();
    let mut host = SocketHost::new(CID);
    host.echo.push(7);
    host.sink.push(9);
    let (transport, handle) = connect(memory, host, Options::default());
    let vsock = Vsock::new(Box::new(transport), memory, 4 << 20).unwrap();
    (vsock, handle)
}

/// Exchanges packets until nothing moves.
fn exchange_all(vsock: &mut Vsock, handle: &Handle<SocketHost>, now: u64) {
    for _ in 0..50 {
        vsock.poll(now).unwrap();
        handle.step();
    }
}

fn open(vsock: &mut Vsock, handle: &Handle<SocketHost>, port: u32) -> Id {
    let peer = Address { cid: HOST, port };
    let id = vsock.sockets().connect(peer, 0).unwrap();
    assert_eq!(vsock.sockets().connected(id), Err(Stop::WouldBlock));
    exchange_all(vsock, handle, 0);
    assert_eq!(vsock.sockets().connected(id), Ok(()));
    id
}

/// Makes the host's socket at port 9 send bytes.
fn supply(handle: &Handle<SocketHost>, port: u32, bytes: &[u8]) {
    handle.with(|host| {
        host.sockets
            .get_mut(&(9, port))
            .unwrap()
            .output
            .extend(bytes)
    });
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn read_all(vsock: &mut Vsock, id: Id) -> (Vec<u8>, Result<usize, Stop>) {
    let mut all = Vec::new();
    let mut piece = [0; 3000];
    loop {
        match vsock.sockets().read(id, &mut piece) {
            Ok(n) if n > 0 => all.extend(&piece[..n]),
            end => return (all, end),
        }
    }
}

#[test]
fn bytes_come_back_from_an_echo() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 7);
    let data = pattern(1_000_000);
    let (mut sent, mut back) = (0, Vec::new());
    while back.len() < data.len() {
        sent += vsock.sockets().write(id, &data[sent..]).unwrap_or(0);
        exchange_all(&mut vsock, &handle, 0);
        back.extend(read_all(&mut vsock, id).0);
    }
    assert!(back == data);
    vsock.sockets().close(id, 0);
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert!(host.sockets.is_empty()));
    assert!(vsock.is_idle() && !vsock.sockets().has_connections());
}

#[test]
fn a_connection_that_nobody_accepts_is_refused() {
    let (mut vsock, handle) = start();
    let peer = Address { cid: HOST, port: 8 };
    let id = vsock.sockets().connect(peer, 0).unwrap();
    exchange_all(&mut vsock, &handle, 0);
    let failed = Err(Stop::Failed(Failure::Refused));
    assert_eq!(vsock.sockets().connected(id), failed);
    handle.with(|host| host.connect(100, 5));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.resets, [(100, 5)]));
}

#[test]
fn a_request_without_an_answer_times_out() {
    let (mut vsock, handle) = start();
    handle.with(|host| host.dead = true);
    let peer = Address { cid: HOST, port: 7 };
    let id = vsock.sockets().connect(peer, SECOND).unwrap();
    vsock.poll(SECOND).unwrap();
    assert_eq!(vsock.deadline(), Some(SECOND + CONNECT_NS));
    vsock.poll(SECOND + CONNECT_NS - 1).unwrap();
    assert_eq!(vsock.sockets().connected(id), Err(Stop::WouldBlock));
    vsock.poll(SECOND + CONNECT_NS).unwrap();
    let failed = Err(Stop::Failed(Failure::TimedOut));
    assert_eq!(vsock.sockets().connected(id), failed);
}

#[test]
fn a_listener_accepts_as_many_as_its_backlog() {
    let (mut vsock, handle) = start();
    let listener = vsock.sockets().listen(None, 5, 2).unwrap();
    assert_eq!(
        vsock.sockets().listen(None, 5, 2),
        Err(ListenError::AddressInUse)
    );
    assert_eq!(
        vsock.sockets().listen(Some(77), 6, 2),
        Err(ListenError::AddressNotAvailable)
    );
    assert_eq!(vsock.sockets().accept(listener), Err(Stop::WouldBlock));
    handle.with(|host| (100..103).for_each(|port| host.connect(port, 5)));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.resets, [(102, 5)]));
    assert!(vsock.sockets().is_readable(listener));
    let id = vsock.sockets().accept(listener).unwrap();
    let peer = Address {
        cid: HOST,
        port: 100,
    };
    assert_eq!(vsock.sockets().peer(id), Ok(peer));
    // The other one was not accepted, and is reset with the listener.
    vsock.sockets().close(listener, 0);
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.resets, [(102, 5), (101, 5)]));
    assert_eq!(vsock.sockets().write(id, b"on"), Ok(2));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.take(100, 5), b"on"));
}

#[test]
fn a_listener_of_one_cid_is_not_at_the_others() {
    let (mut vsock, handle) = start();
    vsock.sockets().listen(Some(LOCAL), 5, 2).unwrap();
    handle.with(|host| host.connect(100, 5));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.resets, [(100, 5)]));
}

/// The fake host panics if it gets more than its credit.
#[test]
fn a_peer_that_does_not_read_stops_the_writer() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let data = pattern(600_000);
    let mut sent = 0;
    while let Ok(n) = vsock.sockets().write(id, &data[sent..]) {
        sent += n;
        exchange_all(&mut vsock, &handle, 0);
    }
    assert!(!vsock.sockets().is_writable(id));
    assert_eq!(vsock.sockets().write(id, b"x"), WAIT);
    let port = vsock.sockets().local(id).unwrap().port;
    let mut received = Vec::new();
    while received.len() < data.len() {
        received.extend(handle.with(|host| host.take(9, port)));
        exchange_all(&mut vsock, &handle, 0);
        sent += vsock.sockets().write(id, &data[sent..]).unwrap_or(0);
    }
    assert!(received == data);
}

#[test]
fn a_reader_that_does_not_read_stops_the_peer() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    let data = pattern(1_000_000);
    handle.with(|host| host.sockets.get_mut(&(9, port)).unwrap().output = data.clone().into());
    exchange_all(&mut vsock, &handle, 0);
    let left = handle.with(|host| host.sockets[&(9, port)].output.len());
    assert_eq!(left, data.len() - (128 << 10));
    let mut received = Vec::new();
    while received.len() < data.len() {
        received.extend(read_all(&mut vsock, id).0);
        exchange_all(&mut vsock, &handle, 0);
    }
    assert!(received == data);
}

#[test]
fn each_direction_ends_alone() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    vsock.sockets().write(id, b"last").unwrap();
    vsock.sockets().shut_down(id, false, true).unwrap();
    assert_eq!(vsock.sockets().write(id, b"x"), Err(Stop::BrokenPipe));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| {
        let socket = host.sockets.get_mut(&(9, port)).unwrap();
        assert_eq!(
            (&socket.received[..], socket.ended),
            (&b"last"[..], shutdown::SEND)
        );
        socket.output.extend(b"answer");
    });
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| host.send(9, port, Operation::SHUTDOWN, shutdown::SEND));
    exchange_all(&mut vsock, &handle, 0);
    assert_eq!(read_all(&mut vsock, id), (b"answer".to_vec(), Ok(0)));
}

#[test]
fn a_peer_that_closes_gets_a_reset_and_its_bytes_are_read() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    supply(&handle, port, b"bye");
    exchange_all(&mut vsock, &handle, 0);
    let both = shutdown::SEND | shutdown::RECEIVE;
    handle.with(|host| host.send(9, port, Operation::SHUTDOWN, both));
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| assert_eq!(host.resets, [(9, port)]));
    assert_eq!(read_all(&mut vsock, id), (b"bye".to_vec(), Ok(0)));
    assert_eq!(vsock.sockets().write(id, b"x"), Err(Stop::BrokenPipe));
}

#[test]
fn a_peer_that_exceeds_its_credit_is_reset() {
    let mut sockets = Sockets::new(CID, 1 << 20);
    let peer = Address { cid: HOST, port: 9 };
    let id = sockets.connect(peer, 0).unwrap();
    let mut into = vec![0; 4096];
    let (request, _) = sockets.output(&mut into).unwrap();
    let answer = |operation, len| Header {
        operation,
        len,
        ..request.refusal()
    };
    sockets.input(&answer(Operation::RESPONSE, 0), &[], 0);
    assert_eq!(sockets.connected(id), Ok(()));
    let data = answer(Operation::DATA, request.buffer);
    let bytes = vec![1; request.buffer as usize];
    sockets.input(&data, &bytes, 0);
    assert_eq!(sockets.connected(id), Ok(()));
    sockets.input(&answer(Operation::DATA, 1), &[1], 0);
    let failed = Err(Stop::Failed(Failure::Reset));
    assert_eq!(sockets.connected(id), failed);
    let (reset, _) = sockets.output(&mut into).unwrap();
    assert_eq!(reset.operation, Operation::RESET);
}

#[test]
fn unknown_operations_are_ignored() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 7);
    let port = vsock.sockets().local(id).unwrap().port;
    handle.with(|host| {
        for operation in [0, 8, 0xffff] {
            host.send(7, port, Operation(operation), 0);
        }
    });
    exchange_all(&mut vsock, &handle, 0);
    vsock.sockets().write(id, b"on").unwrap();
    exchange_all(&mut vsock, &handle, 0);
    assert_eq!(read_all(&mut vsock, id), (b"on".to_vec(), WAIT));
}

#[test]
fn a_buffer_that_the_device_leaves_as_it_was_has_no_packet() {
    let memory = HostMemory::new();
    let device = Liar::new(
        DeviceType::VSOCK,
        1,
        CID.to_le_bytes().to_vec(),
        vec![16, 8, 4],
    );
    let (peer, local) = (Address { cid: HOST, port: 9 }, 1 << 16);
    let packet = |operation, payload: &[u8]| {
        let header = Header {
            source: peer,
            destination: Address {
                cid: CID,
                port: local,
            },
            len: payload.len() as u32,
            kind: packet::STREAM,
            operation,
            flags: 0,
            buffer: 1 << 16,
            taken: 0,
        };
        let bytes = [&header.encode()[..], payload].concat();
        let claim = bytes.len() as u32;
        (0, Lie::End { bytes, claim })
    };
    // The buffers of the packets before, untouched.
    let untouched = Lie::End {
        bytes: Vec::new(),
        claim: HEADER_LEN as u32 + 1,
    };
    let (transport, handle) = connect(memory, device, Options::default());
    let mut vsock = Vsock::new(Box::new(transport), memory, 1 << 20).unwrap();
    let id = vsock.sockets().connect(peer, 0).unwrap();
    assert_eq!(vsock.sockets().local(id).unwrap().port, local);
    vsock.poll(0).unwrap();
    handle.with(|device| {
        let script = &mut device.script;
        script.push_back(packet(Operation::RESPONSE, b""));
        script.extend((0..15).map(|_| packet(Operation::DATA, b"x")));
        script.extend((0..16).map(|_| (0, untouched.clone())));
    });
    for _ in 0..40 {
        vsock.poll(0).unwrap();
        handle.step();
    }
    assert_eq!(read_all(&mut vsock, id), (vec![b'x'; 15], WAIT));
}

#[test]
fn a_reset_is_reported_after_what_came_before() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    supply(&handle, port, b"half");
    exchange_all(&mut vsock, &handle, 0);
    handle.with(|host| host.send(9, port, Operation::RESET, 0));
    exchange_all(&mut vsock, &handle, 0);
    let failed = Err(Stop::Failed(Failure::Reset));
    assert_eq!(read_all(&mut vsock, id), (b"half".to_vec(), failed));
    assert_eq!(vsock.sockets().write(id, b"x"), failed);
}

#[test]
fn a_device_that_takes_nothing_ends_the_connections() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    handle.with(|host| host.dead = true);
    let mut now = 0;
    // Nothing was sent: the driver asks.
    while read_all(&mut vsock, id).1 == WAIT {
        let next = vsock.deadline().expect("a time limit");
        assert!(next > now && next < 60 * SECOND);
        now = next;
        vsock.poll(now).unwrap();
    }
    let failed = Err(Stop::Failed(Failure::TimedOut));
    assert_eq!(read_all(&mut vsock, id).1, failed);
    assert!(now > 25 * SECOND, "{now}");
}

#[test]
fn a_machine_that_was_stopped_keeps_its_connections() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 7);
    vsock.sockets().write(id, b"x").unwrap();
    handle.with(|host| host.dead = true);
    vsock.poll(SECOND).unwrap();
    // An hour later both go on.
    vsock.poll(3600 * SECOND).unwrap();
    handle.with(|host| host.dead = false);
    handle.step();
    exchange_all(&mut vsock, &handle, 3601 * SECOND);
    assert_eq!(read_all(&mut vsock, id), (b"x".to_vec(), WAIT));
}

/// A device that is late each time, but takes what it has, keeps the connections; so does one that
/// has nothing to take.
#[test]
fn the_time_limit_of_a_device_moves_with_what_it_takes() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 7);
    let mut now = 0;
    let turn = |vsock: &mut Vsock, now: &mut u64| {
        handle.with(|host| host.dead = true);
        vsock.poll(*now).unwrap();
        *now += TAKE_NS / 2 + SECOND;
        vsock.poll(*now).unwrap();
        handle.with(|host| host.dead = false);
        exchange_all(vsock, &handle, *now);
    };
    for _ in 0..8 {
        vsock.sockets().write(id, b"x").unwrap();
        turn(&mut vsock, &mut now);
        assert_eq!(read_all(&mut vsock, id), (b"x".to_vec(), WAIT), "at {now}");
    }
    for _ in 0..8 {
        turn(&mut vsock, &mut now);
        assert_eq!(read_all(&mut vsock, id).1, WAIT, "at {now}");
    }
}

/// A device that delivers packets isn't asked for one.
#[test]
fn the_next_probe_moves_with_what_comes() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    exchange_all(&mut vsock, &handle, 0);
    let sent = || handle.queue(1, |queue| queue.notifications);
    let before = sent();
    let mut now = 0;
    for _ in 0..4 {
        now += PROBE_NS - SECOND;
        handle.with(|host| host.send(9, port, Operation::CREDIT_UPDATE, 0));
        handle.step();
        vsock.poll(now).unwrap();
    }
    assert_eq!(sent(), before);
    vsock.poll(now + PROBE_NS).unwrap();
    assert!(sent() > before, "asked after a silence");
}

#[test]
fn the_transports_reset_ends_connections_and_keeps_listeners() {
    let (mut vsock, handle) = start();
    let listener = vsock.sockets().listen(None, 5, 2).unwrap();
    let id = open(&mut vsock, &handle, 9);
    handle.with(|host| {
        host.sockets.clear();
        host.events = 1;
    });
    exchange_all(&mut vsock, &handle, 0);
    let failed = Err(Stop::Failed(Failure::Reset));
    assert_eq!(read_all(&mut vsock, id).1, failed);
    handle.with(|host| host.connect(100, 5));
    exchange_all(&mut vsock, &handle, 0);
    assert!(vsock.sockets().accept(listener).is_ok());
}

#[test]
fn a_machine_reaches_itself() {
    let (mut vsock, handle) = start();
    for cid in [LOCAL, CID] {
        let listener = vsock.sockets().listen(None, ANY, 4).unwrap();
        let port = vsock.sockets().local(listener).unwrap().port;
        let id = vsock.sockets().connect(Address { cid, port }, 0).unwrap();
        exchange_all(&mut vsock, &handle, 0);
        let other = vsock.sockets().accept(listener).unwrap();
        assert_eq!(vsock.sockets().peer(other).unwrap().cid, cid);
        let data = pattern(700_000);
        let (mut sent, mut received) = (0, Vec::new());
        while received.len() < data.len() {
            sent += vsock.sockets().write(id, &data[sent..]).unwrap_or(0);
            vsock.poll(0).unwrap();
            received.extend(read_all(&mut vsock, other).0);
        }
        assert!(received == data);
        vsock.sockets().shut_down(id, false, true).unwrap();
        vsock.poll(0).unwrap();
        assert_eq!(read_all(&mut vsock, other).1, Ok(0));
        vsock.sockets().write(other, b"answer").unwrap();
        vsock.sockets().close(other, 0);
        vsock.poll(0).unwrap();
        assert_eq!(read_all(&mut vsock, id), (b"answer".to_vec(), Ok(0)));
        vsock.sockets().close(id, 0);
        vsock.sockets().close(listener, 0);
        vsock.poll(0).unwrap();
        assert!(!vsock.sockets().has_connections());
    }
}

#[test]
fn memory_and_sockets_have_limits() {
    let (mut vsock, handle) = start();
    let listener = vsock.sockets().listen(None, 5, 10_000).unwrap();
    handle.with(|host| (1..3000).for_each(|port| host.connect(port, 5)));
    for _ in 0..200 {
        exchange_all(&mut vsock, &handle, 0);
    }
    let mut accepted = 0;
    while vsock.sockets().accept(listener).is_ok() {
        accepted += 1;
    }
    assert!((256..1024).contains(&accepted), "{accepted}");
    handle.with(|host| {
        host.resets.sort_unstable();
        host.resets.dedup();
        assert!(host.resets.len() <= 2999 - accepted);
    });
}

#[test]
fn a_device_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, handle) = connect(memory, SocketHost::new(CID), options);
    let mut vsock = Vsock::new(Box::new(transport), memory, 1 << 20).unwrap();
    handle.queue(0, |queue| queue.advance(1000));
    assert_eq!(vsock.poll(0), Err(Error::DeviceError));
    let before = memory.allocated();
    drop(vsock);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn an_impossible_cid_is_an_error() {
    for cid in [0, 1, 2, u64::from(ANY), 1 << 40] {
        let memory = HostMemory::new();
        let (transport, _) = connect(memory, SocketHost::new(cid), Options::default());
        let refused = Vsock::new(Box::new(transport), memory, 1 << 20).err();
        assert_eq!(refused, Some(Error::BadConfig), "{cid}");
    }
}

#[test]
fn a_closed_connection_does_not_wait_for_ever() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    vsock.sockets().write(id, &pattern(200_000)).unwrap();
    vsock.sockets().close(id, 0);
    vsock.poll(0).unwrap();
    handle.step();
    assert!(vsock.sockets().has_connections() && !vsock.sockets().is_flushed());
    for second in 1..60 {
        vsock.poll(second * SECOND).unwrap();
        handle.step();
    }
    assert!(!vsock.sockets().has_connections());
}

/// The limit moves with what the peer takes, and with nothing else of it.
#[test]
fn a_closed_connection_goes_on_while_the_peer_takes_bytes() {
    let (mut vsock, handle) = start();
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    let data = pattern(200_000);
    vsock.sockets().write(id, &data).unwrap();
    exchange_all(&mut vsock, &handle, 0);
    vsock.sockets().close(id, 0);
    // The peer takes a piece just before the limit, each time.
    let mut now = 0;
    let mut turns = 0;
    while vsock.sockets().has_connections() {
        now += CLOSE_NS - 1;
        turns += 1;
        let taken = handle.with(|host| host.take_some(9, port, 16 << 10));
        assert_eq!(taken.len(), 16 << 10, "turn {turns}");
        exchange_all(&mut vsock, &handle, now);
    }
    assert!(turns > 2, "the limit never had to move");
    assert_eq!(
        handle.with(|host| host.resets.clone()),
        [],
        "it was cut off"
    );

    // Packets without progress move nothing.
    let id = open(&mut vsock, &handle, 9);
    let port = vsock.sockets().local(id).unwrap().port;
    vsock.sockets().write(id, &data).unwrap();
    exchange_all(&mut vsock, &handle, now);
    vsock.sockets().close(id, now);
    handle.with(|host| host.send(9, port, Operation::CREDIT_UPDATE, 0));
    exchange_all(&mut vsock, &handle, now + CLOSE_NS - 1);
    assert!(vsock.sockets().has_connections());
    exchange_all(&mut vsock, &handle, now + CLOSE_NS);
    assert!(!vsock.sockets().has_connections());
}

fn header(kind: u16) -> impl Strategy<Value = Header> {
    let port = prop_oneof![Just(9), Just(5), Just(1 << 16), any::<u32>()];
    let number = prop_oneof![0..70_000u32, any::<u32>()];
    let cid = prop_oneof![8 => Just(CID), 1 => Just(LOCAL), 1 => any::<u64>()];
    (
        (port.clone(), port, cid),
        (0..9u16, 0..4u32),
        (number.clone(), number),
        prop_oneof![20 => Just(kind), 1 => any::<u16>()],
    )
        .prop_map(
            |((from, to, cid), (operation, flags), (buffer, taken), kind)| Header {
                source: Address {
                    cid: HOST,
                    port: from,
                },
                destination: Address { cid, port: to },
                len: 0,
                kind,
                operation: Operation(operation),
                flags,
                buffer,
                taken,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn headers_survive_their_encoding(header in header(1), len in any::<u32>()) {
        let header = Header { len, ..header };
        prop_assert_eq!(Header::decode(&header.encode()), Some(header));
        prop_assert_eq!(Header::decode(&header.encode()[1..]), None);
    }

    /// Any packets: each connection ends or goes on, and closing all leaves nothing behind.
    #[test]
    fn any_packets_are_survived(
        packets in prop::collection::vec((header(1), 0..6000usize), 1..200)
    ) {
        let mut sockets = Sockets::new(CID, 3 << 20);
        let listener = sockets.listen(None, 5, 4).unwrap();
        let mut open = vec![sockets.connect(Address { cid: HOST, port: 9 }, 0).unwrap()];
        let mut into = vec![0; 1 << 15];
        for (step, (header, len)) in packets.into_iter().enumerate() {
            let header = Header { len: len as u32, ..header };
            let data = vec![1; len];
            sockets.input(&header, &data, 0);
            while let Some((packet, _)) = sockets.output(&mut into) {
                prop_assert!(packet.len as usize <= into.len());
            }
            open.extend(sockets.accept(listener));
            let id = open[step % open.len()];
            let _ = sockets.write(id, &data);
            let _ = sockets.read(id, &mut into[..len]);
            while sockets.take_changed().is_some() {}
        }
        sockets.close(listener, 0);
        for id in open {
            sockets.close(id, 0);
        }
        sockets.expire(u64::MAX);
        while sockets.output(&mut into).is_some() {}
        prop_assert!(!sockets.has_connections());
    }

    /// A device with any packets in its buffers, or none of the protocol.
    #[test]
    fn a_lying_device_is_survived(
        script in prop::collection::vec(
            (0..3usize, Lie::any((header(1), 0..300usize, any::<u32>()).prop_map(
                |(header, len, claim)| {
                    let header = Header { len: len as u32, ..header };
                    let mut bytes = header.encode().to_vec();
                    bytes.resize(HEADER_LEN + len, 7);
                    let claim = if claim % 4 == 0 { claim } else { bytes.len() as u32 };
                    Lie::End { bytes, claim }
                }), 12)),
            1..80,
        )
    ) {
        let memory = HostMemory::new();
        let config = CID.to_le_bytes().to_vec();
        let mut device = Liar::new(DeviceType::VSOCK, 1, config, vec![16, 8, 4]);
        device.script = script.into();
        let (transport, handle) = connect(memory, device, Options::default());
        let mut vsock = Vsock::new(Box::new(transport), memory, 1 << 20).unwrap();
        let listener = vsock.sockets().listen(None, 5, 4).unwrap();
        let id = vsock.sockets().connect(Address { cid: HOST, port: 9 }, 0).unwrap();
        let mut bytes = [0; 300];
        for step in 0..80 {
            handle.step();
            let polled = vsock.poll(step * SECOND);
            prop_assert_eq!(polled.is_ok(), vsock.is_running());
            let _ = vsock.sockets().accept(listener);
            let read = vsock.sockets().read(id, &mut bytes);
            let _ = vsock.sockets().write(id, b"some bytes");
            if !vsock.is_running() {
                prop_assert!(!matches!(read, Err(Stop::WouldBlock)));
            }
            let _ = vsock.enable_interrupts();
        }
    }

    /// Two ends of a connection, whose operations and packets interleave in any way: each gets what
    /// the other wrote.
    #[test]
    fn bytes_arrive_in_order(
        steps in prop::collection::vec((0..6usize, 1..9000usize), 20..200)
    ) {
        let mut sockets = Sockets::new(CID, 1 << 17);
        let listener = sockets.listen(None, 5, 4).unwrap();
        let id = sockets.connect(Address { cid: LOCAL, port: 5 }, 0).unwrap();
        let mut into = vec![0; 4096];
        let pass = |sockets: &mut Sockets, count: usize, into: &mut Vec<u8>| {
            for _ in 0..count {
                let Some((packet, is_local)) = sockets.output(into) else { break };
                assert!(is_local);
                sockets.input(&packet, &into[..packet.len as usize], 0);
            }
        };
        pass(&mut sockets, 9, &mut into);
        let ends = [id, sockets.accept(listener).unwrap()];
        let (mut written, mut read) = ([0usize; 2], [0usize; 2]);
        let byte = |end: usize, at: usize| (at * 31 + end + at / 256) as u8;
        for (what, len) in steps.into_iter().chain(vec![(5, 999), (2, 60_000), (3, 60_000), (5, 999)]) {
            let end = what % 2;
            match what {
                0 | 1 => {
                    let data: Vec<u8> =
                        (0..len).map(|at| byte(end, written[end] + at)).collect();
                    written[end] += sockets.write(ends[end], &data).unwrap_or(0);
                }
                2 | 3 => {
                    let mut data = vec![0; len];
                    let n = sockets.read(ends[end], &mut data).unwrap_or(0);
                    for (at, got) in data[..n].iter().enumerate() {
                        prop_assert_eq!(*got, byte(1 - end, read[end] + at));
                    }
                    read[end] += n;
                }
                4 => pass(&mut sockets, len % 4, &mut into),
                _ => pass(&mut sockets, 1000, &mut into),
            }
        }
        for _ in 0..50 {
            for end in 0..2 {
                let mut data = vec![0; 60_000];
                read[end] += sockets.read(ends[end], &mut data).unwrap_or(0);
            }
            pass(&mut sockets, 1000, &mut into);
        }
        prop_assert_eq!(read, [written[1], written[0]]);
    }
}
