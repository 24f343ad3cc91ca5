//! Starts: which controllers and namespaces are used, and why others aren't.

use super::*;

fn refusal(device: NvmeDevice) -> Option<Error> {
    let memory = HostMemory::new();
    let (registers, _) = device.connect(memory);
    let error = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).err();
    assert_eq!(memory.allocated(), 0);
    error
}

#[test]
fn controllers_that_cannot_be_used_say_why() {
    let capable = |capabilities| NvmeDevice {
        capabilities,
        ..device()
    };
    let usual = device().capabilities;
    assert_eq!(refusal(capable(usual & !(1 << 37))), Some(Error::NotNvm));
    assert_eq!(refusal(capable(usual | 1 << 48)), Some(Error::PageSize));
    assert_eq!(refusal(capable(usual & !0xffff)), Some(Error::BadConfig));
    let gone = NvmeDevice {
        gone: true,
        ..device()
    };
    assert_eq!(refusal(gone), Some(Error::Gone));
}

#[test]
fn a_controller_without_memory_for_its_queues_is_not_started() {
    // The admin queues, the answer, the I/O queues, and the lists of their commands.
    for limit in [0, 5000, 12288, 20480] {
        let memory = HostMemory::new();
        memory.limit(limit);
        let (registers, _) = device().connect(memory);
        let nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default());
        if let Ok(mut nvme) = nvme {
            ready(&mut nvme);
            assert!(!nvme.is_running() && nvme.disks() == 0, "{limit} bytes");
        }
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn the_start_is_step_by_step() {
    let slow = NvmeDevice {
        reset_reads: 20,
        stuck_admin: true,
        ..device()
    };
    let memory = HostMemory::new();
    let (registers, handle) = slow.connect(memory);
    let mut nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
    assert!(!nvme.is_ready() && !nvme.has_pending());
    assert_eq!(nvme.start_timeout_ns(), 20_000_000_000);
    nvme.begin();
    // Registers are polled, and the answers to commands interrupt.
    let mut polls = 0;
    while nvme.enable_interrupts() {
        polls += 1;
        nvme.poll(&mut |_, _, _| ());
    }
    assert!((20..100).contains(&polls), "{polls} polls");
    assert!(!nvme.is_ready() && handle.is_enabled());
    handle.with(|device| device.stuck_admin = false);
    let before = handle.interrupts();
    handle.step();
    assert!(nvme.has_pending() && handle.interrupts() > before);
    while !nvme.is_ready() {
        nvme.poll(&mut |_, _, _| ());
    }
    let opcodes = handle.with(|device| device.admin.clone());
    let pair = |opcode, entries: u32| (opcode, (entries - 1) << 16 | 1);
    assert_eq!(
        opcodes,
        [
            (6, 1),
            (6, 6),
            (9, 7),
            pair(5, 256),
            pair(1, 128),
            (6, 2),
            (6, 0)
        ]
    );
    // Once more does nothing.
    nvme.begin();
    assert!(nvme.is_ready() && nvme.disks() == 1);
    assert_eq!(handle.resets(), 0, "it wasn't enabled before");
    drop(nvme);
    assert_eq!((handle.resets(), memory.allocated()), (1, 0));
}

#[test]
fn a_controller_that_firmware_left_enabled_is_reset_first() {
    let memory = HostMemory::new();
    let (registers, handle) = device().connect(memory);
    let mut first = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
    ready(&mut first);
    let registers = handle.registers();
    let mut second = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
    ready(&mut second);
    assert_eq!((handle.resets(), second.is_running()), (1, true));
    run(&mut second, 0, Request::flush()).unwrap();
}

#[test]
fn a_controller_that_does_not_start_is_never_ready_and_is_reset() {
    let silent = NvmeDevice {
        stuck_admin: true,
        ..device()
    };
    let never = NvmeDevice {
        reset_reads: usize::MAX,
        ..device()
    };
    for device in [silent, never] {
        let memory = HostMemory::new();
        let (registers, handle) = device.connect(memory);
        let mut nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
        nvme.begin();
        for _ in 0..1000 {
            nvme.poll(&mut |_, _, _| ());
        }
        assert!(!nvme.is_ready() && nvme.disks() == 0);
        drop(nvme);
        assert!(!handle.is_enabled());
    }
}

/// The owner ends the search: what was found is used, and a controller that answered nothing isn't.
#[test]
fn a_search_that_is_ended_has_what_was_found() {
    for (answers, disks) in [
        (0, None),
        (3, None),
        (6, Some(0)),
        (7, Some(1)),
        (8, Some(2)),
    ] {
        let mut silent = NvmeDevice {
            lies: vec![None; answers].into_iter().collect(),
            ..device()
        };
        silent.lies.push_back(Some(NvmeLie::Swallow));
        for number in 2..4 {
            silent.namespaces.push(FakeNamespace::new(number, 64, 512));
        }
        let memory = HostMemory::new();
        let (registers, handle) = silent.connect(memory);
        let mut nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
        nvme.begin();
        for _ in 0..100 {
            nvme.poll(&mut |_, _, _| ());
        }
        assert!(!nvme.is_ready());
        nvme.end_search();
        assert!(nvme.is_ready() && !nvme.has_pending());
        let found = nvme.is_running().then(|| nvme.disks());
        assert_eq!(found, disks, "after {answers} answers");
        if disks > Some(0) {
            run(&mut nvme, 0, Request::flush()).unwrap();
            // The answer that came late belongs to no disk.
            nvme.refresh(0).unwrap();
            handle.post(0, 0);
            nvme.poll(&mut |_, _, _| ());
            nvme.poll(&mut |_, _, _| ());
            assert_eq!((nvme.is_running(), nvme.geometry(0).sectors), (true, 4096));
        }
    }
}

#[test]
fn a_start_that_fails_ends() {
    let discovery = NvmeDevice {
        kind: 2,
        ..device()
    };
    let fatal = NvmeDevice {
        lies: [None, Some(NvmeLie::Fatal)].into(),
        ..device()
    };
    let gone = NvmeDevice {
        lies: [None, Some(NvmeLie::Gone)].into(),
        ..device()
    };
    // Each command but those that some controllers don't have.
    let refused = [0, 2, 3, 4, 5].map(|at: usize| NvmeDevice {
        lies: (0..=at)
            .map(|step| (step == at).then_some(NvmeLie::Status(0x006)))
            .collect(),
        ..device()
    });
    // Numbers that don't increase; and completions of other commands.
    let twice = NvmeDevice {
        lies: (0..=5)
            .map(|step| (step == 5).then(|| NvmeLie::Answer(0, vec![2, 0, 0, 0, 2])))
            .collect(),
        ..device()
    };
    let other = [NvmeLie::Id(9), NvmeLie::Queue(1), NvmeLie::Id(0xffff)].map(|lie| NvmeDevice {
        lies: [Some(lie)].into(),
        ..device()
    });
    let all = [discovery, fatal, gone, twice].into_iter();
    for (which, device) in all.chain(refused).chain(other).enumerate() {
        let memory = HostMemory::new();
        let (registers, handle) = device.connect(memory);
        let mut nvme = Nvme::new(Box::new(registers), memory, &NvmeConfig::default()).unwrap();
        ready(&mut nvme);
        assert!(!nvme.is_running(), "controller {which}");
        assert_eq!((nvme.disks(), nvme.has_pending()), (0, false));
        let refused = nvme.submit(0, Request::flush(), 1);
        assert_eq!(refused, Err(DiskError::DeviceError));
        let is_gone = handle.with(|device| device.gone);
        assert!(is_gone || !handle.is_enabled(), "controller {which}");
        drop(nvme);
        assert_eq!(memory.allocated(), 0);
    }
}

#[test]
fn each_namespace_is_a_disk_with_a_name_of_its_own() {
    let with = |change: &dyn Fn(&mut FakeNamespace)| {
        let mut namespace = FakeNamespace::new(0, 64, 512);
        change(&mut namespace);
        namespace
    };
    let mut several = device();
    several.namespaces = vec![
        with(&|space| space.number = 1),
        // Inactive ones have no number.
        with(&|_| ()),
        with(&|space| (space.number, space.metadata) = (3, 8)),
        with(&|space| (space.number, space.block_size) = (4, 256)),
        with(&|space| (space.number, space.block_size) = (5, 4096)),
        with(&|space| (space.number, space.block_size) = (6, 1 << 17)),
        FakeNamespace::new(70, 64, 65536),
    ];
    several.namespaces[3].data = vec![0; 64 * 512];
    several.namespaces[5].data = vec![0; 2 << 17];
    for version in [0x1_00_00, 0x1_04_00] {
        let device = NvmeDevice {
            version,
            ..several.clone()
        };
        let (mut nvme, handle) = start(device);
        let found: Vec<_> = (0..nvme.disks())
            .map(|disk| {
                let geometry = nvme.geometry(disk);
                (nvme.serial(disk), geometry.sectors, geometry.block_size)
            })
            .collect();
        let mut expected = vec![
            (Some("fake"), 64, 512),
            (Some("fake_5"), 64, 4096),
            (Some("fake_70"), 64 * 128, 65536),
        ];
        // Without a list, only the first numbers are tried.
        if version == 0x1_00_00 {
            expected.pop();
        }
        assert_eq!(found, expected);
        let mut bytes = pattern(4096);
        write(&mut nvme, 1, 8, &mut bytes).unwrap();
        write(&mut nvme, 0, 8, &mut bytes[..512]).unwrap();
        handle.with(|device| {
            assert!(device.namespaces[4].data[4096..8192] == bytes);
            assert!(device.namespaces[0].data[4096..4608] == bytes[..512]);
            assert!(
                device.namespaces[0].data[4608..]
                    .iter()
                    .all(|byte| *byte == 0)
            );
        });
    }
}

#[test]
fn a_namespace_whose_blocks_exceed_a_command_is_not_used() {
    let mut device = NvmeDevice {
        max_transfer: 3,
        ..device()
    };
    device.namespaces.push(FakeNamespace::new(2, 4, 65536));
    let (nvme, _) = start(device);
    assert_eq!(nvme.disks(), 1);
}

#[test]
fn no_more_disks_than_configured() {
    let config = NvmeConfig {
        disks: 3,
        ..NvmeConfig::default()
    };
    for version in [0x1_00_00, 0x1_04_00] {
        let mut many = NvmeDevice {
            version,
            ..device()
        };
        many.namespaces = (1..=1000).map(|n| FakeNamespace::new(n, 8, 512)).collect();
        let (nvme, _, _) = start_with(many, &config);
        assert_eq!(nvme.disks(), 3);
    }
}

#[test]
fn a_serial_number_that_is_no_name_is_none() {
    for serial in [
        *b"                    ",
        *b"a/b                 ",
        [0xff; 20],
    ] {
        let (nvme, _) = start(NvmeDevice { serial, ..device() });
        assert_eq!((nvme.disks(), nvme.serial(0)), (1, None));
    }
}
