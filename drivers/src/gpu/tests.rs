use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::damage::merge;
use super::protocol::{DISPLAY_INFO, Kind, MAX_RESPONSE};
use super::{
    CHECK_AFTER, CURSOR_SIZE, Event, Gpu, GpuError, MAX_PRESENTS, Rectangle, SIDE, feature,
};
use crate::Error;
use crate::device_type::DeviceType;
use crate::fake::{
    Adapter, Handle, HostMemory, Liar, Lie, Options, Pointer, Screen, connect, edid,
};

pub mod hostile;
mod refusals;

const WIDTH: u32 = 64;
const HEIGHT: u32 = 48;
const PIXELS: usize = (WIDTH * HEIGHT) as usize;

fn start(adapter: Adapter, options: Options) -> (Gpu, Handle<Adapter>, &'static HostMemory) {
    let memory = HostMemory::new();
    let (transport, handle) = connect(memory, adapter, options);
    let mut gpu = Gpu::new(Box::new(transport), memory).unwrap();
    while !gpu.is_ready() {
        // Reports the initial displays.
        poll(&mut gpu);
    }
    (gpu, handle, memory)
}

fn one() -> Adapter {
    Adapter::new(&[Some((640, 480))])
}

fn poll(gpu: &mut Gpu) -> Vec<Event> {
    let mut events = Vec::new();
    gpu.poll(&mut |event| events.push(event));
    events
}

/// Polls until all consecutive queries have their responses.
fn polls(gpu: &mut Gpu) -> Vec<Event> {
    (0..6).flat_map(|_| poll(gpu)).collect()
}

/// A frame buffer of the test's size, by its number and its pixels.
fn buffer(gpu: &mut Gpu) -> (u32, &'static mut [u32]) {
    let (number, pixels) = gpu.create(WIDTH, HEIGHT).unwrap();
    // SAFETY: the tests release no buffer that they still use.
    let pixels = unsafe { core::slice::from_raw_parts_mut(pixels.as_ptr(), PIXELS) };
    (number, pixels)
}

fn all() -> Rectangle {
    Rectangle::of(u32::MAX, u32::MAX)
}

fn presented(tag: u64, result: Result<(), GpuError>) -> Event {
    Event::Presented {
        scanout: 0,
        tag,
        result,
    }
}

/// Presents, and returns the result.
fn show(gpu: &mut Gpu, number: u32, damage: &[Rectangle]) -> Result<(), GpuError> {
    gpu.present(0, number, damage, 7)?;
    gpu.kick();
    let events = poll(gpu);
    match events[..] {
        [Event::Presented { tag: 7, result, .. }] => result,
        _ => panic!("{events:?}"),
    }
}

/// The types of the commands since the last call.
fn commands(handle: &Handle<Adapter>) -> Vec<u32> {
    handle.with(|adapter| adapter.commands.split_off(0))
}

fn screen(handle: &Handle<Adapter>) -> Screen {
    handle.with(|adapter| adapter.screens[0].clone())
}

#[test]
fn displays_are_known_at_the_start() {
    for options in Options::modern() {
        let sizes = [Some((1280, 800)), None, Some((0, 9))];
        let (gpu, handle, _) = start(Adapter::new(&sizes), options);
        assert_eq!(gpu.scanouts(), 3);
        let found: Vec<_> = (0..4).map(|scanout| gpu.size(scanout)).collect();
        assert_eq!(found, [Some((1280, 800)), None, None, None]);
        let monitor = super::edid::parse(gpu.edid(0)).unwrap();
        assert_eq!(monitor.name.as_deref(), Some("Fake screen"));
        assert!(gpu.edid(1).is_empty() && gpu.edid(9).is_empty());
        assert_eq!(commands(&handle), [0x100, 0x10a], "one EDID");
    }
}

#[test]
fn a_first_picture_is_copied_whole_and_then_its_damage() {
    for options in Options::modern() {
        let (mut gpu, handle, _) = start(one(), options);
        let (number, pixels) = buffer(&mut gpu);
        commands(&handle);
        pixels.fill(0x00ff_0000);
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(commands(&handle), [0x101, 0x106, 0x105, 0x103, 0x104]);
        assert_eq!(screen(&handle).pixels, vec![0x00ff_0000; PIXELS]);

        // Only the damage is copied.
        pixels.fill(0x0000_ff00);
        let damage = Rectangle {
            x: 60,
            y: 40,
            width: 100,
            height: 2,
        };
        show(&mut gpu, number, &[damage]).unwrap();
        assert_eq!(commands(&handle), [0x105, 0x104]);
        let shown = screen(&handle);
        let changed = |at: &usize| shown.pixels[*at] == 0x0000_ff00;
        let changed: Vec<usize> = (0..PIXELS).filter(changed).collect();
        let row = |y: usize| y * WIDTH as usize + 60..(y + 1) * WIDTH as usize;
        assert_eq!(changed, row(40).chain(row(41)).collect::<Vec<_>>());

        // Without effective damage nothing is copied.
        let outside = Rectangle { x: WIDTH, ..damage };
        show(&mut gpu, number, &[outside]).unwrap();
        assert_eq!(commands(&handle), []);
    }
}

#[test]
fn a_device_is_left_and_taken_up_again() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (number, pixels) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    gpu.present(0, number, &[all()], 9).unwrap();
    gpu.suspend();
    let ended = presented(9, Err(GpuError::DeviceError));
    assert_eq!(poll(&mut gpu), [ended]);
    assert_eq!(gpu.size(0), Some((640, 480)));
    assert_eq!(gpu.present(0, number, &[], 1), Err(GpuError::DeviceError));
    for pixel in 1..4 {
        gpu.resume().unwrap();
        while !gpu.is_ready() {
            assert_eq!(poll(&mut gpu), []);
        }
        pixels.fill(pixel);
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(screen(&handle).pixels, vec![pixel; PIXELS]);
        gpu.set_cursor(0, &[1; CURSOR_SIZE * CURSOR_SIZE], (0, 0))
            .unwrap();
        polls(&mut gpu);
        assert!(screen(&handle).cursor.is_some());
        gpu.suspend();
    }
}

#[test]
fn two_buffers_take_turns() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (first, of_first) = buffer(&mut gpu);
    let (second, of_second) = buffer(&mut gpu);
    of_first.fill(1);
    of_second.fill(2);
    for (number, pixel) in [(first, 1), (second, 2), (first, 1)] {
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(screen(&handle).pixels, vec![pixel; PIXELS]);
    }
    commands(&handle);
    of_second.fill(3);
    show(&mut gpu, second, &[all()]).unwrap();
    assert_eq!(commands(&handle), [0x105, 0x103, 0x104]);
    assert_eq!(screen(&handle).pixels, vec![3; PIXELS]);
}

#[test]
fn a_blob_is_shown_in_place() {
    let mut adapter = one();
    adapter.features |= feature::RESOURCE_BLOB;
    let (mut gpu, handle, memory) = start(adapter, Options::default());
    let (number, pixels) = buffer(&mut gpu);
    commands(&handle);
    pixels.fill(5);
    show(&mut gpu, number, &[]).unwrap();
    assert_eq!(commands(&handle), [0x10c, 0x10d, 0x104]);
    pixels.fill(6);
    show(&mut gpu, number, &[all()]).unwrap();
    assert_eq!(commands(&handle), [0x104]);
    assert_eq!(screen(&handle).pixels, vec![6; PIXELS]);
    gpu.release(number);
    poll(&mut gpu);
    drop(gpu);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn another_size_is_another_mode() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (small, _) = buffer(&mut gpu);
    show(&mut gpu, small, &[]).unwrap();
    let (large, _) = gpu.create(128, 96).unwrap();
    show(&mut gpu, large, &[]).unwrap();
    let Screen { width, height, .. } = screen(&handle);
    assert_eq!((width, height), (128, 96));
    gpu.release(small);
    poll(&mut gpu);
    assert_eq!(screen(&handle).resource, large, "still shown");
}

#[test]
fn impossible_sizes_and_numbers_are_refused() {
    let (mut gpu, handle, memory) = start(one(), Options::default());
    let before = memory.allocated();
    let (least, most) = (*SIDE.start(), *SIDE.end());
    for (width, height) in [(0, 64), (64, least - 1), (most + 1, 64), (64, u32::MAX)] {
        assert_eq!(gpu.create(width, height), Err(GpuError::Invalid));
    }
    assert_eq!(memory.allocated(), before);
    let (number, _) = buffer(&mut gpu);
    assert_eq!(gpu.present(1, number, &[], 0), Err(GpuError::Invalid));
    assert_eq!(gpu.present(0, number + 1, &[], 0), Err(GpuError::Invalid));
    gpu.release(number);
    assert_eq!(gpu.present(0, number, &[], 0), Err(GpuError::Invalid));
    assert_eq!(memory.allocated(), before, "never the device's");
    gpu.release(number);
    assert_eq!(gpu.disable(1), Err(GpuError::Invalid));
    commands(&handle);
    gpu.disable(0).unwrap();
    assert_eq!(commands(&handle), [], "nothing is shown");
}

#[test]
fn presents_end_in_order_and_are_bounded() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (number, _) = buffer(&mut gpu);
    handle.with(|adapter| adapter.left = 0);
    for tag in 0..MAX_PRESENTS as u64 {
        gpu.present(0, number, &[all()], tag).unwrap();
    }
    assert_eq!(gpu.present(0, number, &[all()], 9), Err(GpuError::Busy));
    gpu.kick();
    assert_eq!(poll(&mut gpu), []);
    handle.with(|adapter| adapter.left = usize::MAX);
    handle.step();
    assert_eq!(poll(&mut gpu), [presented(0, Ok(())), presented(1, Ok(()))]);
    show(&mut gpu, number, &[]).unwrap();
}

#[test]
fn a_waiting_driver_is_interrupted_by_the_end_of_a_present() {
    for options in Options::modern() {
        let options = Options {
            only_steps: true,
            ..options
        };
        let memory = HostMemory::new();
        let (transport, handle) = connect(memory, one(), options);
        let mut gpu = Gpu::new(Box::new(transport), memory).unwrap();
        for _ in 0..3 {
            handle.step();
            poll(&mut gpu);
        }
        assert!(gpu.is_ready());
        let (number, _) = buffer(&mut gpu);
        gpu.present(0, number, &[], 1).unwrap();
        gpu.kick();
        assert!(!gpu.enable_interrupts() && !gpu.has_pending());
        let before = handle.queue(0, |queue| queue.interrupts);
        handle.step();
        assert!(handle.queue(0, |queue| queue.interrupts) > before);
        assert!(gpu.has_pending() && gpu.enable_interrupts());
        assert_eq!(poll(&mut gpu), [presented(1, Ok(()))]);
        assert!(!gpu.enable_interrupts());
    }
}

#[test]
fn memory_is_freed_when_the_device_has_let_go_of_it() {
    let (mut gpu, handle, memory) = start(one(), Options::default());
    let before = memory.allocated();
    let (number, _) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    handle.with(|adapter| adapter.left = 0);
    gpu.present(0, number, &[all()], 1).unwrap();
    gpu.release(number);
    poll(&mut gpu);
    assert!(memory.allocated() > before, "the device may still read it");
    handle.with(|adapter| adapter.left = usize::MAX);
    handle.step();
    assert_eq!(poll(&mut gpu), [presented(1, Ok(()))]);
    assert_eq!(memory.allocated(), before);
    assert_eq!(handle.with(|adapter| adapter.resources()), 0);
    assert_eq!(screen(&handle).resource, 0);
}

#[test]
fn many_buffers_leave_memory_as_it_was() {
    let (mut gpu, handle, memory) = start(one(), Options::default());
    let before = memory.allocated();
    for _ in 0..1000 {
        let (number, _) = buffer(&mut gpu);
        show(&mut gpu, number, &[all()]).unwrap();
        gpu.release(number);
        poll(&mut gpu);
    }
    assert_eq!(memory.allocated(), before);
    assert_eq!(handle.with(|adapter| adapter.resources()), 0);
    assert_eq!(gpu.control.unfinished(), 0);
}

#[test]
fn a_refused_buffer_fails_its_present_and_is_tried_again() {
    let cases = [
        (0x101, 0x1201, GpuError::HostOutOfMemory),
        (0x106, 0x1200, GpuError::Refused(0x1200)),
        (0x105, 0x1200, GpuError::Refused(0x1200)),
        (0x103, 0x1202, GpuError::Refused(0x1202)),
        (0x104, 0x1203, GpuError::Refused(0x1203)),
    ];
    for (kind, answer, error) in cases {
        let (mut gpu, handle, memory) = start(one(), Options::default());
        let before = memory.allocated();
        let (number, pixels) = buffer(&mut gpu);
        pixels.fill(9);
        handle.with(|adapter| adapter.refuse.insert(kind, answer));
        assert_eq!(show(&mut gpu, number, &[]), Err(error), "{kind:#x}");
        assert!(gpu.is_running());
        handle.with(|adapter| adapter.refuse.clear());
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(screen(&handle).pixels, vec![9; PIXELS], "{kind:#x}");
        gpu.release(number);
        poll(&mut gpu);
        assert_eq!(memory.allocated(), before);
    }
}

#[test]
fn a_buffer_that_the_device_keeps_is_never_used_again() {
    let (mut gpu, handle, memory) = start(one(), Options::default());
    let (number, _) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    let before = memory.allocated();
    handle.with(|adapter| adapter.refuse.insert(0x102, 0x1200));
    gpu.release(number);
    poll(&mut gpu);
    assert_eq!(memory.allocated(), before);
    // The device never creates this one.
    handle.with(|adapter| adapter.refuse.insert(0x101, 0x1201));
    let (number, _) = buffer(&mut gpu);
    assert!(show(&mut gpu, number, &[]).is_err());
    gpu.release(number);
    poll(&mut gpu);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn a_resize_is_reported_once() {
    let (mut gpu, handle, _) = start(Adapter::new(&[Some((640, 480)), None]), Options::default());
    handle.with(|adapter| {
        adapter.sizes = vec![Some((800, 600)), None];
        adapter.events = 1;
    });
    assert_eq!(poll(&mut gpu), [], "nothing was asked");
    gpu.check_config();
    assert_eq!(polls(&mut gpu), [Event::Changed { scanout: 0 }]);
    assert_eq!((gpu.size(0), gpu.size(1)), (Some((800, 600)), None));
    gpu.check_config();
    assert_eq!(poll(&mut gpu), []);
    // Plugged in, and another monitor.
    handle.with(|adapter| {
        adapter.sizes[1] = Some((320, 200));
        adapter.edids[0] = edid("Another", 800, 600);
        adapter.events = 1;
    });
    gpu.check_config();
    let changed = [0, 1].map(|scanout| Event::Changed { scanout });
    assert_eq!(polls(&mut gpu), changed);
    assert_eq!(gpu.size(1), Some((320, 200)));
}

#[test]
fn a_caller_that_never_waits_learns_of_a_resize_after_some_pictures() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (number, _) = buffer(&mut gpu);
    for size in [(800, 600), (320, 200)] {
        handle.with(|adapter| {
            adapter.sizes[0] = Some(size);
            adapter.events = 1;
        });
        for _ in 1..CHECK_AFTER {
            show(&mut gpu, number, &[]).unwrap();
            assert_eq!(polls(&mut gpu), [], "the device is asked too often");
        }
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(polls(&mut gpu), [Event::Changed { scanout: 0 }]);
        assert_eq!(gpu.size(0), Some(size));
    }
}

#[test]
fn a_change_during_a_query_is_asked_for_again() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    handle.with(|adapter| (adapter.left, adapter.events) = (0, 1));
    gpu.check_config();
    handle.with(|adapter| (adapter.sizes[0], adapter.events) = (None, 1));
    gpu.check_config();
    handle.with(|adapter| {
        adapter.left = usize::MAX;
        adapter.sizes[0] = Some((100, 100));
    });
    handle.step();
    assert_eq!(polls(&mut gpu), [Event::Changed { scanout: 0 }]);
    let asked = commands(&handle)
        .iter()
        .filter(|kind| **kind == 0x100)
        .count();
    assert_eq!(asked, 3);
}

#[test]
fn a_display_that_does_not_tell_its_size_is_off() {
    for kind in [0x100, 0x10a] {
        let mut adapter = one();
        adapter.refuse.insert(kind, 0x1200);
        let (gpu, _, _) = start(adapter, Options::default());
        assert_eq!(gpu.size(0).is_some(), kind == 0x10a);
        assert!(gpu.edid(0).is_empty());
    }
}

#[test]
fn a_cursor_is_shown_when_the_host_has_its_image() {
    for options in Options::modern() {
        let (mut gpu, handle, memory) = start(one(), options);
        let before = memory.allocated();
        gpu.move_cursor(0, 9, 9);
        gpu.hide_cursor(0);
        assert!(gpu.cursors.is_idle() && screen(&handle).cursor.is_none());
        let image = [0xff12_3456; CURSOR_SIZE * CURSOR_SIZE];
        gpu.set_cursor(0, &image, (3, 10)).unwrap();
        poll(&mut gpu);
        let at = (6, 9u32.wrapping_sub(10));
        let shown = Some(Pointer {
            image: image.to_vec(),
            place: at,
            hot_spot: (3, 10),
        });
        assert_eq!(screen(&handle).cursor, shown);
        gpu.move_cursor(0, 100, 50);
        poll(&mut gpu);
        assert_eq!(screen(&handle).cursor.unwrap().place, (97, 40));
        gpu.hide_cursor(0);
        poll(&mut gpu);
        assert_eq!(screen(&handle).cursor, None);
        let wrong = CURSOR_SIZE as u32;
        assert_eq!(
            gpu.set_cursor(0, &image, (0, wrong)),
            Err(GpuError::Invalid)
        );
        assert_eq!(gpu.set_cursor(1, &image, (0, 0)), Err(GpuError::Invalid));
        drop(gpu);
        assert!(before > 0);
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn of_many_changes_of_a_cursor_the_last_counts() {
    let (mut gpu, handle, memory) = start(one(), Options::default());
    handle.with(|adapter| adapter.left = 0);
    let image = |pixel| [pixel; CURSOR_SIZE * CURSOR_SIZE];
    gpu.set_cursor(0, &image(0), (0, 0)).unwrap();
    let allocated = memory.allocated();
    for pixel in 1..100 {
        gpu.set_cursor(0, &image(pixel), (pixel % 64, 0)).unwrap();
        gpu.move_cursor(0, 200 + pixel, 300);
    }
    assert_eq!(memory.allocated(), allocated);
    handle.with(|adapter| adapter.left = usize::MAX);
    handle.step();
    for _ in 0..4 {
        poll(&mut gpu);
    }
    let shown = Some(Pointer {
        image: image(99).to_vec(),
        place: (299 - 35, 300),
        hot_spot: (35, 0),
    });
    assert_eq!(screen(&handle).cursor, shown);
    let commands = commands(&handle);
    let count = |kind| commands.iter().filter(|k| **k == kind).count();
    // The first and the last image are copied.
    assert_eq!((count(0x101), count(0x105)), (1, 2));
}

#[test]
fn a_cursor_that_the_host_refuses_is_not_shown() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    handle.with(|adapter| adapter.refuse.insert(0x101, 0x1201));
    let image = [1; CURSOR_SIZE * CURSOR_SIZE];
    gpu.set_cursor(0, &image, (0, 0)).unwrap();
    poll(&mut gpu);
    gpu.move_cursor(0, 5, 5);
    gpu.hide_cursor(0);
    assert!(gpu.cursors.is_idle() && screen(&handle).cursor.is_none());
    handle.with(|adapter| adapter.refuse.clear());
    gpu.set_cursor(0, &image, (0, 0)).unwrap();
    poll(&mut gpu);
    assert!(screen(&handle).cursor.is_some() && gpu.is_running());
}

fn rectangle() -> impl Strategy<Value = Rectangle> {
    let number = || prop_oneof![0..80u32, any::<u32>()];
    (number(), number(), number(), number()).prop_map(|(x, y, width, height)| Rectangle {
        x,
        y,
        width,
        height,
    })
}

fn covers(of: &[Rectangle], x: u32, y: u32) -> bool {
    let inside = |from: u32, len: u32, at: u32| from <= at && at - from < len;
    of.iter()
        .any(|r| inside(r.x, r.width, x) && inside(r.y, r.height, y))
}

proptest! {
    /// Every damaged pixel on the picture is copied, and no other.
    #[test]
    fn damage_is_covered(damage in prop::collection::vec(rectangle(), 0..40)) {
        let picture = Rectangle::of(WIDTH, HEIGHT);
        let (parts, count) = merge(&damage, picture);
        let parts = &parts[..count];
        for part in parts {
            prop_assert!(part.width > 0 && part.x + part.width <= WIDTH);
            prop_assert!(part.height > 0 && part.y + part.height <= HEIGHT);
        }
        for (x, y) in (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y))) {
            let damaged = covers(&damage, x, y);
            prop_assert!(!damaged || covers(parts, x, y), "{x} {y}");
            prop_assert!(damaged || damage.len() > 16 || !covers(parts, x, y), "{x} {y}");
        }
    }

    /// After each present the screen shows what the program drew, if all of its changes were passed
    /// as damage.
    #[test]
    fn the_screen_shows_what_was_drawn(
        steps in prop::collection::vec(
            (0..3usize, prop::collection::vec(rectangle(), 0..3), any::<u32>()),
            1..30,
        ),
    ) {
        let (mut gpu, handle, _) = start(one(), Options::default());
        let mut buffers: Vec<_> = (0..3).map(|_| buffer(&mut gpu)).collect();
        for (which, parts, color) in steps {
            let (number, pixels) = &mut buffers[which];
            let number = *number;
            for (at, pixel) in pixels.iter_mut().enumerate() {
                if covers(&parts, at as u32 % WIDTH, at as u32 / WIDTH) {
                    *pixel = color;
                }
            }
            let drawn = pixels.to_vec();
            show(&mut gpu, number, &parts).unwrap();
            prop_assert_eq!(&screen(&handle).pixels, &drawn);
        }
    }
}

#[test]
fn every_kind_of_command_has_its_answer() {
    assert_eq!(Kind::GetDisplayInfo.expected(), 0x1101);
    assert_eq!(Kind::GetEdid.expected(), 0x1104);
    assert_eq!(Kind::Flush.expected(), 0x1100);
}
