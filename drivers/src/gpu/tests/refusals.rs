//! Adapters that refuse commands, or answer late.

use std::boxed::Box;

use super::*;

/// Lets the device do so many commands.
fn step(handle: &Handle<Adapter>, commands: usize) {
    handle.with(|adapter| adapter.left = commands);
    handle.step();
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
