use super::{NAMES, aarch64, name, position, x86_64};

#[test]
fn names_are_at_their_numbers() {
    let numbers = [
        (
            x86_64::NAMES,
            &[
                ("read", 0),
                ("execve", 59),
                ("exit_group", 231),
                ("rseq", 334),
            ],
        ),
        (
            aarch64::NAMES,
            &[
                ("read", 63),
                ("execve", 221),
                ("exit_group", 94),
                ("rseq", 293),
            ],
        ),
    ];
    for (names, calls) in numbers {
        for (call, number) in calls {
            assert_eq!(position(names, call.as_bytes()), Some(*number), "{call}");
        }
    }
    assert_eq!(aarch64::NAMES.split(' ').count(), 295);
    assert_eq!(position(aarch64::NAMES, b"open"), None);
    assert_eq!(position(aarch64::NAMES, b"reads"), None);
    assert_eq!(position(aarch64::NAMES, b"rea"), None);
}

#[test]
fn calls_that_a_processor_lacks_have_other_numbers() {
    use super::{ACCESS, FORK, OPEN, PAUSE, PPOLL, STAT, exists};
    assert!(exists(PPOLL));
    // All of these or none.
    let old = [ACCESS, FORK, OPEN, PAUSE, STAT];
    assert!(old.iter().all(|number| exists(*number) == exists(OPEN)));
    let found = old.iter().filter(|number| name(**number).is_some());
    assert_eq!(found.count(), if exists(OPEN) { 5 } else { 0 });
}

#[test]
fn numbers_have_names() {
    let last = NAMES.split(' ').count() as u64;
    assert_eq!(name(super::READ), Some("read"));
    assert_eq!(name(last), None);
    assert_eq!(
        (name(424), name(435)),
        (Some("pidfd_send_signal"), Some("clone3"))
    );
    assert_eq!((super::CLOSE_RANGE, name(u64::MAX)), (436, None));
}
