//! Handshakes, data, and the end.

use super::super::{Setup, State};
use super::link::{MS, SECOND, World, pattern};

#[test]
fn a_connection_opens_carries_data_both_ways_and_closes() {
    let mut world = World::standard(5 * MS);
    let (there, back) = (pattern(300_000), pattern(123_457));
    world.write(0, &there);
    world.write(1, &back);
    world.ends[0].shut = true;
    world.ends[1].shut = true;
    assert!(world.run_until(30 * SECOND, |world| {
        world
            .ends
            .iter()
            .all(|end| matches!(end.machine.state(), State::TimeWait | State::Closed))
    }));
    assert!(world.ends[1].received == there && world.ends[0].received == back);
    assert_eq!(world.ends[0].machine.info().retransmitted, 0);
    assert_eq!(world.ends[1].machine.info().retransmitted, 0);
    world.run(120 * SECOND);
    for end in &world.ends {
        assert_eq!(
            (end.machine.state(), end.machine.error()),
            (State::Closed, None)
        );
    }
    world.assert_released();
}

#[test]
fn a_machine_is_small() {
    let size = size_of::<super::super::Machine>();
    println!("{size}");
    assert!(size <= 1232, "{size}");
}

#[test]
fn segmentation_by_devices_and_joined_segments() {
    let mut world = World::standard(MS / 10);
    for end in &mut world.ends {
        end.tap.tso = 65_000;
        end.gro = 65_000;
    }
    let data = pattern(8_000_000);
    world.write(0, &data);
    assert!(
        world.run_until(30 * SECOND, |world| world.ends[1].received.len()
            == data.len())
    );
    assert!(world.ends[1].received == data);
    println!(
        "calls {} of {} segments",
        world.ends[0].tap.calls,
        world.sent(0).count()
    );
    assert!(world.ends[0].tap.calls * 10 < world.sent(0).count());
    assert_eq!(world.ends[0].machine.info().retransmitted, 0);
    world.assert_released();
}

#[test]
fn everything_arrives_over_a_bad_link() {
    for seed in 1..30u64 {
        let client = Setup {
            iss: 0xffff_ff00,
            sack: seed % 3 != 0,
            timestamps: seed % 2 == 0,
            ..Setup::default()
        };
        let mut world = World::connected(10 * MS, &client, &Setup::default());
        world.ends[0].tap.tso = if seed % 5 == 0 { 65_000 } else { 0 };
        let mut state = seed;
        world.rule = Box::new(move |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let chance = state % 1000;
            if chance < 30 {
                None
            } else if chance < 60 {
                Some(state % (30 * MS))
            } else {
                Some(0)
            }
        });
        let (there, back) = (pattern(400_000), pattern(100_000));
        world.write(0, &there);
        world.write(1, &back);
        let done = world.run_until(400 * SECOND, |world| {
            world.ends[1].received.len() == there.len()
                && world.ends[0].received.len() == back.len()
        });
        assert!(
            done,
            "seed {seed}: {} {:?} {:?}",
            world.ends[1].received.len(),
            world.ends[0].machine.info(),
            world.ends[1].machine.info()
        );
        assert!(world.ends[1].received == there && world.ends[0].received == back);
        world.ends[0].shut = true;
        world.ends[1].shut = true;
        assert!(
            world.run_until(400 * SECOND, |world| world
                .ends
                .iter()
                .all(|end| end.machine.state() == State::Closed)),
            "seed {seed}"
        );
        world.assert_released();
    }
}
