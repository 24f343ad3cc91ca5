//! Adapters that break the protocol, or lack what the driver needs.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A device that broke the protocol during a present.
fn broken(never_resets: bool, mangle: fn(&mut Vec<u8>)) -> (Gpu, u32, &'static HostMemory) {
    let options = Options {
        never_resets,
        ..Options::default()
    };
    let (mut gpu, handle, memory) = start(one(), options);
    let (number, pixels) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    handle.with(|adapter| adapter.mangle = Some(mangle));
    gpu.present(0, number, &[all()], 1).unwrap();
    gpu.kick();
    let events = poll(&mut gpu);
    let expected = [
        presented(1, Err(GpuError::DeviceError)),
        Event::Changed { scanout: 0 },
    ];
    assert_eq!(events, expected);
    assert!(!gpu.is_running() && gpu.size(0).is_none() && gpu.is_ready());
    pixels.fill(1);
    assert_eq!(gpu.present(0, number, &[], 2), Err(GpuError::DeviceError));
    assert_eq!(gpu.create(64, 64), Err(GpuError::DeviceError));
    let image = [0; CURSOR_SIZE * CURSOR_SIZE];
    let cursor = gpu.set_cursor(0, &image, (0, 0));
    assert_eq!(cursor, Err(GpuError::DeviceError));
    assert_eq!(gpu.disable(0), Err(GpuError::DeviceError));
    gpu.move_cursor(0, 1, 1);
    gpu.hide_cursor(0);
    gpu.check_config();
    assert_eq!(poll(&mut gpu), []);
    assert!(!gpu.enable_interrupts() && !gpu.has_pending());
    (gpu, number, memory)
}

#[test]
fn a_wrong_answer_ends_everything_with_an_error() {
    let mangles: [fn(&mut Vec<u8>); 6] = [
        Vec::clear,
        |answer| answer.truncate(23),
        |answer| answer[0] = 4,
        |answer| answer[1] = 0,
        |answer| answer[4] = 0,
        |answer| answer[8] ^= 1,
    ];
    for mangle in mangles {
        let (mut gpu, number, memory) = broken(false, mangle);
        let before = memory.allocated();
        gpu.release(number);
        assert!(
            memory.allocated() < before,
            "it is reset: the memory is ours"
        );
        drop(gpu);
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn a_device_that_does_not_reset_keeps_its_memory() {
    let (mut gpu, number, memory) = broken(true, Vec::clear);
    let before = memory.allocated();
    gpu.release(number);
    assert_eq!(memory.allocated(), before);
    drop(gpu);
    assert_eq!(memory.allocated(), before);
}

#[test]
fn a_wrong_answer_to_a_question_is_survived() {
    let mangles: [fn(&mut Vec<u8>); 3] = [
        // The EDID is longer than the response.
        |answer| answer[25] = 0xff,
        |answer| answer.truncate(100),
        |answer| answer.truncate(24),
    ];
    for mangle in mangles {
        let mut adapter = one();
        adapter.mangle = Some(mangle);
        let memory = HostMemory::new();
        let (transport, _) = connect(memory, adapter, Options::default());
        let mut gpu = Gpu::new(Box::new(transport), memory).unwrap();
        for _ in 0..4 {
            poll(&mut gpu);
        }
        assert!(gpu.is_ready());
        assert_eq!(gpu.size(0).is_none(), !gpu.is_running());
    }
}

#[test]
fn bad_devices_are_refused() {
    let config = |scanouts: u32| [0, 0, scanouts, 0].map(u32::to_le_bytes).concat();
    let refused = |config: Vec<u8>, sizes: Vec<u16>, options| {
        let memory = HostMemory::new();
        let liar = Liar::new(DeviceType::GPU, 0, config, sizes);
        let (transport, _) = connect(memory, liar, options);
        let error = Gpu::new(Box::new(transport), memory).err();
        assert_eq!(memory.allocated(), 0);
        error
    };
    let good = Options::default();
    for scanouts in [0, 17, u32::MAX] {
        let error = refused(config(scanouts), vec![64, 16], good);
        assert_eq!(error, Some(Error::BadConfig));
    }
    assert_eq!(
        refused(vec![0; 8], vec![64, 16], good),
        Some(Error::BadConfig)
    );
    assert_eq!(refused(config(1), vec![64], good), Some(Error::NoQueue(1)));
    assert_eq!(
        refused(config(1), vec![1, 16], good),
        Some(Error::QueueTooSmall(0))
    );
    let legacy = Options {
        legacy: true,
        ..good
    };
    assert_eq!(
        refused(config(1), vec![64, 16], legacy),
        Some(Error::NotModern)
    );
    let memory = HostMemory::new();
    memory.limit(10_000);
    let (transport, _) = connect(memory, one(), good);
    let error = Gpu::new(Box::new(transport), memory).err();
    assert_eq!(error, Some(Error::OutOfMemory));
}

#[test]
fn without_memory_a_buffer_is_refused() {
    let (mut gpu, _, memory) = start(one(), Options::default());
    memory.limit(PIXELS * 4 - 1);
    assert_eq!(gpu.create(WIDTH, HEIGHT).err(), Some(GpuError::OutOfMemory));
    memory.limit(PIXELS * 4);
    let (number, _) = buffer(&mut gpu);
    show(&mut gpu, number, &[]).unwrap();
    let image = [0; CURSOR_SIZE * CURSOR_SIZE];
    let cursor = gpu.set_cursor(0, &image, (0, 0));
    assert_eq!(cursor, Err(GpuError::OutOfMemory));
}

/// What a lying device does with a request of a queue.
pub fn lie() -> impl Strategy<Value = (usize, Lie)> {
    let answer = (
        prop_oneof![
            Just(0x1100u32),
            Just(0x1101),
            Just(0x1104),
            0x1200..0x1206u32
        ],
        prop_oneof![Just(1u32), Just(0)],
        0..40u64,
        prop_oneof![
            Just(24usize),
            Just(DISPLAY_INFO),
            Just(MAX_RESPONSE),
            0..40usize
        ],
        any::<u8>(),
    );
    let answer = answer.prop_map(|(kind, flags, fence, len, fill)| {
        let mut bytes = vec![fill; MAX_RESPONSE];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&fence.to_le_bytes());
        bytes.truncate(len);
        Lie::End {
            claim: len as u32,
            bytes,
        }
    });
    (0..2usize, Lie::any(answer, 12))
}

proptest! {
    #[test]
    fn a_lying_device_is_survived(
        script in prop::collection::vec(lie(), 1..60),
        features in prop_oneof![Just(0), Just(feature::ALL)],
        never_resets in any::<bool>(),
    ) {
        let memory = HostMemory::new();
        let config = [1u32, 0, 2, 0].map(u32::to_le_bytes).concat();
        let mut liar = Liar::new(DeviceType::GPU, features, config, vec![16, 2]);
        liar.script.extend(script);
        let steps = liar.script.len();
        let options = Options { never_resets, ..Options::default() };
        let (transport, handle) = connect(memory, liar, options);
        let mut gpu = Gpu::new(Box::new(transport), memory).unwrap();
        let image = [0; CURSOR_SIZE * CURSOR_SIZE];
        let (mut accepted, mut ended, mut kept) = (0, 0, Vec::new());
        for step in 0..steps {
            if let Ok((number, pixels)) = gpu.create(16, 16) {
                // SAFETY: a new buffer.
                unsafe { pixels.write(1) };
                kept.push((number, pixels));
                accepted += u64::from(gpu.present(step % 2, number, &[], 0).is_ok());
            }
            if step % 3 == 0 && let Some((number, pixels)) = kept.pop() {
                // SAFETY: the program has the buffer until it releases it.
                unsafe { pixels.write(2) };
                gpu.release(number);
            }
            let _ = gpu.set_cursor(step % 2, &image, (0, 0));
            gpu.move_cursor(step % 2, step as u32, 0);
            let _ = gpu.disable(step % 2);
            handle.step();
            gpu.check_config();
            gpu.poll(&mut |event| ended += u64::from(matches!(event, Event::Presented { .. })));
            let _ = gpu.enable_interrupts();
        }
        let running = gpu.is_running();
        prop_assert!(running || ended == accepted, "{ended} of {accepted} have ended");
        prop_assert!(ended <= accepted && accepted - ended <= 2 * MAX_PRESENTS as u64);
        let held = memory.allocated();
        drop(gpu);
        prop_assert!(memory.allocated() <= held);
        prop_assert!(never_resets || running || memory.allocated() <= held);
    }
}
