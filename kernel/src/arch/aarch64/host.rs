//! What a host tells of the virtual processors: nothing that is needed. Flushes reach those that it
//! doesn't run, too, and it has no hint that it runs all of them all the time.

/// Lets the host write what it tells of the processor that runs.
pub fn begin() {}

/// Has the host flush all translations of a processor before it runs that again; false if the
/// processor may be running.
pub fn flush_later(_: usize) -> bool {
    false
}

/// How long the host has kept the processor that runs from running, in nanoseconds, as far as it
/// says.
pub fn taken_ns() -> u64 {
    0
}

/// Whether the host promises to run the virtual processors all the time.
pub fn is_dedicated() -> bool {
    false
}
