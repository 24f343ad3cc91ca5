//! Commands that fail.

use super::*;

#[test]
fn a_command_that_may_succeed_later_is_sent_again() {
    /// Unrecovered Read Error, Internal Error; Do Not Retry.
    const UNREAD: u16 = 0x281;
    const INTERNAL: u16 = 0x006;
    const NO_MORE: u16 = 1 << 14;
    const PROTECTED: u16 = 0x020;
    let io = Err(DiskError::Io);
    const FULL: u16 = 0x081;
    let read_only = Err(DiskError::ReadOnly);
    for (statuses, expected, sent) in [
        (vec![INTERNAL], Ok(()), 1),
        (vec![UNREAD; 5], Ok(()), 5),
        (vec![UNREAD; 7], io, 6),
        (vec![UNREAD, INTERNAL | NO_MORE, UNREAD], io, 2),
        (vec![PROTECTED, PROTECTED], read_only, 1),
        (vec![FULL, FULL], Err(DiskError::NoSpace), 1),
    ] {
        let (mut nvme, handle) = start(device());
        handle.with(|device| {
            device.namespaces[0].data[7 * SECTOR..9 * SECTOR].copy_from_slice(&pattern(2 * SECTOR));
            let lies = statuses.iter().map(|status| Some(NvmeLie::Status(*status)));
            device.lies = lies.collect();
        });
        // At an odd place, for the bounce buffer.
        let mut bytes = vec![0; 2 * SECTOR + 1];
        let result = read(&mut nvme, 0, 7, &mut bytes[1..]);
        assert_eq!(result, expected, "{statuses:x?}");
        assert!(result.is_err() || bytes[1..] == pattern(2 * SECTOR));
        handle.with(|device| assert_eq!(statuses.len() - device.lies.len(), sent));
        handle.with(|device| device.lies.clear());
        write(&mut nvme, 0, 7, &mut bytes[1..]).unwrap();
        assert_eq!(nvme.unfinished(), 0);
    }
}

/// More requests fail than there are bounce slots and commands, and the next one is served.
#[test]
fn requests_that_fail_give_back_what_they_had() {
    let mut bad = device();
    bad.namespaces[0].bad.insert(600);
    let (mut nvme, handle) = start(bad);
    let mut bytes = pattern(2 * SECTOR + 1);
    let skew = bytes.as_ptr().align_offset(SECTOR) + 1;
    for _ in 0..300 {
        let piece = &mut bytes[skew..][..SECTOR];
        assert_eq!(write(&mut nvme, 0, 600, piece), Err(DiskError::Io));
        assert_eq!(read(&mut nvme, 0, 600, piece), Err(DiskError::Io));
    }
    let piece = &mut bytes[skew..][..SECTOR];
    write(&mut nvme, 0, 601, piece).unwrap();
    read(&mut nvme, 0, 601, piece).unwrap();
    // Each of the bad ones was sent six times.
    handle.with(|device| assert_eq!(device.done.0, 600 * 6 + 2));
}
