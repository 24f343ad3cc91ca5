//! Commits of ext4 on a disk whose flushes are slow, or fail.

use super::*;

/// Creates two files on ext4: one synced, the other only written.
fn two_files(rt: &mut Runtime, text: &mut [u8]) -> [Fd; 2] {
    let fds = ["/data/a", "/data/b"].map(|path| {
        let answer = open(rt, path, MODE, 1);
        Fd::decode(result(rt, 1, answer)).expect("opened")
    });
    let answer = write(rt, fds[0], Piece::of(text), 0, 1);
    assert_eq!(result(rt, 1, answer), text.len() as Int);
    let answer = sync(rt, 1);
    assert_eq!(result(rt, 1, answer), 0);
    let answer = write(rt, fds[1], Piece::of(text), 0, 1);
    assert_eq!(result(rt, 1, answer), text.len() as Int);
    fds
}

/// The first of a commit's two flushes is slow: the end of the transaction isn't written before it
/// has completed, and meanwhile other tasks read, open and modify files in memory.
#[test]
fn reading_goes_on_during_a_commit() {
    let (mut rt, orders) = ext4_runtime("commit");
    let rt = &mut rt;
    let mut text: Vec<u8> = (0..300_000u32).map(|i| (i % 241) as u8).collect();
    let [a, b] = two_files(rt, &mut text);
    orders.log.borrow_mut().clear();
    orders.hold_flush.set(true);
    assert_eq!(file_sync(rt, b, 2), Err(Stop::Pending));
    for _ in 0..100 {
        step(rt);
    }
    let begun = orders.log.borrow().clone();
    assert!(begun.contains('w') && begun.ends_with('f'), "{begun}");
    let mut back = vec![0; 300_000];
    for fd in [a, b] {
        back.fill(0);
        let answer = read(rt, fd, Piece::of(&mut back), 0, 3);
        assert_eq!(result(rt, 3, answer), 300_000);
        assert!(back == text);
    }
    let answer = open(rt, "/data/c", MODE, 4);
    let c = Fd::decode(result(rt, 4, answer)).expect("opened");
    let answer = write(rt, c, Piece::of(&mut [1; 100]), 0, 5);
    assert_eq!(result(rt, 5, answer), 100);
    // This one belongs to the next commit, and doesn't delay reads.
    assert_eq!(file_sync(rt, c, 6), Err(Stop::Pending));
    let answer = read(rt, a, Piece::of(&mut back), 0, 7);
    assert_eq!(result(rt, 7, answer), 300_000);
    for _ in 0..100 {
        step(rt);
    }
    assert_eq!(completed(rt), []);
    assert_eq!(*orders.log.borrow(), begun, "written during the flush");
    orders.hold_flush.set(false);
    assert_eq!(result(rt, 2, Err(Stop::Pending)), 0);
    let ended = orders
        .log
        .borrow()
        .strip_prefix(begun.as_str())
        .map(String::from);
    assert!(ended.is_some_and(|log| log.starts_with("FwfF")));
    assert_eq!(result(rt, 6, Err(Stop::Pending)), 0);
    for fd in [a, b, c] {
        assert_eq!(rt.close(fd), Ok(0));
    }
    let answer = unmount(rt, "/data", 8);
    assert_eq!(result(rt, 8, answer), 0);
    changed_by("commit", &orders.data.borrow(), &["e2fsck", "-fn"]);
}

/// One commit serves all syncs that wait during it: eight tasks that append and sync need hardly
/// more commits than one task.
fn share_a_commit(name: &str, sync_one: &dyn Fn(&mut Runtime, Fd, Int) -> Answer) {
    const TASKS: usize = 8;
    const ROUNDS: usize = 6;
    let (mut rt, orders) = ext4_runtime(name);
    let rt = &mut rt;
    let mut text = vec![7; 4096];
    let files: Vec<Fd> = (0..TASKS)
        .map(|task| {
            let answer = open(rt, &format!("/data/{task}"), MODE, 1);
            Fd::decode(result(rt, 1, answer)).expect("opened")
        })
        .collect();
    let answer = sync(rt, 1);
    assert_eq!(result(rt, 1, answer), 0);
    orders.log.borrow_mut().clear();
    let mut left = [2 * ROUNDS; TASKS];
    let mut ready: Vec<usize> = (0..TASKS).collect();
    while left.iter().any(|left| *left > 0) {
        for task in core::mem::take(&mut ready) {
            while left[task] > 0 {
                left[task] -= 1;
                let token = task as Int + 1;
                let answer = match left[task] % 2 {
                    1 => write(rt, files[task], Piece::of(&mut text), -1, token),
                    _ => sync_one(rt, files[task], token),
                };
                if answer == Err(Stop::Pending) {
                    break;
                }
                assert!(encode(answer) >= 0, "{answer:?}");
            }
        }
        step(rt);
        while let Some((token, result)) = next_completion(rt, 0) {
            assert!(result >= 0, "{token}: {result}");
            ready.push(token as usize - 1);
        }
    }
    // One for the first sync, and one for all others, which came meanwhile.
    let log = orders.log.borrow().clone();
    let commits = log.matches('f').count() / 2;
    assert!(commits <= 2 * ROUNDS + 1, "{commits} commits: {log}");
}

#[test]
fn syncs_share_a_commit() {
    share_a_commit("shared", &|rt, file, token| file_sync(rt, file, token));
}

/// The same for syncs of the volume that a path is on, whose paths are resolved first.
#[test]
fn syncs_by_path_share_a_commit() {
    share_a_commit("by-path", &|rt, _, token| sync_volume(rt, "/data/0", token));
}

/// The name may have been removed just now, so only its directory has to exist.
#[test]
fn a_sync_by_path_makes_a_removal_durable() {
    let (mut rt, orders) = ext4_runtime("removed");
    let rt = &mut rt;
    let mut text = vec![7; 100];
    for fd in two_files(rt, &mut text) {
        assert_eq!(rt.close(fd), Ok(0));
    }
    let synced = sync_volume(rt, "/data/a", 2);
    assert_eq!(result(rt, 2, synced), 0);
    let removed = unlink(rt, "/data/a", 3);
    assert_eq!(result(rt, 3, removed), 0);
    orders.log.borrow_mut().clear();
    let synced = sync_volume(rt, "/data/a", 4);
    assert_eq!(result(rt, 4, synced), 0);
    assert_eq!(orders.log.borrow().matches('f').count(), 2, "a commit");
    for path in ["/data/a/x", "/data/no/x", "/data/no/"] {
        let answer = sync_volume(rt, path, 5);
        let answer = result(rt, 5, answer);
        assert_eq!(answer, -(Error::NotFound as Int), "{path}");
    }
}

/// Syncs that were merged with another fail with it.
#[test]
fn syncs_of_one_commit_fail_together() {
    let (mut rt, orders) = ext4_runtime("together");
    let rt = &mut rt;
    let mut text = vec![7; 100];
    let [a, b] = two_files(rt, &mut text);
    orders.hold.set(true);
    for (fd, token) in [(a, 2), (b, 3), (a, 4)] {
        assert_eq!(file_sync(rt, fd, token), Err(Stop::Pending));
    }
    orders.hold.set(false);
    orders.fail_flush.set(true);
    for token in [2, 3, 4] {
        assert_eq!(result(rt, token, Err(Stop::Pending)), -(Error::Io as Int));
    }
}

/// A commit whose first flush fails after the file system has continued: syncs fail, nothing is
/// written from then on, and reads return the right contents. After an unmount the disk is in the
/// state of the last commit.
#[test]
fn a_commit_that_fails_late_ends_writing() {
    let (mut rt, orders) = ext4_runtime("late");
    let rt = &mut rt;
    let mut text: Vec<u8> = (0..300_000u32).map(|i| (i % 239) as u8).collect();
    let [a, b] = two_files(rt, &mut text);
    orders.fail_flush.set(true);
    let answer = file_sync(rt, b, 2);
    assert_eq!(result(rt, 2, answer), IO);
    orders.fail_flush.set(false);
    orders.log.borrow_mut().clear();
    for token in 3..6 {
        let answer = write(rt, b, Piece::of(&mut text), 0, token);
        let _ = result(rt, token, answer);
        let answer = file_sync(rt, b, token);
        assert!(result(rt, token, answer) < 0);
    }
    let mut back = vec![0; 300_000];
    let answer = read(rt, a, Piece::of(&mut back), 0, 7);
    assert_eq!(result(rt, 7, answer), 300_000);
    assert!(back == text);
    // It can't be unmounted while it is in use.
    let answer = unmount(rt, "/data", 8);
    assert_eq!(result(rt, 8, answer), -(Error::Busy as Int));
    let answer = read(rt, a, Piece::of(&mut back), 0, 8);
    assert_eq!(result(rt, 8, answer), 300_000);
    for fd in [a, b] {
        assert_eq!(rt.close(fd), Ok(0));
    }
    let answer = unmount(rt, "/data", 8);
    assert_eq!(result(rt, 8, answer), 0);
    assert_eq!(*orders.log.borrow(), "", "written after a commit was lost");
    // The journal is replayed, and the volume works.
    let answer = open(rt, "/data/a", MODE, 9);
    let a = Fd::decode(result(rt, 9, answer)).expect("opened");
    back.fill(0);
    let answer = read(rt, a, Piece::of(&mut back), 0, 9);
    assert_eq!(result(rt, 9, answer), 300_000);
    assert!(back == text);
    let answer = sync(rt, 9);
    assert_eq!(result(rt, 9, answer), 0);
    assert_eq!(rt.close(a), Ok(0));
    let answer = unmount(rt, "/data", 10);
    assert_eq!(result(rt, 10, answer), 0);
    changed_by("late", &orders.data.borrow(), &["e2fsck", "-fn"]);
}

/// The host is full at the last block of a commit, which is written after the first flush: syncs
/// say so, and once there is room the block is written, and the next commit after it.
#[test]
fn the_end_of_a_commit_is_repeated_until_the_disk_takes_it() {
    const NO_SPACE: Int = -(Error::NoSpace as Int);
    let (mut rt, orders) = ext4_runtime("full");
    let rt = &mut rt;
    let mut text = vec![7; 3000];
    let [a, b] = two_files(rt, &mut text);
    orders.hold_flush.set(true);
    assert_eq!(file_sync(rt, b, 2), Err(Stop::Pending));
    for _ in 0..100 {
        step(rt);
    }
    orders.full.set(true);
    orders.hold_flush.set(false);
    assert_eq!(result(rt, 2, Err(Stop::Pending)), NO_SPACE);
    orders.log.borrow_mut().clear();
    let mut more = vec![8; 3000];
    for token in 3..6 {
        let answer = write(rt, a, Piece::of(&mut more), 0, token);
        assert!([3000, NO_SPACE].contains(&result(rt, token, answer)));
        let answer = file_sync(rt, a, token);
        assert_eq!(result(rt, token, answer), NO_SPACE);
    }
    assert_eq!(
        *orders.log.borrow(),
        "",
        "written after the commit was refused"
    );
    orders.full.set(false);
    let answer = write(rt, a, Piece::of(&mut more), 0, 6);
    assert_eq!(result(rt, 6, answer), 3000);
    let answer = file_sync(rt, a, 7);
    assert_eq!(result(rt, 7, answer), 0);
    // The refused block and its flush, then the next commit.
    let log = orders.log.borrow().clone();
    assert!(
        log.starts_with("wfF") && log.matches('F').count() >= 3,
        "{log}"
    );
    for fd in [a, b] {
        assert_eq!(rt.close(fd), Ok(0));
    }
    let answer = unmount(rt, "/data", 8);
    assert_eq!(result(rt, 8, answer), 0);
    changed_by("full", &orders.data.borrow(), &["e2fsck", "-fn"]);
    for (path, byte) in [("/data/a", 8), ("/data/b", 7)] {
        let answer = open(rt, path, MODE, 9);
        let file = Fd::decode(result(rt, 9, answer)).expect("opened");
        let mut back = vec![0; 3000];
        let answer = read(rt, file, Piece::of(&mut back), 0, 9);
        assert_eq!(result(rt, 9, answer), 3000);
        assert!(back.iter().all(|read| *read == byte), "{path}");
        assert_eq!(rt.close(file), Ok(0));
    }
}

/// A mount fails while the flush of its replay goes on, and the disk refuses the block that ends the
/// replay. The next mount begins again with what is on the disk.
#[test]
fn a_mount_that_fails_within_its_replay_is_repeated() {
    let (mut rt, orders) = ext4_runtime("replay");
    let mut text = vec![5; 3000];
    let fds = two_files(&mut rt, &mut text);
    let answer = file_sync(&mut rt, fds[1], 2);
    assert_eq!(result(&mut rt, 2, answer), 0);
    let crashed = orders.data.borrow().clone();
    let (mut rt, orders) = runtime_with(crashed);
    let rt = &mut rt;
    drivers::register(rt, drivers::EXT4).expect("room");
    orders.hold_flush.set(true);
    assert_eq!(open(rt, "/data/a", MODE, 1), Err(Stop::Pending));
    while !orders.log.borrow().ends_with('f') {
        step(rt);
    }
    orders.fail.set(true);
    for _ in 0..10 {
        step(rt);
    }
    orders.fail.set(false);
    orders.full.set(true);
    orders.hold_flush.set(false);
    assert_eq!(result(rt, 1, Err(Stop::Pending)), IO);
    for _ in 0..10 {
        step(rt);
    }
    assert!(orders.log.borrow().ends_with("fF"), "refused after a flush");
    orders.full.set(false);
    // A change would have the refused write repeated.
    assert_eq!(health(rt, 2), 0);
    let answer = open(rt, "/data/a", MODE, 2);
    let file = Fd::decode(result(rt, 2, answer)).expect("opened");
    let mut back = vec![0; 3000];
    let answer = read(rt, file, Piece::of(&mut back), 0, 3);
    assert_eq!(result(rt, 3, answer), 3000);
    assert!(back == text);
    assert_eq!(rt.close(file), Ok(0));
    let answer = unmount(rt, "/data", 4);
    assert_eq!(result(rt, 4, answer), 0);
    changed_by("replay", &orders.data.borrow(), &["e2fsck", "-fn"]);
}

/// An unmount whose commit fails late reports it. The volume is removed all the same, and the disk
/// can be mounted.
#[test]
fn an_unmount_that_fails_late_is_an_error() {
    let (mut rt, orders) = ext4_runtime("unmount");
    let rt = &mut rt;
    let mut text = vec![5; 300_000];
    for fd in two_files(rt, &mut text) {
        assert_eq!(rt.close(fd), Ok(0));
    }
    orders.fail_flush.set(true);
    let answer = unmount(rt, "/data", 2);
    assert_eq!(result(rt, 2, answer), IO);
    orders.fail_flush.set(false);
    let answer = open(rt, "/data/a", MODE, 3);
    let a = Fd::decode(result(rt, 3, answer)).expect("opened");
    let mut back = vec![0; 300_000];
    let answer = read(rt, a, Piece::of(&mut back), 0, 4);
    assert_eq!(result(rt, 4, answer), 300_000);
    assert!(back == text);
    let answer = sync(rt, 5);
    assert_eq!(result(rt, 5, answer), 0);
}
