//! Adapters that refuse commands, or answer late.

use std::boxed::Box;
use std::cell::Cell;

use super::*;

const IMAGE: [u32; CURSOR_SIZE * CURSOR_SIZE] = [7; CURSOR_SIZE * CURSOR_SIZE];

/// Lets the device do so many commands.
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
fn a_late_answer_to_the_first_question_is_told() {
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
