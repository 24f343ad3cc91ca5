//! The numbers of the interface: results, options, kinds, flags and counters.
//!
//! `soil_raw.ml` has them by the same names.

use super::Int;

/// Number of this interface: it changes with every incompatible change, and OCaml checks it at
/// start.
pub const SOIL_ABI: Int = 8;
/// The operation was started and completes later.
pub const PENDING: Int = -1000;
/// Nothing was done: park and try again.
pub const WOULD_BLOCK: Int = -1001;
/// The largest token.
pub const MAX_TOKEN: Int = 1 << 40;
/// The first token of an operation whose completion comes through [`soil_await`], to the one thread
/// that waits for it; those of smaller ones come through [`soil_wait`].
pub const FIRST_TOKEN_OF_THREADS: Int = 1 << 39;

/// `soil_fd_park`: until there is something to read, or to accept.
pub const PARK_READ: Int = 0;
/// `soil_fd_park`: until there is room to write, or the connection is established.
pub const PARK_WRITE: Int = 1;

/// `soil_tcp_set`: 1: small writes are sent at once (the default); 0: they wait for an
/// acknowledgement (Nagle, RFC 9293, 3.7.4).
pub const OPTION_NODELAY: Int = 0;
/// `soil_tcp_set`: nanoseconds without an acknowledgement that end the connection with `Timed_out`
/// (RFC 5482); 0: never.
pub const OPTION_USER_TIMEOUT: Int = 2;
/// `soil_tcp_set`: nanoseconds that a closed connection may go on delivering; 0: closing sends RST.
pub const OPTION_LINGER: Int = 3;
/// `soil_tcp_set`: 0: CUBIC (RFC 9438), 1: NewReno (RFC 6582).
pub const OPTION_CONGESTION: Int = 4;
/// `soil_tcp_set`: limit of bytes that are written and not acknowledged (4 KiB to 1 GiB).
pub const OPTION_SEND_BUFFER: Int = 5;
/// `soil_tcp_set`: limit of bytes that wait to be read (4 KiB to what the window's scale allows).
pub const OPTION_RECEIVE_BUFFER: Int = 6;

/// `soil_tcp_set`: 1: timestamps if the peer agrees (RFC 7323; the default); 0: none. For a
/// listener, this option and those below apply to connections that it establishes from then on; a
/// connection has settled this one by its SYN.
pub const OPTION_TIMESTAMPS: Int = 7;
/// `soil_tcp_set`: 1: selective acknowledgements if the peer agrees (RFC 2018; the default); 0:
/// none. Settled by the SYN.
pub const OPTION_SACK: Int = 8;
/// `soil_tcp_set`: 1: windows beyond 64 KiB if the peer agrees (RFC 7323, 2; the default); 0: none.
/// Settled by the SYN.
pub const OPTION_WINDOW_SCALING: Int = 9;
/// `soil_tcp_set`: 1: segments are spread over the round trip (the default); 0: sent at once.
pub const OPTION_PACING: Int = 10;
/// `soil_tcp_set`: nanoseconds that an acknowledgement may wait, at most 499 ms; 0: not at all (RFC
/// 5681, 4.2).
pub const OPTION_DELAYED_ACK: Int = 11;
/// `soil_tcp_set`: the largest segment in bytes of payload (88 to 65 535); 0: what the path
/// carries.
pub const OPTION_MSS: Int = 12;

/// `soil_net_mark`: the TTL or hop limit of what is sent, 1 to 255 (RFC 9293, 3.9.2; RFC 1122,
/// 4.1.4); 0: the default.
pub const MARK_HOP_LIMIT: Int = 0;
/// `soil_net_mark`: the DSCP of what is sent, 0 to 63 (RFC 2474, 3).
pub const MARK_DSCP: Int = 1;

/// `soil_fs_open`: for reading.
pub const OPEN_READ: Int = 1;
/// `soil_fs_open`: for writing.
pub const OPEN_WRITE: Int = 2;
/// `soil_fs_open`: create the file if it is missing.
pub const OPEN_CREATE: Int = 4;
/// `soil_fs_open`: with [`OPEN_CREATE`]: fail if it is there.
pub const OPEN_EXCLUSIVE: Int = 8;
/// `soil_fs_open`: cut the file to length 0.
pub const OPEN_TRUNCATE: Int = 16;
/// `soil_fs_open`: every write goes to the end.
pub const OPEN_APPEND: Int = 32;

/// `soil_fs_stat`: an ordinary file.
pub const ENTRY_FILE: Int = 0;
/// `soil_fs_stat`: a directory.
pub const ENTRY_DIRECTORY: Int = 1;
/// `soil_fs_stat`: a symbolic link.
pub const ENTRY_SYMLINK: Int = 2;

/// `soil_trace`: the task runs.
pub const TRACE_RUNS: Int = 1;
/// `soil_trace`: it waits, for what the name says.
pub const TRACE_WAITS: Int = 2;
/// `soil_trace`: it has ended.
pub const TRACE_ENDED: Int = 3;
/// `soil_trace`: the operation of this name was started, for which it will wait.
pub const TRACE_OPERATION: Int = 4;
/// `soil_trace`: no task can run; the program waits.
pub const TRACE_SLEEPS: Int = 5;
/// `soil_trace`: that has ended.
pub const TRACE_WAKES: Int = 6;
/// `soil_trace`: the operation of this name was done at once.
pub const TRACE_DONE: Int = 7;

/// `soil_counters`: bytes of memory in use.
pub const COUNTER_MEMORY: Int = 0;
/// `soil_counters`: open descriptors.
pub const COUNTER_DESCRIPTORS: Int = 1;
/// `soil_counters`: operations waiting for their completion.
pub const COUNTER_OPERATIONS: Int = 2;
/// `soil_counters`: TCP connections in any state, those in TIME-WAIT included.
pub const COUNTER_CONNECTIONS: Int = 3;
/// `soil_counters`: Ethernet frames received.
pub const COUNTER_FRAMES_IN: Int = 4;
/// `soil_counters`: Ethernet frames sent.
pub const COUNTER_FRAMES_OUT: Int = 5;
/// `soil_counters`: frames received and not understood or not wanted.
pub const COUNTER_DROPS: Int = 6;
/// `soil_counters`: requests given to block devices.
pub const COUNTER_BLOCK_REQUESTS: Int = 7;
/// `soil_counters`: times that the machine or the process slept in `soil_wait`.
pub const COUNTER_SLEEPS: Int = 8;
/// `soil_counters`: calls of threads that waited until another's was over.
pub const COUNTER_LOCK_WAITS: Int = 9;
/// `soil_counters`: the longest such wait, in nanoseconds.
pub const COUNTER_LOCK_WAIT_MAX: Int = 10;

/// `soil_instance_text`: where the metadata come from, as `SOIL_METADATA` names it.
pub const INSTANCE_SOURCE: Int = 0;
/// `soil_instance_text`: the provider's identifier of the machine.
pub const INSTANCE_ID: Int = 1;
/// `soil_instance_text`: the host name.
pub const INSTANCE_HOST_NAME: Int = 2;
/// `soil_instance_text`: the user data.
pub const INSTANCE_USER_DATA: Int = 3;
/// `soil_instance_text`: an argument.
pub const INSTANCE_ARGUMENT: Int = 4;
/// `soil_instance_text`: the name of an environment variable.
pub const INSTANCE_VARIABLE_NAME: Int = 5;
/// `soil_instance_text`: the value of that variable.
pub const INSTANCE_VARIABLE: Int = 6;
/// `soil_instance_text`: the path of a file.
pub const INSTANCE_FILE_PATH: Int = 7;
/// `soil_instance_text`: the contents of that file.
pub const INSTANCE_FILE: Int = 8;
