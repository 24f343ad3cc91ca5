//! Raw disks that are slow, shrink, or have partitions.
