//! Adapters that refuse commands, or respond late.

use std::boxed::Box;
use std::cell::Cell;
use std::vec;
use std::vec::Vec;

use super::*;

const IMAGE: [u32; CURSOR_SIZE * CURSOR_SIZE] = [7; CURSOR_SIZE * CURSOR_SIZE];

fn blobs() -> (Gpu, Handle<Adapter>, &'static HostMemory) {
    let mut adapter = one();
    adapter.features |= feature::RESOURCE_BLOB;
    start(adapter, Options::default())
}

/// Lets the device perform this many commands.
fn step(handle: &Handle<Adapter>, commands: usize) {
    handle.with(|adapter| adapter.left = commands);
    handle.step();
}

fn refuse(handle: &Handle<Adapter>, kind: u32) {
    handle.with(|adapter| adapter.refuse.insert(kind, 0x1200));
}

fn accept_all(handle: &Handle<Adapter>) {
    handle.with(|adapter| adapter.refuse.clear());
}

#[test]
fn a_late_refusal_is_not_one_of_a_later_present() {
    for (kind, error) in [(0x101, 0x1200), (0x106, 0x1200)] {
        let (mut gpu, handle, _) = start(one(), Options::default());
        let (number, pixels) = buffer(&mut gpu);
        pixels.fill(3);
        refuse(&handle, kind);
        step(&handle, 0);
        gpu.present(0, number, &[], 1).unwrap();
        gpu.kick();
        // The device is at the command after the refused one.
        step(&handle, if kind == 0x101 { 1 } else { 2 });
        assert_eq!(poll(&mut gpu), []);
        accept_all(&handle);
        gpu.present(0, number, &[], 2).unwrap();
        gpu.kick();
        step(&handle, usize::MAX);
        let ended = [
            presented(1, Err(GpuError::Refused(error))),
            presented(2, Ok(())),
        ];
        assert_eq!(polls(&mut gpu), ended);
        commands(&handle);
        for pixel in 4..7 {
            pixels.fill(pixel);
            show(&mut gpu, number, &[all()]).unwrap();
            assert_eq!(screen(&handle).pixels, vec![pixel; PIXELS]);
        }
        let again = commands(&handle);
        assert!(!again.contains(&0x101) && !again.contains(&0x106));
    }
}

#[test]
fn a_display_is_switched_off_after_a_refusal() {
    for (kind, release) in [(0x103, false), (0x103, true), (0x104, false), (0x104, true)] {
        let (mut gpu, handle, memory) = start(one(), Options::default());
        let (first, _) = buffer(&mut gpu);
        let (second, _) = buffer(&mut gpu);
        show(&mut gpu, first, &[]).unwrap();
        refuse(&handle, kind);
        let next = if kind == 0x103 { second } else { first };
        assert!(show(&mut gpu, next, &[all()]).is_err());
        assert_eq!(screen(&handle).resource, first);
        accept_all(&handle);
        commands(&handle);
        if release {
            let before = memory.allocated();
            gpu.release(first);
            poll(&mut gpu);
            assert_eq!(commands(&handle), [0x103, 0x102]);
            assert!(memory.allocated() < before);
        } else {
            gpu.disable(0).unwrap();
            gpu.disable(0).unwrap();
            poll(&mut gpu);
            assert_eq!(commands(&handle), [0x103]);
        }
        assert_eq!(screen(&handle).resource, 0);
        show(&mut gpu, second, &[]).unwrap();
        assert_eq!(screen(&handle).resource, second);
    }
}

#[test]
fn a_refusal_to_switch_off_is_not_the_end() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (number, _) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    refuse(&handle, 0x103);
    gpu.disable(0).unwrap();
    poll(&mut gpu);
    accept_all(&handle);
    gpu.disable(0).unwrap();
    assert_eq!(screen(&handle).resource, 0);
}

#[test]
fn a_blob_is_whole_pages() {
    let (mut gpu, handle, memory) = blobs();
    commands(&handle);
    // 1024.5 pages.
    let (number, pixels) = gpu.create(1366, 768).unwrap();
    // SAFETY: a new buffer of this size.
    let pixels = unsafe { core::slice::from_raw_parts_mut(pixels.as_ptr(), 1366 * 768) };
    pixels.fill(8);
    show(&mut gpu, number, &[]).unwrap();
    assert_eq!(commands(&handle), [0x10c, 0x10d, 0x104]);
    assert_eq!(screen(&handle).pixels, vec![8; 1366 * 768]);
    drop(gpu);
    assert_eq!(memory.allocated(), 0);
}

#[test]
fn a_buffer_that_is_refused_as_a_blob_is_copied() {
    let copies = [0x101, 0x106, 0x105, 0x103, 0x104];
    for (kind, replace) in [(0x10c, None), (0x10d, Some(0x102))] {
        let (mut gpu, handle, memory) = blobs();
        let before = memory.allocated();
        let (number, pixels) = buffer(&mut gpu);
        pixels.fill(5);
        commands(&handle);
        refuse(&handle, kind);
        gpu.present(0, number, &[], 1).unwrap();
        gpu.present(0, number, &[all()], 2).unwrap();
        gpu.kick();
        let both = [presented(1, Ok(())), presented(2, Ok(()))];
        assert_eq!(polls(&mut gpu), both);
        assert_eq!(screen(&handle).pixels, vec![5; PIXELS]);
        let sent = commands(&handle);
        let wanted: Vec<u32> = replace.into_iter().chain(copies).collect();
        assert_eq!(sent[..4], [0x10c, 0x10d, 0x104, 0x104]);
        assert_eq!(sent[4..4 + wanted.len()], wanted);
        // The device is queried once.
        pixels.fill(6);
        show(&mut gpu, number, &[all()]).unwrap();
        assert_eq!(commands(&handle), [0x105, 0x104]);
        assert_eq!(screen(&handle).pixels, vec![6; PIXELS]);
        gpu.suspend();
        gpu.resume().unwrap();
        polls(&mut gpu);
        commands(&handle);
        show(&mut gpu, number, &[]).unwrap();
        assert_eq!(commands(&handle), copies);
        gpu.release(number);
        poll(&mut gpu);
        assert_eq!(memory.allocated(), before);
    }
}

#[test]
fn two_buffers_that_are_refused_as_blobs_take_turns() {
    let (mut gpu, handle, _) = blobs();
    refuse(&handle, 0x10c);
    let (first, of_first) = buffer(&mut gpu);
    let (second, of_second) = buffer(&mut gpu);
    for color in 1..5 {
        of_first.fill(color);
        of_second.fill(color + 10);
        gpu.present(0, first, &[all()], 1).unwrap();
        gpu.present(0, second, &[all()], 2).unwrap();
        gpu.kick();
        let both = [presented(1, Ok(())), presented(2, Ok(()))];
        assert_eq!(polls(&mut gpu), both);
        assert_eq!(screen(&handle).pixels, vec![color + 10; PIXELS]);
    }
}

#[test]
fn a_blob_that_is_refused_is_not_shown_after_its_end() {
    let (mut gpu, handle, memory) = blobs();
    let before = memory.allocated();
    refuse(&handle, 0x10c);
    // Disabled, and released, while the device is busy.
    for release in [false, true] {
        let (number, _) = buffer(&mut gpu);
        step(&handle, 0);
        gpu.present(0, number, &[], 1).unwrap();
        gpu.kick();
        if release {
            gpu.release(number);
        } else {
            gpu.disable(0).unwrap();
        }
        step(&handle, usize::MAX);
        let events = polls(&mut gpu);
        let refused = Err(GpuError::Refused(0x1200));
        let result = if release { refused } else { Ok(()) };
        assert_eq!(events, [presented(1, result)]);
        assert_eq!(screen(&handle).resource, 0);
        gpu.release(number);
        polls(&mut gpu);
        assert_eq!(memory.allocated(), before);
    }
}

#[test]
fn the_memory_of_a_blob_that_the_device_keeps_is_never_used_again() {
    let (mut gpu, handle, memory) = blobs();
    let (number, _) = buffer(&mut gpu);
    let before = memory.allocated();
    for kind in [0x10d, 0x102] {
        refuse(&handle, kind);
    }
    gpu.present(0, number, &[], 1).unwrap();
    let events = polls(&mut gpu);
    assert!(
        matches!(events[..], [Event::Presented { result: Err(_), .. }]),
        "{events:?}"
    );
    gpu.release(number);
    polls(&mut gpu);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn a_cursor_whose_next_image_is_refused_is_still_moved_and_hidden() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    gpu.set_cursor(0, &IMAGE, (3, 10)).unwrap();
    gpu.move_cursor(0, 100, 100);
    polls(&mut gpu);
    assert_eq!(screen(&handle).cursor.unwrap().place, (97, 90));
    refuse(&handle, 0x105);
    gpu.set_cursor(0, &[1; CURSOR_SIZE * CURSOR_SIZE], (0, 0))
        .unwrap();
    polls(&mut gpu);
    gpu.move_cursor(0, 200, 200);
    polls(&mut gpu);
    let shown = screen(&handle).cursor.unwrap();
    assert_eq!((shown.image, shown.place), (IMAGE.to_vec(), (197, 190)));
    gpu.hide_cursor(0);
    polls(&mut gpu);
    assert_eq!(screen(&handle).cursor, None);
    accept_all(&handle);
    gpu.set_cursor(0, &IMAGE, (0, 0)).unwrap();
    polls(&mut gpu);
    assert_eq!(screen(&handle).cursor.unwrap().place, (200, 200));
}

#[test]
fn a_cursor_has_its_hot_spot_until_the_next_image_is_there() {
    let (mut gpu, handle, _) = start(one(), Options::default());
    gpu.set_cursor(0, &IMAGE, (3, 10)).unwrap();
    polls(&mut gpu);
    step(&handle, 0);
    gpu.set_cursor(0, &IMAGE, (0, 0)).unwrap();
    // Sent while the image is copied.
    gpu.move_cursor(0, 100, 100);
    refuse(&handle, 0x105);
    step(&handle, usize::MAX);
    polls(&mut gpu);
    assert_eq!(screen(&handle).cursor.unwrap().place, (97, 90));
}

#[test]
fn a_late_response_to_the_first_query_is_reported() {
    let memory = HostMemory::new();
    let mut adapter = Adapter::new(&[Some((640, 480)), None]);
    adapter.left = 0;
    let (transport, handle) = connect(memory, adapter, Options::default());
    let mut gpu = Gpu::new(Box::new(transport), memory).unwrap();
    let changed = [Event::Changed { scanout: 0 }];
    assert_eq!(polls(&mut gpu), []);
    assert!(!gpu.is_ready());
    step(&handle, usize::MAX);
    assert_eq!(polls(&mut gpu), changed);
    assert_eq!((gpu.is_ready(), gpu.size(0)), (true, Some((640, 480))));
    // Another driver has it meanwhile.
    gpu.suspend();
    handle.with(|adapter| (adapter.left, adapter.sizes[0]) = (0, Some((800, 600))));
    gpu.resume().unwrap();
    assert_eq!(polls(&mut gpu), []);
    step(&handle, usize::MAX);
    assert_eq!(polls(&mut gpu), changed);
    assert_eq!(gpu.size(0), Some((800, 600)));
}

std::thread_local! {
    static LINES: Cell<usize> = const { Cell::new(0) };
}

/// Counts the lines that a thread logs.
struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, _: &log::Record<'_>) {
        LINES.set(LINES.get() + 1);
    }

    fn flush(&self) {}
}

#[test]
fn refusals_do_not_fill_the_log() {
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Warn);
    let (mut gpu, handle, _) = start(one(), Options::default());
    let (number, _) = buffer(&mut gpu);
    LINES.set(0);
    for kind in [0x101, 0x103, 0x104, 0x105, 0x106] {
        refuse(&handle, kind);
    }
    for _ in 0..100 {
        assert!(show(&mut gpu, number, &[]).is_err());
        gpu.set_cursor(0, &IMAGE, (0, 0)).unwrap();
        polls(&mut gpu);
    }
    assert_eq!(LINES.get(), 5);
    accept_all(&handle);
    show(&mut gpu, number, &[]).unwrap();
    refuse(&handle, 0x104);
    assert!(show(&mut gpu, number, &[all()]).is_err());
    assert_eq!(LINES.get(), 6);
}
