//! The functions of the interface. Each takes a token; 0 means none.

pub mod descriptors;
pub mod leases;
pub mod mounting;
pub mod paths;

use crate::Runtime;

/// See `soil_fs_given_up`.
pub fn abandoned(rt: &mut Runtime, token: u64) -> usize {
    let mut volumes = rt.resources.files.volumes.iter_mut();
    let abandoned = volumes.find_map(|(index, volume)| {
        let is_abandoned = volume.schedule.take_abandoned(token);
        is_abandoned.then_some(index + 1)
    });
    abandoned.unwrap_or(0)
}
