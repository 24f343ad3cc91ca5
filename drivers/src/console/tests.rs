use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Console, TRANSMIT_LEN};
use crate::Error;
use crate::device_type::DeviceType;
use crate::fake::{Handle, HostMemory, Liar, Lie, Options, Terminal, connect};

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
        assert_eq!(console.write(&text), Ok(2000));
    }
    assert!(console.is_idle());
    handle.with(|terminal| assert!(terminal.screen == text.repeat(10)));
    handle.with(|terminal| terminal.keyboard.extend(&text));
    handle.step();
    let mut read = Vec::new();
    let mut piece = [0; 100];
    while read.len() < text.len() {
        let len = console.read(&mut piece).unwrap();
        assert!(len > 0);
        read.extend_from_slice(&piece[..len]);
        handle.step();
    }
    assert!(read == text);
    assert_eq!(console.read(&mut piece), Ok(0));
}

#[test]
fn a_stuck_terminal_takes_what_fits_and_no_more() {
    let (mut console, handle) = start(Options::default());
    handle.with(|terminal| terminal.stuck = true);
    assert_eq!(console.write(&[b'x'; 10_000]), Ok(8 * TRANSMIT_LEN));
    assert_eq!(console.write(b"y"), Ok(0));
    assert!(!console.is_idle());
    assert!(!console.enable_interrupts());
    handle.with(|terminal| terminal.stuck = false);
    handle.step();
    assert!(handle.queue(1, |q| q.interrupts) > 0);
    assert_eq!(console.write(b"y"), Ok(1));
    assert!(console.is_idle());
}

#[test]
fn typing_interrupts() {
    let (mut console, handle) = start(Options::default());
    assert!(!console.enable_interrupts());
    handle.with(|terminal| terminal.keyboard.push_back(b'a'));
    handle.step();
    assert_eq!(handle.queue(0, |q| q.interrupts), 1);
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
            let len = console.read(&mut piece).unwrap();
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
    assert_eq!(console.read(&mut [0; 9]), Err(Error::DeviceError));
    assert_eq!(console.write(b"x"), Err(Error::DeviceError));
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
            let read = console.read(&mut bytes);
            prop_assert!(read.is_ok_and(|len| len <= 300) || !console.is_running());
            let written = console.write(&bytes);
            prop_assert!(written.is_ok_and(|len| len <= 300) || written == Err(Error::DeviceError));
            let _ = console.enable_interrupts();
        }
        drop(console);
        prop_assert_eq!(memory.allocated(), 0);
    }
}
