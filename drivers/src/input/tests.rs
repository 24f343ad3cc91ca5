use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{ABS, Description, Event, Input, KEY, LED, MAX_GROUP, REL, SYN, SYN_DROPPED};
use crate::Error;
use crate::device_type::DeviceType;
use crate::fake::{Handle, HostMemory, Keyboard, Liar, Lie, Options, connect};

/// `SYN_REPORT`, as the fake sends it and as it is reported.
const END: (u16, u16, i32) = (SYN, 0, 0);
const LOSS: (u16, u16, i32) = (SYN, SYN_DROPPED, 0);

fn start(keyboard: Keyboard, options: Options) -> (Input, Handle<Keyboard>) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, keyboard, options);
    let input = Input::new(Box::new(transport), memory).unwrap();
    (input, handle)
}

fn poll(input: &mut Input) -> Vec<(u16, u16, i32)> {
    let mut events = Vec::new();
    input.poll(&mut |Event { kind, code, value }| events.push((kind, code, value)));
    events
}

fn send(handle: &Handle<Keyboard>, groups: &[&[(u16, u16, i32)]]) {
    handle.with(|keyboard| keyboard.groups = groups.iter().map(|g| g.to_vec()).collect());
    handle.step();
}

#[test]
fn a_device_tells_what_it_is() {
    let (input, _) = start(Keyboard::default(), Options::default());
    let Description {
        name,
        serial,
        ids,
        properties,
        keys,
        relative,
        absolute,
        switches,
        leds,
        repeats,
    } = input.description();
    assert_eq!((name.as_str(), serial.as_str()), ("Fake keyboard", "17?"));
    assert_eq!(*ids, [6, 0x627, 1, 2]);
    assert_eq!(*properties, [1]);
    assert_eq!(*keys, [1, 30, 31, 32, 0x110]);
    assert_eq!(*relative, [8]);
    assert_eq!(
        (switches.len(), &leds[..], *repeats),
        (0, &[0, 1][..], true)
    );
    let axis = absolute[1];
    assert_eq!((axis.code, axis.minimum, axis.maximum), (1, 0, 32767));
    assert_eq!((axis.fuzz, axis.flat, axis.resolution), (1, 2, 3));
    assert_eq!(absolute.len(), 2);
}

#[test]
fn events_come_in_whole_groups() {
    for options in Options::modern() {
        let (mut input, handle) = start(Keyboard::default(), options);
        send(
            &handle,
            &[&[(KEY, 30, 1), END], &[(ABS, 0, 7), (ABS, 1, 8)]],
        );
        assert_eq!(poll(&mut input), [(KEY, 30, 1), END]);
        assert!(!input.has_pending());
        send(&handle, &[&[(REL, 8, -1), END]]);
        let rest = [(ABS, 0, 7), (ABS, 1, 8), (REL, 8, -1), END];
        assert_eq!(poll(&mut input), rest);
        assert_eq!(poll(&mut input), []);
    }
}

#[test]
fn a_key_alternates_and_unannounced_codes_are_dropped() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    send(
        &handle,
        &[
            &[(KEY, 30, 1), END],
            &[(KEY, 30, 1), END],
            &[(KEY, 30, 2), END],
            &[(KEY, 31, 0), (KEY, 33, 1), (KEY, u16::MAX, 1), END],
            &[(REL, 0, 1), (ABS, 2, 1), (LED, 0, 1), (9, 9, 9), END],
            &[(KEY, 30, 0), END],
            &[(KEY, 30, 0), END],
        ],
    );
    let expected = [(KEY, 30, 1), END, (KEY, 30, 0), END];
    assert_eq!(poll(&mut input), expected);
}

#[test]
fn a_waiting_driver_is_interrupted_by_an_event() {
    for options in Options::modern() {
        let (mut input, handle) = start(Keyboard::default(), options);
        assert!(!input.enable_interrupts());
        send(&handle, &[&[(KEY, 30, 1), END]]);
        let interrupts = || handle.queue(0, |queue| queue.interrupts);
        assert!(interrupts() > 0);
        assert!(input.has_pending() && input.enable_interrupts());
        assert_eq!(poll(&mut input).len(), 2);
        input.disable_interrupts();
        let before = interrupts();
        send(&handle, &[&[(KEY, 30, 0), END]]);
        assert_eq!(interrupts(), before);
    }
}

#[test]
fn used_up_buffers_are_a_loss_after_which_keys_are_released() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    let mut groups: Vec<&[_]> = vec![&[(KEY, 30, 1), END]];
    groups.extend([&[(REL, 8, 1), END][..]; 40]);
    send(&handle, &groups);
    assert_eq!(handle.with(|keyboard| keyboard.dropped), 9);
    let events = poll(&mut input);
    assert_eq!(events.len(), 64 + 2);
    assert_eq!(events[64..], [LOSS, END]);
    // No longer pressed, as far as the driver knows.
    send(&handle, &[&[(KEY, 30, 1), END]]);
    assert_eq!(poll(&mut input), [(KEY, 30, 1), END]);
}

#[test]
fn a_group_that_a_loss_cuts_is_dropped_whole() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    send(&handle, &[&[(REL, 8, 1); 64]]);
    assert_eq!(poll(&mut input), [LOSS, END]);
    send(&handle, &[&[(REL, 8, 2), END], &[(REL, 8, 3), END]]);
    assert_eq!(poll(&mut input), [(REL, 8, 3), END]);
}

#[test]
fn a_group_without_an_end_takes_no_more_memory() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    let mut reported = Vec::new();
    for _ in 0..20 {
        send(&handle, &[&[(REL, 8, 1); 60]]);
        reported.extend(poll(&mut input));
    }
    assert_eq!(reported, [LOSS, END]);
    assert!(input.group.capacity() <= 2 * MAX_GROUP);
    send(&handle, &[&[END], &[(REL, 8, 3), END]]);
    assert_eq!(poll(&mut input), [(REL, 8, 3), END]);
}

#[test]
fn the_devices_own_word_of_a_loss_is_passed_on() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    send(&handle, &[&[(REL, 8, 1), LOSS, (REL, 8, 2), END]]);
    assert_eq!(poll(&mut input), [LOSS, END]);
    send(&handle, &[&[(REL, 8, 3), END]]);
    assert_eq!(poll(&mut input), [(REL, 8, 3), END]);
}

#[test]
fn only_the_last_state_of_a_light_is_sent() {
    for options in Options::modern() {
        let (mut input, handle) = start(Keyboard::default(), options);
        assert!(input.set_led(1, true));
        assert!(!input.set_led(2, true), "not one of its lights");
        assert!(!input.set_led(u16::MAX, true));
        assert_eq!(handle.with(|k| k.statuses.split_off(0)), [(LED, 1, 1)]);
        handle.with(|keyboard| keyboard.stuck = true);
        for on in [false, true, false] {
            poll(&mut input);
            assert!(input.set_led(1, on) && input.set_led(0, !on));
        }
        handle.with(|keyboard| keyboard.stuck = false);
        handle.step();
        poll(&mut input);
        handle.step();
        let statuses = handle.with(|keyboard| keyboard.statuses.split_off(0));
        let last = |led| statuses.iter().rfind(|(_, code, _)| *code == led);
        assert_eq!(last(0), Some(&(LED, 0, 1)));
        assert_eq!(last(1), Some(&(LED, 1, 0)));
        assert!(statuses.len() <= 4, "{statuses:?}");
    }
}

#[test]
fn a_description_is_checked() {
    let change = |select, subsel, bytes: &[u8]| {
        let mut keyboard = Keyboard::default();
        keyboard.config.insert((select, subsel), bytes.to_vec());
        start(keyboard, Options::default()).0.description().clone()
    };
    // Limited by the reported size and by the maximum.
    assert_eq!(change(0x01, 0, &[b'x'; 255]).name.len(), 128);
    assert_eq!(change(0x01, 0, b"a\x1b[2Jb\xff").name, "a?[2Jb?");
    assert_eq!(change(0x03, 0, &[1]).ids, [0; 4]);
    assert_eq!(change(0x11, 1, &[0xff; 128]).keys.len(), 0x300);
    assert_eq!(change(0x11, 0x11, &[0xff; 128]).leds.len(), 16);
    // An invalid range.
    let range = [5, 0, 0, 0, 5, 0, 0, 0];
    assert_eq!(change(0x12, 0, &range).absolute.len(), 1);
    assert_eq!(change(0x12, 0, &range[..7]).absolute.len(), 1);
}

#[test]
fn a_device_without_its_configuration_is_refused() {
    for len in [0, 1, 2, 8] {
        let memory = HostMemory::new();
        let liar = Liar::new(DeviceType::INPUT, 0, vec![0x7f; len], vec![64, 64]);
        let (transport, _) = connect(memory, liar, Options::default());
        let refused = Input::new(Box::new(transport), memory).err();
        assert_eq!(refused, Some(Error::BadConfig), "{len} bytes");
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn a_short_event_breaks_the_protocol() {
    let (mut input, handle) = start(Keyboard::default(), Options::default());
    handle.with(|keyboard| keyboard.claim = 7);
    send(&handle, &[&[(KEY, 30, 1), END]]);
    assert_eq!(poll(&mut input), [LOSS, END]);
    assert!(!input.is_running() && handle.resets() == 2);
    assert_eq!(poll(&mut input), [], "once");
    assert!(!input.set_led(0, true) && !input.enable_interrupts());
}

#[test]
fn a_device_that_does_not_reset_keeps_its_memory() {
    let memory = HostMemory::new();
    let options = Options {
        never_resets: true,
        ..Options::default()
    };
    let (transport, _) = connect(memory, Keyboard::default(), options);
    let input = Input::new(Box::new(transport), memory).unwrap();
    let before = memory.allocated();
    drop(input);
    assert_eq!(memory.allocated(), before);
    let (transport, _) = connect(memory, Keyboard::default(), Options::default());
    drop(Input::new(Box::new(transport), memory).unwrap());
    assert_eq!(memory.allocated(), before);
}

fn lie() -> impl Strategy<Value = (usize, Lie)> {
    let end = (prop::collection::vec(0..4u8, 0..12), 0..12u32)
        .prop_map(|(bytes, claim)| Lie::End { bytes, claim });
    (0..2usize, Lie::any(end, 6))
}

proptest! {
    #[test]
    fn a_lying_device_is_survived(
        script in prop::collection::vec(lie(), 1..60),
        config in prop::collection::vec(any::<u8>(), 136),
        never_resets in any::<bool>(),
    ) {
        let memory = HostMemory::new();
        let mut liar = Liar::new(DeviceType::INPUT, 0, config, vec![8, 8]);
        liar.script.extend(script);
        let steps = liar.script.len();
        let options = Options { never_resets, ..Options::default() };
        let (transport, handle) = connect(memory, liar, options);
        let mut input = Input::new(Box::new(transport), memory).unwrap();
        let mut open = false;
        for _ in 0..steps {
            input.set_led(0, true);
            input.set_led(0, false);
            handle.step();
            input.poll(&mut |event| open = event != Event::REPORT);
            prop_assert!(!open, "a group that has no end");
            let _ = input.enable_interrupts();
        }
        let (kept, running) = (memory.allocated(), input.is_running());
        drop(input);
        prop_assert_eq!(memory.allocated(), if never_resets { kept } else { 0 });
        prop_assert!(running || handle.resets() > 1);
    }
}
