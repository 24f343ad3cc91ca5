(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. The files of soil-sys/src/abi
   document the externals, constants and records. *)

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

let abi = 8
let pending = -1000
let would_block = -1001
let max_token = 1 lsl 40
let first_token_of_threads = 1 lsl 39
let park_read = 0
let park_write = 1
let option_nodelay = 0
let option_user_timeout = 2
let option_linger = 3
let option_congestion = 4
let option_send_buffer = 5
let option_receive_buffer = 6
let option_timestamps = 7
let option_sack = 8
let option_window_scaling = 9
let option_pacing = 10
let option_delayed_ack = 11
let option_mss = 12
let mark_hop_limit = 0
let mark_dscp = 1
let open_read = 1
let open_write = 2
let open_create = 4
let open_exclusive = 8
let open_truncate = 16
let open_append = 32
let entry_file = 0
let entry_directory = 1
let entry_symlink = 2
let trace_runs = 1
let trace_waits = 2
let trace_ended = 3
let trace_operation = 4
let trace_sleeps = 5
let trace_wakes = 6
let trace_done = 7
let counter_memory = 0
let counter_descriptors = 1
let counter_operations = 2
let counter_connections = 3
let counter_frames_in = 4
let counter_frames_out = 5
let counter_drops = 6
let counter_block_requests = 7
let counter_sleeps = 8
let counter_lock_waits = 9
let counter_lock_wait_max = 10
let instance_source = 0
let instance_id = 1
let instance_host_name = 2
let instance_user_data = 3
let instance_argument = 4
let instance_variable_name = 5
let instance_variable = 6
let instance_file_path = 7
let instance_file = 8

type tcp_info =
  | Rtt
  | Rtt_variation
  | Rtt_min
  | Retransmission_timeout
  | Segment_size
  | Congestion_window
  | Slow_start_threshold
  | Send_window
  | Receive_window
  | In_flight
  | Unacknowledged
  | Unread
  | Out_of_order
  | Retransmitted
  | Timeouts
  | Phase
  | Sacked
  | Lost
  | Reordering
  | Peer_segment_size
  | Path_mtu
  | Timestamps
  | Sack
  | Ecn
  | Window_scaling
  | Own_window_shift
  | Peer_window_shift
  | Loss_probes
  | Spurious_recoveries
  | Bytes_acknowledged
  | Bytes_received

external tcp_info : int_buffer -> tcp_info -> int = "%caml_ba_ref_1"
let tcp_info_length = 31

type echo_reply =
  | Time
  | Hop_limit

external echo_reply : int_buffer -> echo_reply -> int = "%caml_ba_ref_1"
let echo_reply_length = 2

type stat =
  | Size
  | Kind
  | Modified
  | Modified_ns
  | Accessed
  | Changed
  | Links
  | Inode
  | Read_only
  | Accessed_ns
  | Changed_ns
  | Volume

external stat : int_buffer -> stat -> int = "%caml_ba_ref_1"
let stat_length = 12

type contents =
  | Address
  | Length
  | Length_address

external contents : int_buffer -> contents -> int = "%caml_ba_ref_1"
let contents_length = 3

type space =
  | Total
  | Free
  | Unit
  | Health
  | Available

external space : int_buffer -> space -> int = "%caml_ba_ref_1"
let space_length = 5

type cache_statistics =
  | Dirty
  | Hits
  | Misses
  | Read_ahead
  | Used
  | Limit

external cache_statistics : int_buffer -> cache_statistics -> int = "%caml_ba_ref_1"
let cache_statistics_length = 6

type block_info =
  | Sector_size
  | Sectors
  | Read_only
  | Request_sectors
  | Capabilities

external block_info : int_buffer -> block_info -> int = "%caml_ba_ref_1"
let block_info_length = 5

type machine_memory =
  | Total
  | In_use
  | Free
  | High_water

external machine_memory : int_buffer -> machine_memory -> int = "%caml_ba_ref_1"
let machine_memory_length = 4

type pipe_ends =
  | Reader
  | Writer

external pipe_ends : int_buffer -> pipe_ends -> int = "%caml_ba_ref_1"
let pipe_ends_length = 2

external fd_read :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_read_bytecode" "soil_fd_read" [@@noalloc]

external fd_read_buffer :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_read_buffer_bytecode" "soil_fd_read_buffer" [@@noalloc]

external fd_write :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_write_bytecode" "soil_fd_write" [@@noalloc]

external fd_write_buffer :
  (int[@untagged]) -> bytes_buffer -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_write_buffer_bytecode" "soil_fd_write_buffer" [@@noalloc]

external fd_park : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_park_bytecode" "soil_fd_park" [@@noalloc]

external fd_shutdown : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_fd_shutdown_bytecode" "soil_fd_shutdown" [@@noalloc]

external fd_close : (int[@untagged]) -> (int[@untagged])
  = "soil_fd_close_bytecode" "soil_fd_close" [@@noalloc]

external console : unit -> (int[@untagged])
  = "soil_console_bytecode" "soil_console" [@@noalloc]

external console_error : unit -> (int[@untagged])
  = "soil_console_error_bytecode" "soil_console_error" [@@noalloc]

external pipe : (int[@untagged]) -> int_buffer -> (int[@untagged])
  = "soil_pipe_bytecode" "soil_pipe" [@@noalloc]

external system_descriptor_await :
  (int[@untagged]) -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_system_descriptor_await_bytecode" "soil_system_descriptor_await" [@@noalloc]

external abi_version : unit -> (int[@untagged])
  = "soil_abi_version_bytecode" "soil_abi_version" [@@noalloc]

external start : unit -> (int[@untagged])
  = "soil_start_bytecode" "soil_start" [@@noalloc]

external wait : (int[@untagged]) -> int_buffer -> (int[@untagged]) -> (int[@untagged])
  = "soil_wait_bytecode" "soil_wait"

external await : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_await_bytecode" "soil_await"

external expect_threads : unit -> (int[@untagged])
  = "soil_expect_threads_bytecode" "soil_expect_threads" [@@noalloc]

external domain_join : unit -> (int[@untagged])
  = "soil_domain_join_bytecode" "soil_domain_join" [@@noalloc]

external domain_leave : unit -> (int[@untagged])
  = "soil_domain_leave_bytecode" "soil_domain_leave" [@@noalloc]

external domain_call : (int[@untagged]) -> (int[@untagged])
  = "soil_domain_call_bytecode" "soil_domain_call" [@@noalloc]

external event : (int[@untagged]) -> (int[@untagged])
  = "soil_event_bytecode" "soil_event" [@@noalloc]

external event_set : (int[@untagged]) -> (int[@untagged])
  = "soil_event_set_bytecode" "soil_event_set" [@@noalloc]

external cancel : (int[@untagged]) -> (int[@untagged])
  = "soil_cancel_bytecode" "soil_cancel" [@@noalloc]

external error_detail : bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_error_detail_bytecode" "soil_error_detail" [@@noalloc]

external error_detail_of :
  (int[@untagged]) -> bytes -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_error_detail_of_bytecode" "soil_error_detail_of" [@@noalloc]

external sync_all : (int[@untagged]) -> (int[@untagged])
  = "soil_sync_all_bytecode" "soil_sync_all"

external exit : (int[@untagged]) -> (int[@untagged])
  = "soil_exit_bytecode" "soil_exit" [@@noalloc]

external counters : (int[@untagged]) -> (int[@untagged])
  = "soil_counters_bytecode" "soil_counters" [@@noalloc]

external thread : unit -> (int[@untagged])
  = "soil_thread_bytecode" "soil_thread" [@@noalloc]

external choose : (int[@untagged]) -> (int[@untagged])
  = "soil_choose_bytecode" "soil_choose" [@@noalloc]

external on_vm : unit -> (int[@untagged])
  = "soil_on_vm_bytecode" "soil_on_vm" [@@noalloc]

external log :
  (int[@untagged]) -> string -> (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "soil_log_bytecode" "soil_log" [@@noalloc]

external clock_monotonic_ns : unit -> (int[@untagged])
  = "soil_clock_monotonic_ns_bytecode" "soil_clock_monotonic_ns" [@@noalloc]

external clock_wall_ns : unit -> (int[@untagged])
  = "soil_clock_wall_ns_bytecode" "soil_clock_wall_ns" [@@noalloc]

external tracing : unit -> (int[@untagged])
  = "soil_tracing_bytecode" "soil_tracing" [@@noalloc]

external trace : (int[@untagged]) -> (int[@untagged]) -> string -> (int[@untagged])
  = "soil_trace_bytecode" "soil_trace" [@@noalloc]
