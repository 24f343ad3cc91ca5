//! Counters of the parts that are in use, for metrics. Reading them initialises no part.

use crate::Runtime;
use crate::types::copy;
use crate::{disks, net};
use alloc::string::String;
use platform::error::Answer;

/// See `soil_statistics`.
pub fn read(rt: &mut Runtime, into: &mut [u8]) -> Answer {
    let mut text = String::new();
    if let Some(net) = rt.resources.net.as_deref_mut() {
        net::inspect::statistics_of(net, &mut text);
    }
    if let Some(disks) = rt.resources.disks.as_deref() {
        disks::statistics(disks, &mut text);
    }
    rt.resources.files.describe(&mut text);
    Ok(copy(text.as_bytes(), into))
}

#[cfg(test)]
mod tests {
    use super::read;
    use crate::Runtime;

    #[test]
    fn nothing_is_started_by_asking() {
        let mut rt = Runtime::new();
        assert_eq!(read(&mut rt, &mut []), Ok(0));
        assert!(rt.resources.net.is_none());
        assert!(rt.resources.disks.is_none());
        assert!(!rt.resources.files.has_begun());
    }
}
