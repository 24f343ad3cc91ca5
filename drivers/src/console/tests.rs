use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Console, MAX_PORTS, MULTIPORT, Output, Port, SIZES};
use crate::Error;
use crate::Memory as _;
use crate::device_type::DeviceType;
use crate::fake::{
    Backend, Handle, HostMemory, Liar, Lie, Options, Serial, SerialPort, Terminal, connect,
};

/// The only port of a console without multiport.
const PORT: Port = Port(0);

fn start(options: Options) -> (Console, Handle<Terminal>) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, Terminal::default(), options);
    (Console::new(Box::new(transport), memory).unwrap(), handle)
}

#[test]
fn text_goes_both_ways() {
    let (mut console, handle) = start(Options::default());
    let text: Vec<u8> = (0..2000).map(|at| at as u8).collect();
    for _ in 0..10 {
        assert_eq!(console.write(PORT, &text), Ok(2000));
    }
    assert!(console.is_idle(PORT));
    handle.with(|terminal| assert!(terminal.screen == text.repeat(10)));
    handle.with(|terminal| terminal.keyboard.extend(&text));
    handle.step();
    let mut read = Vec::new();
    let mut piece = [0; 100];
    while read.len() < text.len() {
        let len = console.read(PORT, &mut piece).unwrap();
        assert!(len > 0);
        read.extend_from_slice(&piece[..len]);
        handle.step();
    }
    assert!(read == text);
    assert_eq!(console.read(PORT, &mut piece), Ok(0));
}

#[test]
fn a_stuck_terminal_takes_what_fits_and_no_more() {
    let (mut console, handle) = start(Options::default());
    handle.with(|terminal| terminal.stuck = true);
    assert_eq!(
        console.write(PORT, &[b'x'; 10_000]),
        Ok(8 * SIZES.transmit_len)
    );
    assert_eq!(console.write(PORT, b"y"), Ok(0));
    assert!(!console.is_idle(PORT));
    assert!(!console.enable_interrupts());
    handle.with(|terminal| terminal.stuck = false);
    handle.step();
    assert!(handle.queue(1, |q| q.interrupts) > 0);
    assert_eq!(console.write(PORT, b"y"), Ok(1));
    assert!(console.is_idle(PORT));
}

#[test]
fn typing_interrupts() {
    let (mut console, handle) = start(Options::default());
    assert!(!console.enable_interrupts());
    handle.with(|terminal| terminal.keyboard.push_back(b'a'));
    handle.step();
    assert_eq!(handle.queue(0, |q| q.interrupts), 1);
    assert!(console.enable_interrupts());
    // Held, it stays with the device and ends no wait.
    console.hold_input(PORT, true);
    assert!(!console.enable_interrupts());
    console.hold_input(PORT, false);
    assert!(console.enable_interrupts());
}

/// A driver that has read part of the input doesn't wait for more, however small the part.
#[test]
fn what_was_read_in_part_is_not_waited_for() {
    for (typed, part) in [
        (2, 1),
        (20, 10),
        (128, 127),
        (129, 128),
        (300, 128),
        (300, 7),
    ] {
        let (mut console, handle) = start(Options::default());
        let text: Vec<u8> = (0..typed).map(|at| at as u8).collect();
        handle.with(|terminal| terminal.keyboard.extend(&text));
        handle.step();
        let (mut read, mut piece) = (Vec::new(), vec![0; part]);
        while read.len() < typed {
            assert!(console.enable_interrupts(), "{} of {typed}", read.len());
            let len = console.read(PORT, &mut piece).unwrap();
            assert!(len > 0);
            read.extend_from_slice(&piece[..len]);
        }
        assert!(read == text && !console.enable_interrupts());
    }
}

#[test]
fn a_console_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, handle) = connect(memory, Terminal::default(), options);
    let mut console = Console::new(Box::new(transport), memory).unwrap();
    handle.queue(0, |queue| queue.advance(1000));
    assert_eq!(console.read(PORT, &mut [0; 9]), Err(Error::DeviceError));
    assert_eq!(console.write(PORT, b"x"), Err(Error::DeviceError));
    let before = memory.allocated();
    drop(console);
    assert_eq!(memory.allocated(), before);
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        9 => (0..200usize, any::<u32>())
            .prop_map(|(len, claim)| Lie::End { bytes: vec![b'z'; len], claim }),
        1 => (prop_oneof![0..20u32, any::<u32>()], any::<u32>())
            .prop_map(|(id, len)| Lie::Bogus { id, len }),
        1 => Just(Lie::Again),
        1 => any::<u16>().prop_map(Lie::Jump),
        1 => Just(Lie::Swallow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_lying_console_is_survived(script in prop::collection::vec((0..2usize, lie()), 1..60)) {
        let memory = HostMemory::new();
        let mut device = Liar::new(DeviceType::CONSOLE, 0, Vec::new(), vec![8, 2]);
        device.script = script.into();
        let (transport, handle) = connect(memory, device, Options::default());
        let mut console = Console::new(Box::new(transport), memory).unwrap();
        let mut bytes = [0; 300];
        for _ in 0..60 {
            handle.step();
            let read = console.read(PORT, &mut bytes);
            prop_assert!(read.is_ok_and(|len| len <= 300) || !console.is_running());
            let written = console.write(PORT, &bytes);
            prop_assert!(written.is_ok_and(|len| len <= 300) || written == Err(Error::DeviceError));
            let _ = console.enable_interrupts();
        }
        drop(console);
        prop_assert_eq!(memory.allocated(), 0);
    }
}

/// A device with a console, the guest agent's port and one that the test adds later.
fn serial() -> (Console, Handle<Serial>) {
    let memory = HostMemory::new();
    let mut device = Serial::new(31);
    device.ports[0] = Some(SerialPort::console());
    device.ports[3] = Some(SerialPort::named(b"org.qemu.guest_agent.0"));
    let (transport, handle) = connect(memory, device, Options::default());
    (Console::new(Box::new(transport), memory).unwrap(), handle)
}

/// Exchanges messages until both sides have said all.
fn exchange(console: &mut Console, handle: &Handle<Serial>) {
    for _ in 0..4 {
        console.poll().unwrap();
        handle.step();
    }
    console.poll().unwrap();
}

#[test]
fn ports_are_found_by_name_and_carry_bytes_both_ways() {
    let (mut console, handle) = serial();
    assert_eq!(console.console_port(), None);
    exchange(&mut console, &handle);
    assert_eq!(console.console_port(), Some(Port(0)));
    assert_eq!(console.port(b"org.qemu.guest_agent.0"), Some(Port(3)));
    assert_eq!(console.port(b"org.qemu.guest_agent"), None);
    let agent = Port(3);
    assert!(!console.is_host_open(agent));
    assert_eq!(console.write(agent, b"lost"), Ok(0));

    handle.with(|serial| serial.set_host_open(3, true));
    exchange(&mut console, &handle);
    assert!(console.is_host_open(agent));
    handle.with(|serial| serial.port(3).input.extend(b"question"));
    handle.step();
    let mut bytes = [0; 100];
    assert_eq!(
        console.read(agent, &mut bytes),
        Ok(0),
        "the port isn't open"
    );

    console.set_open(agent, true);
    exchange(&mut console, &handle);
    assert_eq!(console.read(agent, &mut bytes), Ok(8));
    assert_eq!(&bytes[..8], b"question");
    assert_eq!(console.write(agent, b"answer"), Ok(6));
    handle.with(|serial| assert_eq!(serial.port(3).output, b"answer"));
    handle.with(|serial| assert!(serial.port(0).output.is_empty()));

    console.set_open(agent, false);
    exchange(&mut console, &handle);
    handle.with(|serial| assert!(!serial.port(3).guest_open));
    handle.with(|serial| assert_eq!(serial.port(3).opens, 2));
}

/// What nobody reads doesn't end a wait, nor does output that was taken back.
#[test]
fn only_an_open_port_ends_a_wait() {
    let (mut console, handle) = serial();
    handle.with(|serial| serial.port(3).host_open = true);
    exchange(&mut console, &handle);
    // QEMU's consoles get input although the driver hasn't opened them.
    handle.with(|serial| {
        serial.port(0).guest_open = true;
        serial.port(0).input.extend(b"typed");
    });
    handle.step();
    assert!(!console.enable_interrupts());
    console.set_open(Port(0), true);
    exchange(&mut console, &handle);
    assert!(console.enable_interrupts());
    assert_eq!(console.read(Port(0), &mut [0; 9]), Ok(5));
    assert!(!console.enable_interrupts());

    console.set_open(Port(3), true);
    exchange(&mut console, &handle);
    assert_eq!(console.write(Port(3), b"answer"), Ok(6));
    handle.step();
    assert!(console.enable_interrupts(), "output is to be taken back");
    assert!(console.is_idle(Port(3)));
    assert!(!console.enable_interrupts());
}

/// A user of a port that polls rarely learns that another host is there.
#[test]
fn a_host_that_returns_between_two_polls_counts() {
    let (mut console, handle) = serial();
    exchange(&mut console, &handle);
    let agent = Port(3);
    assert_eq!(console.host_opens(agent), 0);
    let mut opens = 0;
    for _ in 0..5 {
        handle.with(|serial| {
            serial.set_host_open(3, true);
            serial.set_host_open(3, false);
            serial.set_host_open(3, true);
        });
        exchange(&mut console, &handle);
        opens += 2;
        assert_eq!(console.host_opens(agent), opens);
        handle.with(|serial| {
            serial.remove(3);
            serial.add(3, SerialPort::named(b"org.qemu.guest_agent.0"));
            serial.set_host_open(3, true);
        });
        exchange(&mut console, &handle);
        assert!(console.host_opens(agent) > opens && console.is_host_open(agent));
        opens = console.host_opens(agent);
    }
}

#[test]
fn a_port_comes_and_goes() {
    let (mut console, handle) = serial();
    exchange(&mut console, &handle);
    for _ in 0..40 {
        handle.with(|serial| serial.add(5, SerialPort::named(b"later")));
        exchange(&mut console, &handle);
        assert_eq!(console.port(b"later"), Some(Port(5)));
        console.set_open(Port(5), true);
        exchange(&mut console, &handle);
        handle.with(|serial| assert!(serial.port(5).guest_open));
        // A port that is added later doesn't get the unread input of the removed one.
        handle.with(|serial| serial.port(5).input.extend([b'x'; 200]));
        handle.step();
        assert_eq!(console.read(Port(5), &mut [0; 9]), Ok(9));
        handle.with(|serial| serial.remove(5));
        exchange(&mut console, &handle);
        assert_eq!(console.port(b"later"), None);
        assert_eq!(console.read(Port(5), &mut [0; 9]), Ok(0));
        console.set_open(Port(5), true);
        assert_eq!(console.write(Port(5), b"x"), Ok(0));
    }
}

#[test]
fn all_ports_of_a_full_device_are_ready_and_those_above_the_maximum_unused() {
    let memory = HostMemory::new();
    let mut device = Serial::new(31);
    for number in 0..31 {
        device.ports[number] = Some(SerialPort::named(&[b'a' + number as u8]));
    }
    let (transport, handle) = connect(memory, device, Options::default());
    let mut console = Console::new(Box::new(transport), memory).unwrap();
    exchange(&mut console, &handle);
    for number in 0..31 {
        let used = number < MAX_PORTS as usize;
        let port = console.port(&[b'a' + number as u8]);
        assert_eq!(port, used.then_some(Port(number)));
        handle.with(|serial| assert_eq!(serial.port(number).ready, used));
    }
    handle.with(|serial| assert_eq!(serial.dropped, 0));
}

#[test]
fn a_message_about_a_port_interrupts() {
    let (mut console, handle) = serial();
    exchange(&mut console, &handle);
    while console.enable_interrupts() {
        exchange(&mut console, &handle);
    }
    let before = handle.queue(2, |queue| queue.interrupts);
    handle.with(|serial| serial.set_host_open(3, true));
    handle.step();
    assert_eq!(handle.queue(2, |queue| queue.interrupts), before + 1);
    assert!(console.enable_interrupts());
}

/// Bytes of a control message, mostly a valid one.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let sound = (
        0..12u32,
        0..9u16,
        0..2u16,
        prop::collection::vec(any::<u8>(), 0..90),
    );
    prop_oneof![
        4 => sound.prop_map(|(id, event, value, name)| {
            let mut bytes = id.to_le_bytes().to_vec();
            bytes.extend(event.to_le_bytes());
            bytes.extend(value.to_le_bytes());
            bytes.extend(name);
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..90),
    ]
}

fn port_lie() -> impl Strategy<Value = Lie> {
    let end = (
        message(),
        prop_oneof![3 => Just(None), 1 => any::<u32>().prop_map(Some)],
    );
    Lie::any(
        end.prop_map(|(bytes, claim)| {
            let claim = claim.unwrap_or(bytes.len() as u32);
            Lie::End { bytes, claim }
        }),
        40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn lying_ports_are_survived(
        max_ports in prop_oneof![0..12u32, any::<u32>()],
        script in prop::collection::vec((prop_oneof![Just(2usize), 0..18usize], port_lie()), 1..80),
    ) {
        let memory = HostMemory::new();
        let mut config = vec![0; 4];
        config.extend(max_ports.to_le_bytes());
        let mut device = Liar::new(DeviceType::CONSOLE, MULTIPORT, config, vec![8; 18]);
        device.script = script.into();
        let (transport, handle) = connect(memory, device, Options::default());
        let Ok(mut console) = Console::new(Box::new(transport), memory) else {
            // It lied to the first message.
            prop_assert_eq!(memory.allocated(), 0);
            return Ok(());
        };
        prop_assert!(console.ports.len() <= MAX_PORTS as usize);
        let mut bytes = [0; 300];
        for _ in 0..80 {
            handle.step();
            prop_assert!(console.poll().is_ok() || !console.is_running());
            for number in 0..console.ports.len() {
                let port = Port(number);
                console.set_open(port, true);
                let read = console.read(port, &mut bytes);
                prop_assert!(read.is_ok_and(|len| len <= 300) || !console.is_running());
                let written = console.write(port, &bytes);
                prop_assert!(written.is_ok_and(|len| len <= 300) || !console.is_running());
            }
            let _ = console.enable_interrupts();
        }
        drop(console);
        prop_assert_eq!(memory.allocated(), 0);
    }
}

/// A device whose port 1 is for output.
fn for_output() -> Serial {
    let mut device = Serial::new(2);
    device.ports[1] = Some(SerialPort {
        host_open: true,
        ..SerialPort::named(b"output")
    });
    device
}

fn open<B: Backend + 'static>(
    memory: &'static HostMemory,
    device: B,
) -> (Result<Output, Error>, Handle<B>) {
    let (transport, handle) = connect(memory, device, Options::default());
    (Output::open(Box::new(transport), memory, b"output"), handle)
}

/// Sends `bytes` by one buffer.
fn send(output: &mut Output, bytes: &[u8]) -> Result<bool, Error> {
    output.send(&mut |buffer| {
        buffer[..bytes.len()].copy_from_slice(bytes);
        bytes.len()
    })
}

#[test]
fn output_takes_one_doorbell_for_each_buffer() {
    let (output, handle) = open(HostMemory::new(), for_output());
    let mut output = output.unwrap();
    handle.with(|serial| assert!(serial.port(1).guest_open));
    let rung = || handle.queue(5, |queue| queue.notifications);
    let before = rung();
    let mut expected = Vec::new();
    for number in 0..100u8 {
        let line = [number; 80];
        assert_eq!(send(&mut output, &line), Ok(true));
        expected.extend(line);
    }
    assert_eq!(send(&mut output, &[b'x'; Output::BUFFER]), Ok(true));
    expected.extend([b'x'; Output::BUFFER]);
    assert_eq!(rung(), before + 101);
    assert_eq!((output.in_flight(), output.has_room()), (Ok(0), Ok(true)));
    handle.with(|serial| assert!(serial.port(1).output == expected));
}

#[test]
fn a_port_that_is_stuck_takes_all_buffers_and_no_more() {
    let (output, handle) = open(HostMemory::new(), for_output());
    let mut output = output.unwrap();
    handle.with(|serial| serial.port(1).stuck = true);
    for number in 0..SIZES.transmit_buffers {
        assert_eq!(send(&mut output, &[number as u8]), Ok(true));
    }
    assert_eq!(output.has_room(), Ok(false));
    let sent = output.send(&mut |_| panic!("there is no buffer"));
    assert_eq!((sent, output.in_flight()), (Ok(false), Ok(8)));
    handle.with(|serial| serial.port(1).stuck = false);
    handle.step();
    assert_eq!(output.in_flight(), Ok(0));
    handle.with(|serial| assert_eq!(serial.port(1).output, [0, 1, 2, 3, 4, 5, 6, 7]));
}

/// A device that was stopped sends nothing more: what it hasn't returned is sent by other means.
#[test]
fn what_a_stopped_device_had_is_taken_back_in_order() {
    let (output, handle) = open(HostMemory::new(), for_output());
    let mut output = output.unwrap();
    assert_eq!(send(&mut output, b"sent"), Ok(true));
    handle.with(|serial| serial.port(1).stuck = true);
    for text in ["one", "two", "three"] {
        assert_eq!(send(&mut output, text.as_bytes()), Ok(true));
    }
    assert_eq!(output.take_unsent(), None, "the device runs");
    output.stop();
    handle.with(|serial| serial.port(1).stuck = false);
    handle.step();
    let unsent: Vec<u8> = core::iter::from_fn(|| output.take_unsent()).collect();
    assert_eq!(unsent, b"onetwothree");
    assert_eq!(send(&mut output, b"more"), Err(Error::DeviceError));
    assert_eq!(output.take_unsent(), None);
    handle.with(|serial| assert_eq!(serial.port(1).output, b"sent"));
}

/// Neither the stop nor what follows waits for the device.
#[test]
fn output_of_a_device_that_does_not_reset_is_taken_back() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, handle) = connect(memory, Terminal::default(), options);
    let mut output = Output::open(Box::new(transport), memory, b"").unwrap();
    handle.with(|terminal| terminal.stuck = true);
    assert_eq!(send(&mut output, b"text"), Ok(true));
    let [first, second] = [memory.now_ns(), memory.now_ns()];
    output.stop();
    assert_eq!(memory.now_ns() - second, second - first, "it has waited");
    let unsent: Vec<u8> = core::iter::from_fn(|| output.take_unsent()).collect();
    assert_eq!(unsent, b"text");
}

#[test]
fn output_without_multiport_goes_to_the_only_port() {
    let (output, handle) = open(HostMemory::new(), Terminal::default());
    assert_eq!(send(&mut output.unwrap(), b"text"), Ok(true));
    handle.with(|terminal| assert_eq!(terminal.screen, b"text"));
}

#[test]
fn a_device_without_the_open_port_is_given_up() {
    let memory = HostMemory::new();
    let mut closed = for_output();
    closed.ports[1].as_mut().expect("a port").host_open = false;
    let mut other = for_output();
    other.ports[1].as_mut().expect("a port").name = b"other".to_vec();
    let mut console = Serial::new(2);
    console.ports[0] = Some(SerialPort::console());
    for device in [closed, other, console] {
        let (output, _) = open(memory, device);
        assert_eq!(output.err(), Some(Error::NoResponse));
        assert_eq!(memory.allocated(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Each call returns, and after the first error all fail.
    #[test]
    fn output_survives_a_lying_device(
        script in prop::collection::vec((Just(1usize), lie()), 1..60),
        steps in 1..100usize,
    ) {
        let memory = HostMemory::new();
        let mut device = Liar::new(DeviceType::CONSOLE, 0, Vec::new(), vec![8, 8]);
        device.script = script.into();
        let (output, handle) = open(memory, device);
        let mut output = output.expect("the lies are about output");
        let mut has_failed = false;
        for _ in 0..steps {
            handle.step();
            let calls = [
                send(&mut output, b"text").map(|_| ()),
                output.in_flight().map(|count| assert!(count <= 8)),
                output.has_room().map(|_| ()),
            ];
            for call in calls {
                prop_assert!(!(has_failed && call.is_ok()));
                has_failed |= call.is_err();
            }
        }
        drop(output);
        prop_assert_eq!(memory.allocated(), 0);
    }
}
