//! Records: the numbers that a function fills into an `Ints`, each with a name.
//!
//! A record crosses the boundary as its fields in their order. `soil_raw.ml` has for each a
//! constructor that is its index, so that OCaml reads it by name at the price of an index.

use super::Int;

/// Declares a record. The generator reads the declaration as it stands.
macro_rules! record {
    ($(#[$attribute:meta])* pub struct $record:ident {
        $($(#[$of_field:meta])* pub $field:ident: Int,)+
    }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $record {
            $($(#[$of_field])* pub $field: Int,)+
        }

        impl $record {
            /// Number of fields.
            pub const LENGTH: usize = [$(stringify!($field)),+].len();

            /// The fields in their order.
            pub fn numbers(&self) -> [Int; Self::LENGTH] {
                [$(self.$field),+]
            }
        }
    };
}

record! {
    /// State of a TCP connection (`soil_tcp_info`). Flags are 0 or 1.
    pub struct TcpInfo {
        /// Smoothed round-trip time, in nanoseconds (RFC 6298).
        pub rtt: Int,
        /// Variation of the round-trip time, in nanoseconds.
        pub rtt_variation: Int,
        /// Least round-trip time, in nanoseconds.
        pub rtt_min: Int,
        /// Retransmission timeout, in nanoseconds.
        pub retransmission_timeout: Int,
        /// Bytes of payload of a full segment.
        pub segment_size: Int,
        /// Congestion window, in bytes.
        pub congestion_window: Int,
        /// Slow start threshold, in bytes; 0xffff_ffff: none yet.
        pub slow_start_threshold: Int,
        /// The peer's receive window, in bytes.
        pub send_window: Int,
        /// The own receive window, in bytes.
        pub receive_window: Int,
        /// Bytes that are believed to be on the way.
        pub in_flight: Int,
        /// Bytes written and not acknowledged.
        pub unacknowledged: Int,
        /// Bytes received and not read.
        pub unread: Int,
        /// Bytes received beyond a gap.
        pub out_of_order: Int,
        /// Segments retransmitted.
        pub retransmitted: Int,
        /// Retransmission timeouts that expired.
        pub timeouts: Int,
        /// 0: open, nothing is known to be lost; 1: recovery; 2: recovery after a timeout.
        pub phase: Int,
        /// Bytes selectively acknowledged (RFC 2018).
        pub sacked: Int,
        /// Bytes held to be lost.
        pub lost: Int,
        /// Flag: the path has reordered segments.
        pub reordering: Int,
        /// The peer's largest segment, in bytes of payload.
        pub peer_segment_size: Int,
        /// MTU of the path, in bytes.
        pub path_mtu: Int,
        /// Flag: timestamps (RFC 7323).
        pub timestamps: Int,
        /// Flag: selective acknowledgements.
        pub sack: Int,
        /// Flag: explicit congestion notification (RFC 3168).
        pub ecn: Int,
        /// Flag: scaled windows (RFC 7323).
        pub window_scaling: Int,
        /// Shift of the own window.
        pub own_window_shift: Int,
        /// Shift of the peer's window.
        pub peer_window_shift: Int,
        /// Tail loss probes sent (RFC 8985).
        pub loss_probes: Int,
        /// Recoveries that turned out to be needless.
        pub spurious_recoveries: Int,
        /// Bytes acknowledged by the peer so far.
        pub bytes_acknowledged: Int,
        /// Bytes received in order so far.
        pub bytes_received: Int,
    }
}

record! {
    /// Answer to an echo request (`soil_echo_result`).
    pub struct EchoReply {
        /// Time from request to answer, in nanoseconds.
        pub time: Int,
        /// TTL or hop limit of the answer.
        pub hop_limit: Int,
    }
}

record! {
    /// Attributes of a file or directory (`soil_fs_stat`, `soil_file_stat`). Times are seconds
    /// since 1970-01-01 00:00 UTC, with nanoseconds of that second.
    pub struct Stat {
        /// Size in bytes.
        pub size: Int,
        /// Kind (`ENTRY_*`).
        pub kind: Int,
        /// Last change of the contents.
        pub modified: Int,
        /// Nanoseconds of `modified`.
        pub modified_ns: Int,
        /// Last access.
        pub accessed: Int,
        /// Last change of the attributes.
        pub changed: Int,
        /// Number of names.
        pub links: Int,
        /// Inode number.
        pub inode: Int,
        /// Flag: marked read-only.
        pub read_only: Int,
        /// Nanoseconds of `accessed`.
        pub accessed_ns: Int,
        /// Nanoseconds of `changed`.
        pub changed_ns: Int,
        /// Number of the volume; -1 for a directory that only leads to mount points.
        pub volume: Int,
    }
}

record! {
    /// Place of a file's contents in memory (`soil_file_contents`).
    pub struct Contents {
        /// Address of the first byte.
        pub address: Int,
        /// Length in bytes.
        pub length: Int,
        /// Address of `length`, for OCaml's runtime, which makes bigarrays of a length in memory.
        pub length_address: Int,
    }
}

record! {
    /// Space and health of a volume (`soil_fs_space`).
    pub struct Space {
        /// Total bytes.
        pub total: Int,
        /// Free bytes.
        pub free: Int,
        /// Allocation unit, in bytes.
        pub unit: Int,
        /// 0: takes writes; 1: read-only; 2: corrupt; 3: takes writes on a disk without flush.
        pub health: Int,
        /// Free bytes less those reserved for the machine's administrator.
        pub available: Int,
    }
}

record! {
    /// Statistics of a volume's cache, or of all (`soil_cache_statistics`).
    pub struct CacheStatistics {
        /// Bytes not yet written to the device.
        pub dirty: Int,
        /// Reads answered from memory.
        pub hits: Int,
        /// Reads that needed the device.
        pub misses: Int,
        /// Bytes read ahead.
        pub read_ahead: Int,
        /// Bytes of memory that all caches use for what was read; 0 for one volume.
        pub used: Int,
        /// Limit of `used`; 0 for one volume.
        pub limit: Int,
    }
}

record! {
    /// Geometry and capabilities of a block device (`soil_block_info`).
    pub struct BlockInfo {
        /// Sector size in bytes.
        pub sector_size: Int,
        /// Number of sectors.
        pub sectors: Int,
        /// Flag: it can't be written.
        pub read_only: Int,
        /// Limit of sectors in one request.
        pub request_sectors: Int,
        /// Sum of 1: durable writes, 2: discard, 4: write zeros.
        pub capabilities: Int,
    }
}

record! {
    /// Memory of the machine, in bytes (`soil_machine_memory`).
    pub struct MachineMemory {
        /// Total.
        pub total: Int,
        /// In use.
        pub in_use: Int,
        /// Free.
        pub free: Int,
        /// Highest use so far.
        pub high_water: Int,
    }
}

record! {
    /// Descriptors of a pipe's ends (`soil_pipe`).
    pub struct PipeEnds {
        /// The reading end.
        pub reader: Int,
        /// The writing end.
        pub writer: Int,
    }
}

#[cfg(test)]
mod tests {
    use super::{EchoReply, TcpInfo};

    #[test]
    fn a_record_crosses_in_the_order_of_its_fields() {
        let reply = EchoReply {
            hop_limit: 64,
            time: 1_000,
        };
        assert_eq!(reply.numbers(), [1_000, 64]);
        let info = TcpInfo {
            bytes_received: 7,
            ..TcpInfo::default()
        };
        assert_eq!(info.numbers().last(), Some(&7));
    }
}
