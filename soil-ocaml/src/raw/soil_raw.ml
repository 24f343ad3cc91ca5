(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

type bytes_buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type int_buffer = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

module Error_code = struct
  type code =
    | Invalid  (** An argument is out of range: the caller's mistake. *)
    | Closed  (** The descriptor was closed, by this task or by another. *)
    | Not_found  (** No such file, directory or device. *)
    | Exists  (** The file or directory exists already. *)
    | Not_directory  (** A directory was needed, or a component of the path is a file. *)
    | Is_directory  (** The path names a directory where a file is needed. *)
    | Not_empty  (** The directory has entries. *)
    | No_space  (** The disk, or a fixed-size table on it, is full. *)
    | Read_only  (** The disk, the file or the descriptor can't be written. *)
    | Invalid_name  (** The file system can't store this name. *)
    | Name_too_long  (** A name or path is longer than the file system allows. *)
    | Too_large  (** The size or the offset is beyond what the format allows. *)
    | Corrupt  (** The file system's data is inconsistent. *)
    | Io  (** The device failed. *)
    | Busy  (** It is in use elsewhere in the program, or a disk by another program. *)
    | Unsupported  (** The device, the file system or the platform can't do it. *)
    | Connection_refused  (** The peer's host refused the connection (RST). *)
    | Connection_reset  (** The peer reset the connection. *)
    | Timed_out  (** A deadline, or the protocol's own limit, has passed. *)
    | Unreachable
        (** There is no route, or a router reports that the destination can't be reached. *)
    | Address_in_use  (** Another descriptor has this address and port. *)
    | Address_not_available  (** No interface has this address, or all ports are taken. *)
    | Not_connected  (** The connection isn't established, or no longer. *)
    | Broken_pipe  (** The other side no longer reads. *)
    | No_device  (** The machine has no such device. *)
    | No_entropy  (** The machine has no source of random numbers. *)
    | Out_of_memory  (** Out of memory. *)
    | Too_many_open  (** The table of descriptors, ports or connections is full. *)
    | Cancelled  (** The operation was cancelled. *)
    | No_such_host  (** The name has no address, or none of the family asked for. *)
    | No_network  (** There is no network interface, or none with an address yet. *)
    | Name_server_failure  (** No name server responded, or the response was a failure. *)
    | Message_too_long  (** The datagram is larger than can be sent. *)
    | Bad_configuration  (** The value of an environment variable is invalid. *)
    | Permission_denied  (** The host doesn't permit it. *)
    | Too_many_links
        (** A path crosses more than 40 symbolic links, or a file has the maximum number of
            names. *)
    | Cross_volume
        (** Two paths are on different volumes, which a rename or a hard link can't span. *)
    | Deadlock
        (** Every task waits for another one, and nothing can wake any of them (raised in OCaml). *)
    | Certificate  (** A certificate wasn't accepted: the peer's here, or this end's by the peer. *)
    | Tls  (** The peer broke the TLS protocol, or no parameters were agreed on. *)
    | Unknown of int  (** A code that this version of the library doesn't know. *)
  (** Code of a failure. The list only grows, at its end; a number is never reused with another
      meaning. *)
end

external constant_constructor : int -> Error_code.code = "%identity"

let error_code r =
  if r >= -29 && r < 0 then constant_constructor (-1 - r)
  else if r >= -41 && r < -30 then constant_constructor (-2 - r)
  else Error_code.Unknown (-r)
(** [error_code r] is the code of the negative result [r]. *)

let abi = 6
(** Number of this interface: it changes with every incompatible change, and OCaml checks it at
    start. *)

let pending = -1000
(** The operation was started and completes later. *)

let would_block = -1001
(** Nothing was done: park and try again. *)

let max_token = 1 lsl 40
(** The largest token. *)

let first_token_of_threads = 1 lsl 39
(** The first token of an operation whose completion comes through [soil_await], to the one thread
    that waits for it; those of smaller ones come through [soil_wait]. *)

let park_read = 0
(** [soil_fd_park]: until there is something to read, or to accept. *)

let park_write = 1
(** [soil_fd_park]: until there is room to write, or the connection is established. *)

let option_nodelay = 0
(** [soil_tcp_set]: 1: small writes are sent at once (the default); 0: they wait for an
    acknowledgement (Nagle, RFC 9293, 3.7.4). *)

let option_user_timeout = 2
(** [soil_tcp_set]: nanoseconds without an acknowledgement that end the connection with [Timed_out]
    (RFC 5482); 0: never. *)

let option_linger = 3
(** [soil_tcp_set]: nanoseconds that a closed connection may go on delivering; 0: closing sends
    RST. *)

let option_congestion = 4
(** [soil_tcp_set]: 0: CUBIC (RFC 9438), 1: NewReno (RFC 6582). *)

let option_send_buffer = 5
(** [soil_tcp_set]: limit of bytes that are written and not acknowledged (4 KiB to 1 GiB). *)

let option_receive_buffer = 6
(** [soil_tcp_set]: limit of bytes that wait to be read (4 KiB to what the window's scale
    allows). *)

let option_timestamps = 7
(** [soil_tcp_set]: 1: timestamps if the peer agrees (RFC 7323; the default); 0: none. For a
    listener, this option and those below apply to connections that it establishes from then on; a
    connection has settled this one by its SYN. *)

let option_sack = 8
(** [soil_tcp_set]: 1: selective acknowledgements if the peer agrees (RFC 2018; the default); 0:
    none. Settled by the SYN. *)

let option_window_scaling = 9
(** [soil_tcp_set]: 1: windows beyond 64 KiB if the peer agrees (RFC 7323, 2; the default); 0: none.
    Settled by the SYN. *)

let option_pacing = 10
(** [soil_tcp_set]: 1: segments are spread over the round trip (the default); 0: sent at once. *)

let option_delayed_ack = 11
(** [soil_tcp_set]: nanoseconds that an acknowledgement may wait, at most 499 ms; 0: not at all (RFC
    5681, 4.2). *)

let option_mss = 12
(** [soil_tcp_set]: the largest segment in bytes of payload (88 to 65 535); 0: what the path
    carries. *)

let mark_hop_limit = 0
(** [soil_net_mark]: the TTL or hop limit of what is sent, 1 to 255 (RFC 9293, 3.9.2; RFC 1122,
    4.1.4); 0: the default. *)

let mark_dscp = 1
(** [soil_net_mark]: the DSCP of what is sent, 0 to 63 (RFC 2474, 3). *)

let kind_console = 0
(** [soil_fd_kind]: the console. *)

let kind_pipe = 1
(** [soil_fd_kind]: an end of a pipe. *)

let kind_tcp = 2
(** [soil_fd_kind]: a TCP connection. *)

let kind_file = 3
(** [soil_fd_kind]: a file. *)

let kind_listener = 4
(** [soil_fd_kind]: a TCP listener. *)

let kind_udp = 5
(** [soil_fd_kind]: a UDP socket. *)

let kind_directory = 6
(** [soil_fd_kind]: an open directory. *)

let kind_block = 7
(** [soil_fd_kind]: a block device. *)

let kind_ethernet = 8
(** [soil_fd_kind]: a socket for raw Ethernet frames. *)

let kind_echo = 9
(** [soil_fd_kind]: an echo request. *)

let kind_vsock = 10
(** [soil_fd_kind]: a vsock connection. *)

let kind_vsock_listener = 11
(** [soil_fd_kind]: a vsock listener. *)

let open_read = 1
(** [soil_fs_open]: for reading. *)

let open_write = 2
(** [soil_fs_open]: for writing. *)

let open_create = 4
(** [soil_fs_open]: create the file if it is missing. *)

let open_exclusive = 8
(** [soil_fs_open]: with [OPEN_CREATE]: fail if it is there. *)

let open_truncate = 16
(** [soil_fs_open]: cut the file to length 0. *)

let open_append = 32
(** [soil_fs_open]: every write goes to the end. *)

let entry_file = 0
(** [soil_fs_stat]: an ordinary file. *)

let entry_directory = 1
(** [soil_fs_stat]: a directory. *)

let entry_symlink = 2
(** [soil_fs_stat]: a symbolic link. *)

let trace_runs = 1
(** [soil_trace]: the task runs. *)

let trace_waits = 2
(** [soil_trace]: it waits, for what the name says. *)

let trace_ended = 3
(** [soil_trace]: it has ended. *)

let trace_operation = 4
(** [soil_trace]: the operation of this name was started, for which it will wait. *)

let trace_sleeps = 5
(** [soil_trace]: no task can run; the program waits. *)

let trace_wakes = 6
(** [soil_trace]: that has ended. *)

let trace_done = 7
(** [soil_trace]: the operation of this name was done at once. *)

let counter_memory = 0
(** [soil_counters]: bytes of memory in use. *)

let counter_descriptors = 1
(** [soil_counters]: open descriptors. *)

let counter_operations = 2
(** [soil_counters]: operations waiting for their completion. *)

let counter_connections = 3
(** [soil_counters]: TCP connections in any state, those in TIME-WAIT included. *)

let counter_frames_in = 4
(** [soil_counters]: Ethernet frames received. *)

let counter_frames_out = 5
(** [soil_counters]: Ethernet frames sent. *)

let counter_drops = 6
(** [soil_counters]: frames received and not understood or not wanted. *)

let counter_block_requests = 7
(** [soil_counters]: requests given to block devices. *)

let counter_sleeps = 8
(** [soil_counters]: times that the machine or the process slept in [soil_wait]. *)

let counter_lock_waits = 9
(** [soil_counters]: calls of threads that waited until another's was over. *)

let counter_lock_wait_max = 10
(** [soil_counters]: the longest such wait, in nanoseconds. *)

let instance_source = 0
(** [soil_instance_text]: where the metadata come from, as [SOIL_METADATA] names it. *)

let instance_id = 1
(** [soil_instance_text]: the provider's identifier of the machine. *)

let instance_host_name = 2
(** [soil_instance_text]: the host name. *)

let instance_user_data = 3
(** [soil_instance_text]: the user data. *)

let instance_argument = 4
(** [soil_instance_text]: an argument. *)

let instance_variable_name = 5
(** [soil_instance_text]: the name of an environment variable. *)

let instance_variable = 6
(** [soil_instance_text]: the value of that variable. *)

let instance_file_path = 7
(** [soil_instance_text]: the path of a file. *)

let instance_file = 8
(** [soil_instance_text]: the contents of that file. *)

type tcp_info =
  | Rtt  (** Smoothed round-trip time, in nanoseconds (RFC 6298). *)
  | Rtt_variation  (** Variation of the round-trip time, in nanoseconds. *)
  | Rtt_min  (** Least round-trip time, in nanoseconds. *)
  | Retransmission_timeout  (** Retransmission timeout, in nanoseconds. *)
  | Segment_size  (** Bytes of payload of a full segment. *)
  | Congestion_window  (** Congestion window, in bytes. *)
  | Slow_start_threshold  (** Slow start threshold, in bytes; 0xffff_ffff: none yet. *)
  | Send_window  (** The peer's receive window, in bytes. *)
  | Receive_window  (** The own receive window, in bytes. *)
  | In_flight  (** Bytes that are believed to be on the way. *)
  | Unacknowledged  (** Bytes written and not acknowledged. *)
  | Unread  (** Bytes received and not read. *)
  | Out_of_order  (** Bytes received beyond a gap. *)
  | Retransmitted  (** Segments retransmitted. *)
  | Timeouts  (** Retransmission timeouts that expired. *)
  | Phase  (** 0: open, nothing is known to be lost; 1: recovery; 2: recovery after a timeout. *)
  | Sacked  (** Bytes selectively acknowledged (RFC 2018). *)
  | Lost  (** Bytes held to be lost. *)
  | Reordering  (** Flag: the path has reordered segments. *)
  | Peer_segment_size  (** The peer's largest segment, in bytes of payload. *)
  | Path_mtu  (** MTU of the path, in bytes. *)
  | Timestamps  (** Flag: timestamps (RFC 7323). *)
  | Sack  (** Flag: selective acknowledgements. *)
  | Ecn  (** Flag: explicit congestion notification (RFC 3168). *)
  | Window_scaling  (** Flag: scaled windows (RFC 7323). *)
  | Own_window_shift  (** Shift of the own window. *)
  | Peer_window_shift  (** Shift of the peer's window. *)
  | Loss_probes  (** Tail loss probes sent (RFC 8985). *)
  | Spurious_recoveries  (** Recoveries that turned out to be needless. *)
  | Bytes_acknowledged  (** Bytes acknowledged by the peer so far. *)
  | Bytes_received  (** Bytes received in order so far. *)
(** State of a TCP connection ([soil_tcp_info]). Flags are 0 or 1. *)

external tcp_info : int_buffer -> tcp_info -> int = "%caml_ba_ref_1"

let tcp_info_length = 31

type echo_reply =
  | Time  (** Time from request to answer, in nanoseconds. *)
  | Hop_limit  (** TTL or hop limit of the answer. *)
(** Answer to an echo request ([soil_echo_result]). *)

external echo_reply : int_buffer -> echo_reply -> int = "%caml_ba_ref_1"

let echo_reply_length = 2

type stat =
  | Size  (** Size in bytes. *)
  | Kind  (** Kind ([ENTRY_*]). *)
  | Modified  (** Last change of the contents. *)
  | Modified_ns  (** Nanoseconds of [modified]. *)
  | Accessed  (** Last access. *)
  | Changed  (** Last change of the attributes. *)
  | Links  (** Number of names. *)
  | Inode  (** Inode number. *)
  | Read_only  (** Flag: marked read-only. *)
  | Accessed_ns  (** Nanoseconds of [accessed]. *)
  | Changed_ns  (** Nanoseconds of [changed]. *)
  | Volume  (** Number of the volume; -1 for a directory that only leads to mount points. *)
(** Attributes of a file or directory ([soil_fs_stat], [soil_file_stat]). Times are seconds since
    1970-01-01 00:00 UTC, with nanoseconds of that second. *)

external stat : int_buffer -> stat -> int = "%caml_ba_ref_1"

let stat_length = 12

type contents =
  | Address  (** Address of the first byte. *)
  | Length  (** Length in bytes. *)
  | Length_address
      (** Address of [length], for OCaml's runtime, which makes bigarrays of a length in memory. *)
(** Place of a file's contents in memory ([soil_file_contents]). *)

external contents : int_buffer -> contents -> int = "%caml_ba_ref_1"

let contents_length = 3

type space =
  | Total  (** Total bytes. *)
  | Free  (** Free bytes. *)
  | Unit  (** Allocation unit, in bytes. *)
  | Health
      (** 0: takes writes; 1: read-only; 2: corrupt; 3: takes writes on a disk without flush. *)
  | Available  (** Free bytes less those reserved for the machine's administrator. *)
(** Space and health of a volume ([soil_fs_space]). *)

external space : int_buffer -> space -> int = "%caml_ba_ref_1"

let space_length = 5

type cache_statistics =
  | Dirty  (** Bytes not yet written to the device. *)
  | Hits  (** Reads answered from memory. *)
  | Misses  (** Reads that needed the device. *)
  | Read_ahead  (** Bytes read ahead. *)
  | Used  (** Bytes of memory that all caches use for what was read; 0 for one volume. *)
  | Limit  (** Limit of [used]; 0 for one volume. *)
(** Statistics of a volume's cache, or of all ([soil_cache_statistics]). *)

external cache_statistics : int_buffer -> cache_statistics -> int = "%caml_ba_ref_1"

let cache_statistics_length = 6

type block_info =
  | Sector_size  (** Sector size in bytes. *)
  | Sectors  (** Number of sectors. *)
  | Read_only  (** Flag: it can't be written. *)
  | Request_sectors  (** Limit of sectors in one request. *)
  | Capabilities  (** Sum of 1: durable writes, 2: discard, 4: write zeros. *)
(** Geometry and capabilities of a block device ([soil_block_info]). *)

external block_info : int_buffer -> block_info -> int = "%caml_ba_ref_1"

let block_info_length = 5

type machine_memory =
  | Total  (** Total. *)
  | In_use  (** In use. *)
  | Free  (** Free. *)
  | High_water  (** Highest use so far. *)
(** Memory of the machine, in bytes ([soil_machine_memory]). *)

external machine_memory : int_buffer -> machine_memory -> int = "%caml_ba_ref_1"

let machine_memory_length = 4

type pipe_ends =
  | Reader  (** The reading end. *)
  | Writer  (** The writing end. *)
(** Descriptors of a pipe's ends ([soil_pipe]). *)

external pipe_ends : int_buffer -> pipe_ends -> int = "%caml_ba_ref_1"

let pipe_ends_length = 2

external fd_read :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_read_bytecode" "soil_fd_read"
[@@noalloc]
(** Reads up to [len] bytes to [into\[off ..\]]; 0 is the end of input (or [len] = 0). Errors:
    [Closed], [Connection_reset], [Timed_out], [Wrong_kind], …; [WOULD_BLOCK]. *)

external fd_read_buffer :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_read_buffer_bytecode" "soil_fd_read_buffer"
[@@noalloc]
(** [soil_fd_read] into a bigarray. *)

external fd_write :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_write_bytecode" "soil_fd_write"
[@@noalloc]
(** Writes up to [len] bytes of [from\[off ..\]]; returns how many were taken, at least 1 unless
    [len] is 0. Errors: [Closed], [Broken_pipe], [Connection_reset], [Not_connected], [Wrong_kind],
    …; [WOULD_BLOCK]. *)

external fd_write_buffer :
  (int[@untagged]) ->
  bytes_buffer ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_write_buffer_bytecode" "soil_fd_write_buffer"
[@@noalloc]
(** [soil_fd_write] from a bigarray. *)

external fd_park :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_park_bytecode" "soil_fd_park"
[@@noalloc]
(** Completes [token] with 0 once the operation is worth retrying: [direction] is [PARK_READ] or
    [PARK_WRITE]. 0: it is worth retrying now, no completion will come; else [PENDING]. Closing the
    descriptor completes it with [Closed]. Several tokens may park on one descriptor. Errors:
    [Closed], [Wrong_kind]. *)

external fd_shutdown :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_shutdown_bytecode" "soil_fd_shutdown"
[@@noalloc]
(** Ends one half of a connection or pipe: 0 no more receiving, 1 no more sending (the peer reads
    the end), 2 both. *)

external fd_close :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_close_bytecode" "soil_fd_close"
[@@noalloc]
(** Closes it and completes what is parked on it with [Closed]. Closing a closed descriptor is 0 as
    well. *)

external fd_kind :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_fd_kind_bytecode" "soil_fd_kind"
[@@noalloc]
(** One of the [KIND_*]. *)

external console :
  unit ->
  (int[@untagged])
  = "soil_console_bytecode" "soil_console"
[@@noalloc]
(** The descriptor of the console: standard input when read, standard output when written. The same
    at each call. *)

external console_error :
  unit ->
  (int[@untagged])
  = "soil_console_error_bytecode" "soil_console_error"
[@@noalloc]
(** The descriptor of the error output of the console; write only. *)

external pipe :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged])
  = "soil_pipe_bytecode" "soil_pipe"
[@@noalloc]
(** Makes a pipe that holds up to [capacity] bytes (1 … 16 MiB), and fills [ends] with its
    [PipeEnds]. Reading an empty pipe whose writing end is closed is the end of input; writing when
    the reading end is closed is [Broken_pipe]. Errors: [Out_of_memory], [Too_many_open]. *)

external system_descriptor_await :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_system_descriptor_await_bytecode" "soil_system_descriptor_await"
[@@noalloc]
(** Waits for the file descriptor [fd] of Linux, or of an image's system calls, to be ready for
    [direction] ([PARK_READ], [PARK_WRITE]). 1: it is, or a transfer would fail at once. It
    completes with 0 when it may have become ready: call again. Errors: [Closed] (there is no such
    descriptor). *)

external abi_version :
  unit ->
  (int[@untagged])
  = "soil_abi_version_bytecode" "soil_abi_version"
[@@noalloc]
(** The number of this interface, [SOIL_ABI]. *)

external start :
  unit ->
  (int[@untagged])
  = "soil_start_bytecode" "soil_start"
[@@noalloc]
(** Starts the platform: log level, signals or power button. No device is touched. Calling it again
    does nothing. All other functions but [soil_event_set] and [soil_sync_all] serve the OCaml
    domain of the calling thread from then on: in others they answer [Busy]. Errors:
    [Bad_configuration] with a detail. *)

external wait :
  (int[@untagged]) ->
  int_buffer ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_wait_bytecode" "soil_wait"
(** Runs stack and devices until at least one operation completes, the time [deadline] (monotonic
    nanoseconds; -1 = none; 0 = only look) comes, or a signal arrives; then fills
    [completions\[2i\]] with a token and [completions\[2i + 1\]] with its result, for at most [max]
    operations (at most half the length of [completions]), and returns their number: 0 after the
    deadline or a signal. Other OCaml threads may run meanwhile. For one thread. *)

external await :
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_await_bytecode" "soil_await"
(** Waits as [soil_wait] does, on any thread, until the operation [token], from
    [FIRST_TOKEN_OF_THREADS] on, completes; returns its result, or [PENDING] after the deadline or a
    signal. Also for a token without an operation, which never completes. Of several threads that
    wait, here or in [soil_wait], one runs stack and devices for all. A token is waited for by one
    thread at a time. Errors: [Invalid] (a smaller token). *)

external expect_threads :
  unit ->
  (int[@untagged])
  = "soil_expect_threads_bytecode" "soil_expect_threads"
[@@noalloc]
(** Says that other threads than the first will wait, as [soil.threads] does when it starts; 0. From
    any thread. *)

external event :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_event_bytecode" "soil_event"
[@@noalloc]
(** Starts an operation that [soil_event_set] completes, with 0. *)

external event_set :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_event_set_bytecode" "soil_event_set"
[@@noalloc]
(** Completes the operation that [soil_event] has started; from any thread of any OCaml domain. 1:
    done. 0: there is no such operation. *)

external cancel :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_cancel_bytecode" "soil_cancel"
[@@noalloc]
(** Takes the operation [token] back. 1: done, no completion will come and its buffer is the
    caller's again. 0: there is no such operation, or its completion is already on the way.
    [PENDING]: a device has the buffer; the completion will come. *)

external error_detail :
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_error_detail_bytecode" "soil_error_detail"
[@@noalloc]
(** Copies the detail of the thread's last call that failed (UTF-8, one line, no final newline) to
    [into\[off .. off + len\]], cut where it doesn't fit; returns its length, 0 if that failure had
    none. *)

external error_detail_of :
  (int[@untagged]) ->
  bytes ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_error_detail_of_bytecode" "soil_error_detail_of"
[@@noalloc]
(** The same for the operation that completed with [token]; it is forgotten by this call. *)

external sync_all :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_sync_all_bytecode" "soil_sync_all"
(** Before exit: writes back all volumes, drains the console, ends lingering connections, for at
    most [grace] nanoseconds. *)

external exit :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_exit_bytecode" "soil_exit"
[@@noalloc]
(** Ends the process or the machine at once with [status] (its low 8 bits). Does not return. *)

external counters :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_counters_bytecode" "soil_counters"
[@@noalloc]
(** A counter of the running system; [which] is one of the [COUNTER_*]. *)

external thread :
  unit ->
  (int[@untagged])
  = "soil_thread_bytecode" "soil_thread"
[@@noalloc]
(** A number of the running thread that no other living one has, not 0: by it the OCaml side, whose
    scheduler is one thread's, tells others. *)

external on_vm :
  unit ->
  (int[@untagged])
  = "soil_on_vm_bytecode" "soil_on_vm"
[@@noalloc]
(** 1 in the image, 0 in the process. *)

external set_log_level :
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_set_log_level_bytecode" "soil_set_log_level"
[@@noalloc]
(** Log level: 0 nothing, 1 errors, 2 warnings (the default), 3 information, 4 debugging. *)

external log :
  (int[@untagged]) ->
  string ->
  (int[@untagged]) ->
  (int[@untagged]) ->
  (int[@untagged])
  = "soil_log_bytecode" "soil_log"
[@@noalloc]
(** Logs one line at [level] (1 … 4). *)

external clock_monotonic_ns :
  unit ->
  (int[@untagged])
  = "soil_clock_monotonic_ns_bytecode" "soil_clock_monotonic_ns"
[@@noalloc]
(** Nanoseconds of a clock that never jumps; its zero is some time before the program's start. *)

external clock_wall_ns :
  unit ->
  (int[@untagged])
  = "soil_clock_wall_ns_bytecode" "soil_clock_wall_ns"
[@@noalloc]
(** Nanoseconds since 1970-01-01 00:00 UTC. *)

external tracing :
  unit ->
  (int[@untagged])
  = "soil_tracing_bytecode" "soil_tracing"
[@@noalloc]
(** Whether [soil run --trace] listens: 1 or 0. From any thread. *)

external trace :
  (int[@untagged]) ->
  (int[@untagged]) ->
  string ->
  (int[@untagged])
  = "soil_trace_bytecode" "soil_trace"
[@@noalloc]
(** Records an event of the scheduler, if [soil run --trace] listens: what [task] does, by one of
    the [TRACE_*], and a name, of which 16 bytes are kept. Of the thread with the scheduler. *)
