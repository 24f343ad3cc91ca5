//! FAT volumes after a crash: the writes that reached the disk are replayed up to every point, and
//! (for power cuts) with some of those since the last flush missing.

use crate::common::recorder::{Recorder, workload, writes};
use crate::common::{FAT, Image, NEW, Random, mkfs, mount, read_file, run, write_file};
use fs::fake::Disk;
use fs::{Error, Volume};

/// Disk image in a file, so that `fsck.fat` can check each state without copying it.
struct Replay(Image);

impl Replay {
    fn write(&self, first: u64, data: &[u8]) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(&self.0.0)
            .unwrap();
        file.write_all_at(data, first * 512).unwrap();
    }

    fn fsck(&self, mode: &str) -> (bool, String) {
        run("fsck.fat", &[mode, self.0.0.to_str().unwrap()])
    }
}

/// Repairs a disk with `fsck.fat -a`, checks that nothing is wrong afterwards, and returns the disk
/// and the output.
fn repaired(bytes: &[u8], when: &str) -> (Image, String) {
    let image = Image::with(bytes);
    let path = image.0.to_str().unwrap();
    let (_, text) = run("fsck.fat", &["-a", path]);
    let (clean, left) = run("fsck.fat", &["-n", path]);
    assert!(clean, "{when}: not repaired\n{text}\n{left}");
    (image, text)
}

/// Checks that all synced data exists after a repair.
fn check_files(bytes: Vec<u8>, recorder: &Recorder, events: usize, when: &str) {
    let (image, text) = repaired(&bytes, when);
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    let Some(epoch) = recorder.epoch(events) else {
        return;
    };
    for (path, data) in &epoch.files {
        let found = match read_file(&mut *volume, path) {
            Ok(found) => Some(found),
            Err(Error::NotFound) => None,
            Err(error) => panic!("{when}: {path}: {error}\n{text}"),
        };
        let Some(states) = epoch.touched.get(path) else {
            assert!(
                found.as_ref() == Some(data),
                "{when}: {path} was damaged\n{text}"
            );
            continue;
        };
        // Appending in place may leave a part of the appended data; and `fsck.fat` leaves one of
        // the two names of a file that is being renamed its contents.
        let appended = found.as_ref().is_some_and(|found| found.starts_with(data));
        let other = |volume: &mut dyn Volume| {
            epoch
                .touched
                .keys()
                .any(|other| read_file(volume, other).as_ref() == Ok(data))
        };
        assert!(
            states.contains(&found) || appended || other(&mut *volume),
            "{when}: {path} is neither old nor new\n{text}"
        );
    }
}

/// Replays every prefix. Returns their number, and the number of those inside a batch with findings
/// of `fsck.fat -n`.
fn replay_prefixes(before: &[u8], recorder: &Recorder) -> (u32, u32) {
    let replay = Replay(Image::with(before));
    let log = recorder.log();
    let (mut points, mut unclean) = (0, 0);
    for (n, event) in log.iter().enumerate() {
        let writes = writes(event);
        for (at, (first, data)) in writes.iter().enumerate() {
            replay.write(*first, data);
            points += 1;
            let when = format!("event {n}, write {at} of {}", writes.len());
            let (clean, text) = replay.fsck("-n");
            if at + 1 == writes.len() {
                assert!(clean, "{when}: {text}");
            } else if !clean {
                unclean += 1;
            }
            if !clean || points % 7 == 0 {
                check_files(replay.0.bytes(), recorder, n, &when);
            }
        }
    }
    (points, unclean)
}

#[test]
fn every_point_of_a_crash_is_clean_or_repaired_with_all_that_was_synced() {
    let volumes: &[(u64, &[&str], u64)] = &[
        (1 << 20, &["-F", "12", "-s", "1"], 9),
        (9 << 20, &["-F", "16", "-s", "2"], 8),
        (35 << 20, &["-F", "32", "-s", "1"], 4),
    ];
    for (len, args, rounds) in volumes {
        let image = mkfs(*len, args);
        let recorder = workload(&FAT, &image, (77, *rounds, 9000), false);
        let (points, unclean) = replay_prefixes(&image, &recorder);
        assert!(points > 30);
        // Some points inside commits need a repair, others don't.
        assert!(
            (1..points).contains(&unclean),
            "{args:?}: {unclean} of {points}"
        );
    }
}

#[test]
fn a_power_cut_that_loses_some_unflushed_writes_keeps_what_was_synced() {
    let image = mkfs(9 << 20, &["-F", "16", "-s", "2"]);
    let recorder = workload(&FAT, &image, (99, 12, 9000), false);
    let log = recorder.log();
    let mut random = Random(4711);
    for number in 0..80 {
        let end = random.below(log.len() as u64 + 1) as usize;
        let bytes = recorder.cut(&image, end, Some(&mut random));
        check_untouched(
            bytes,
            &recorder,
            end,
            &format!("cut {number} at event {end}"),
        );
    }
}

/// Checks that synced data without later changes exists after a repair.
fn check_untouched(bytes: Vec<u8>, recorder: &Recorder, events: usize, when: &str) {
    let (image, text) = repaired(&bytes, when);
    let mut volume = mount(&Disk::new(image.bytes(), 512));
    let Some(epoch) = recorder.epoch(events) else {
        return;
    };
    for (path, data) in &epoch.files {
        if !epoch.touched.contains_key(path) {
            let found = read_file(&mut *volume, path);
            assert!(
                found.as_ref() == Ok(data),
                "{when}: {path} was damaged\n{text}"
            );
        }
    }
}

#[test]
fn without_a_sync_the_disk_stays_as_it_was() {
    let image = mkfs(1 << 20, &["-F", "12"]);
    let disk = Disk::new(image.clone(), 512);
    let mut volume = mount(&disk);
    let file = volume.open("a", NEW).unwrap();
    volume.write_at(file, 0, &[1; 100]).unwrap();
    assert!(disk.bytes() == image);
    volume.sync_file(file).unwrap();
    assert!(disk.bytes() != image);
    let flushes = disk.state().flushes;
    volume.sync().unwrap();
    assert_eq!(disk.state().flushes, flushes, "nothing to flush");
}

#[test]
fn what_is_renamed_has_one_of_its_names_at_any_moment() {
    let disk = Disk::new(mkfs(9 << 20, &["-F", "16", "-s", "2"]), 512);
    let mut volume = mount(&disk);
    for n in 0..300 {
        write_file(&mut *volume, &format!("F{n}"), &[n as u8]).unwrap();
    }
    volume.mkdir("D").unwrap();
    volume.sync().unwrap();
    // In both directions between the sectors of the root, and into another directory.
    for (from, to) in [
        ("F0", "name"),
        ("F290", "D/name"),
        ("F299", "F0"),
        ("D/name", "F5x"),
    ] {
        let before = disk.bytes();
        disk.state().log = Some(Vec::new());
        volume.rename(from, to).unwrap();
        volume.sync().unwrap();
        let log = disk.state().log.take().unwrap();
        let mut bytes = before;
        for (first, data) in log.iter().flat_map(writes) {
            let at = first as usize * 512;
            bytes[at..at + data.len()].copy_from_slice(&data);
            let mut there = mount(&Disk::new(bytes.clone(), 512));
            let found = [from, to].map(|name| there.stat(name).is_ok());
            assert!(found.contains(&true), "{from} is lost on its way to {to}");
        }
    }
}
