//! An ext4 volume after a power cut: the writes that reached the disk up to every point, with any
//! of those since the last flush missing; then Soil's own replay, and `e2fsck -p`.

use crate::common::ext4::{fsck, fsck_stopped, mkfs, mount};
use crate::common::recorder::{Recorder, cut, workload};
use crate::common::{EXT4, Random, from_environment, read_file, write_file};
use fs::fake::{Disk, Event};
use fs::{Error, OpenFlags};

/// Returns the first difference of the files on a disk after a cut at event `end`.
fn wrong_files(bytes: Vec<u8>, recorder: &Recorder, end: usize) -> Result<(), String> {
    let disk = Disk::new(bytes, 512);
    let mut volume = fs::ext4::mount(Box::new(disk.clone()), Default::default())
        .map_err(|error| format!("not mounted: {error}"))?;
    let Some(epoch) = recorder.epoch(end) else {
        return Ok(());
    };
    let mut paths: Vec<&String> = epoch.files.keys().chain(epoch.touched.keys()).collect();
    paths.dedup();
    for path in paths {
        let found = match read_file(&mut *volume, path) {
            Ok(found) => Some(found),
            Err(Error::NotFound) => None,
            Err(error) => return Err(format!("{path}: {error}")),
        };
        let old = epoch.files.get(path);
        let Some(states) = epoch.touched.get(path) else {
            if found.as_ref() != old {
                return Err(format!("{path} was synced, and is damaged"));
            }
            continue;
        };
        // A write in place may be partial: each byte is old, new or zero.
        let mixed = found.as_ref().is_some_and(|found| {
            states.iter().flatten().any(|state| {
                found.len() <= state.len()
                    && found.iter().enumerate().all(|(at, byte)| {
                        *byte == state[at]
                            || *byte == 0
                            || old.and_then(|old| old.get(at)) == Some(byte)
                    })
            })
        });
        if !states.contains(&found) && found.as_ref() != old && !mixed {
            let lengths: Vec<_> = states
                .iter()
                .map(|state| state.as_ref().map(Vec::len))
                .collect();
            let found = found.map(|found| found.len());
            return Err(format!(
                "{path} is neither old nor new: {found:?} bytes, of {lengths:?}"
            ));
        }
    }
    volume.sync().map_err(|error| format!("sync: {error}"))?;
    drop(volume);
    fsck(&disk.bytes()).map_err(|text| format!("after Soil's replay: {text}"))
}

fn check(
    image: &[u8],
    recorder: &Recorder,
    end: usize,
    random: Option<&mut Random>,
    by_others: bool,
) -> Result<(), String> {
    let bytes = recorder.cut(image, end, random);
    wrong_files(bytes.clone(), recorder, end)?;
    if !by_others {
        return Ok(());
    }
    let repaired = fsck_stopped(&bytes).map_err(|text| format!("e2fsck: {text}"))?;
    wrong_files(repaired, recorder, end).map_err(|text| format!("after e2fsck -p: {text}"))
}

const VOLUMES: &[(u64, &[&str])] = &[
    (8 << 20, &["-b", "1024", "-J", "size=1"]),
    (12 << 20, &["-b", "4096", "-J", "size=4"]),
];

#[test]
fn after_a_power_cut_what_was_synced_is_there_and_the_rest_is_old_or_new() {
    let mut points = 0;
    for (len, args) in VOLUMES {
        let image = mkfs(*len, args);
        let recorder = workload(&EXT4, &image, (77 + len, 14, 30_000), true);
        let events = recorder.log().len() as u64;
        let first = recorder.epochs[0].synced_at as u64;
        let mut random = Random(4711);
        let count = from_environment("SOIL_FS_CUTS", 200) / VOLUMES.len() as u64;
        for n in 0..count {
            let end = (first + n * (events - first) / count) as usize;
            // Every other cut loses nothing: the machine was killed with the power on.
            let losing = (n % 2 == 0).then_some(&mut random);
            check(&image, &recorder, end, losing, n % 5 < 2)
                .unwrap_or_else(|text| panic!("{args:?}, cut at event {end} of {events}: {text}"));
            points += 1;
        }
    }
    println!("{points} cuts");
}

/// Returns the numbers of events before which most writes are not durable: those of the flushes,
/// and of the end.
fn before_flushes(log: &[Event]) -> Vec<usize> {
    let flushes = (0..log.len()).filter(|n| matches!(log[*n], Event::Flush));
    flushes.chain([log.len()]).collect()
}

/// The power fails again during the replay of the journal, and the disk loses some of the replay's
/// writes: the next mount repeats it. The journal isn't emptied before all of its contents are
/// durable.
#[test]
fn a_power_cut_during_the_replay_leaves_all_to_the_next_one() {
    let (mut replays, mut cuts) = (0, 0);
    for (len, args) in VOLUMES {
        let image = mkfs(*len, args);
        let recorder = workload(&EXT4, &image, (78 + len, 10, 30_000), true);
        let events = recorder.log().len();
        let first = recorder.epochs[0].synced_at;
        let mut random = Random(4712);
        for n in 1..=5 {
            let end = first + n * (events - first) / 5;
            let stopped = recorder.cut(&image, end, None);
            let disk = Disk::new(stopped.clone(), 512);
            disk.state().log = Some(Vec::new());
            drop(mount(&disk));
            let log = disk.state().log.take().unwrap();
            replays += u32::from(log.len() > 2);
            for at in before_flushes(&log) {
                for _ in 0..3 {
                    let bytes = cut(&stopped, &log, at, 0, Some(&mut random));
                    wrong_files(bytes, &recorder, end).unwrap_or_else(|text| {
                        panic!("{args:?}, cut at event {end}, its replay at {at}: {text}")
                    });
                    cuts += 1;
                }
            }
        }
    }
    assert!(replays > 5, "{replays}");
    println!("{cuts} cuts of {replays} replays");
}

/// Control: without a journal the test must fail.
#[test]
fn without_a_journal_the_same_cuts_do_harm() {
    let image = mkfs(8 << 20, &["-b", "1024", "-O", "^has_journal"]);
    let recorder = workload(&EXT4, &image, (77, 14, 30_000), true);
    let events = recorder.log().len() as u64;
    let mut random = Random(4711);
    let mut harmed = 0;
    for n in 0..30 {
        let end = (n * events / 30) as usize;
        let bytes = recorder.cut(&image, end, Some(&mut random));
        harmed +=
            u32::from(wrong_files(bytes.clone(), &recorder, end).is_err() || fsck(&bytes).is_err());
    }
    assert!(harmed > 3, "only {harmed} of 30 cuts were noticed");
    println!("without a journal {harmed} of 30 cuts did harm");
}

/// Blocks freed by a file aren't reused before the removal is durable: otherwise a power cut would
/// leave the old file with the new one's contents.
#[test]
fn what_a_file_gave_up_is_not_written_before_that_is_durable() {
    let image = mkfs(4 << 20, &["-b", "1024", "-J", "size=1"]);
    let disk = Disk::new(image, 512);
    let mut volume = mount(&disk);
    write_file(&mut *volume, "old", &[b'o'; 900_000]).unwrap();
    // There is no other room for the new file.
    let free = volume.space().unwrap().free as usize;
    write_file(&mut *volume, "rest", &vec![b'r'; free - 100_000]).unwrap();
    volume.sync().unwrap();
    let before = disk.bytes();
    disk.state().log = Some(Vec::new());
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let old = volume.open("old", flags).unwrap();
    // A whole number of blocks: the rest of one would be zeroed in place, as Linux does.
    volume.truncate(old, 98_304).unwrap();
    volume.close(old).unwrap();
    write_file(&mut *volume, "new", &[b'n'; 600_000]).unwrap();
    volume.sync().unwrap();
    let log = disk.state().log.take().unwrap();
    drop(volume);
    assert!(log.contains(&Event::Flush));
    let mut random = Random(815);
    let (mut kept, mut cut_off) = (0, 0);
    for end in 0..=log.len() {
        for losing in [true, true, true, false] {
            let when = format!("cut at event {end} of {}, losing: {losing}", log.len());
            let bytes = cut(&before, &log, end, 0, losing.then_some(&mut random));
            let volume = fs::ext4::mount(Box::new(Disk::new(bytes, 512)), Default::default());
            let mut volume = volume.unwrap_or_else(|error| panic!("{when}: {error}"));
            let old = read_file(&mut *volume, "old").unwrap();
            let bad = old.iter().position(|byte| *byte != b'o');
            assert_eq!(bad, None, "{when}: damaged");
            match old.len() {
                900_000 => kept += 1,
                98_304 => cut_off += 1,
                other => panic!("{when}: {other} bytes"),
            }
            assert!(
                read_file(&mut *volume, "rest")
                    .unwrap()
                    .iter()
                    .all(|byte| *byte == b'r')
            );
            if let Ok(new) = read_file(&mut *volume, "new") {
                assert!(
                    new.iter().all(|byte| b"n\0".contains(byte)),
                    "{when}: of another"
                );
            }
        }
    }
    assert!(kept > 4 && cut_off > 4, "{kept} before, {cut_off} after");
}

/// Control for the order of a commit: all of a transaction must be on the disk before its end.
#[test]
fn without_the_flush_before_its_end_a_transaction_does_harm() {
    let image = mkfs(8 << 20, &["-b", "1024", "-J", "size=1"]);
    let recorder = workload(&EXT4, &image, (77, 14, 30_000), true);
    let log = recorder.log();
    // The block that ends a transaction has the journal's mark and number 2.
    let is_end = |event: &Event| {
        let mark = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2];
        matches!(event, Event::Batch(writes) if writes.len() == 1 && writes[0].1.starts_with(&mark))
    };
    let without: Vec<Event> = log
        .iter()
        .enumerate()
        .map(|(n, event)| match log.get(n + 1) {
            Some(next) if *event == Event::Flush && is_end(next) => Event::FlushUnordered,
            _ => event.clone(),
        })
        .collect();
    let left_out = without
        .iter()
        .filter(|event| **event == Event::FlushUnordered);
    assert!(left_out.count() > 10);
    let mut random = Random(4711);
    let mut harmed = 0;
    let ends = (1..log.len()).filter(|n| is_end(&log[n - 1])).take(60);
    for end in ends {
        let synced = recorder.epoch(end).map_or(0, |epoch| epoch.synced_at);
        let bytes = cut(&image, &without, end, synced, Some(&mut random));
        harmed += u32::from(wrong_files(bytes, &recorder, end).is_err());
    }
    assert!(harmed > 3, "only {harmed} cuts were noticed");
}
