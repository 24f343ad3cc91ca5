//! Positions in rings.

use proptest::prelude::*;

use crate::ena::position::Position;

proptest! {
    #[test]
    fn positions_are_those_of_a_count(log in 1u32..16, steps in 0u32..200_000) {
        let depth = 1u16 << log;
        let mut position = Position::new(depth);
        for _ in 0..steps {
            position.advance();
        }
        prop_assert_eq!(u32::from(position.count()), steps % (1 << 16));
        prop_assert_eq!(position.slot() as u32, steps % u32::from(depth));
        prop_assert_eq!(position.phase(), (steps / u32::from(depth)).is_multiple_of(2));
    }
}
