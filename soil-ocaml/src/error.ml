include Soil_raw.Error_code

type t = { code : code; operation : string; subject : string; detail : string }

exception Error of t

let catch f = match f () with v -> Ok v | exception Error e -> Result.Error e

let message = function
  | Invalid -> "invalid argument"
  | Closed -> "descriptor is closed"
  | Not_found -> "not found"
  | Exists -> "exists already"
  | Not_directory -> "not a directory"
  | Is_directory -> "is a directory"
  | Not_empty -> "directory is not empty"
  | No_space -> "no space left"
  | Read_only -> "read-only"
  | Invalid_name -> "invalid name"
  | Name_too_long -> "name too long"
  | Too_large -> "too large"
  | Corrupt -> "file system is corrupt"
  | Io -> "input/output error"
  | Busy -> "in use"
  | Unsupported -> "not supported"
  | Connection_refused -> "connection refused"
  | Connection_reset -> "connection reset by peer"
  | Timed_out -> "timed out"
  | Unreachable -> "unreachable"
  | Address_in_use -> "address in use"
  | Address_not_available -> "address not available"
  | Not_connected -> "not connected"
  | Broken_pipe -> "broken pipe"
  | No_device -> "no such device"
  | No_entropy -> "no source of random numbers"
  | Out_of_memory -> "out of memory"
  | Too_many_open -> "too many open descriptors"
  | Cancelled -> "cancelled"
  | No_such_host -> "no such host"
  | No_network -> "no network"
  | Name_server_failure -> "no usable answer from a name server"
  | Message_too_long -> "message too long"
  | Bad_configuration -> "bad configuration"
  | Permission_denied -> "permission denied"
  | Too_many_links -> "too many links"
  | Cross_volume -> "not on the same volume"
  | Deadlock -> "deadlock"
  | Certificate -> "certificate not accepted"
  | Tls -> "TLS failed"
  | Unknown n -> "unknown error " ^ string_of_int n

(* Names may contain newlines. *)
let one_line s =
  let without c shown s = String.concat shown (String.split_on_char c s) in
  without '\n' "\\n" (without '\r' "\\r" s)

let to_string e =
  let what = if e.subject = "" then e.operation else e.operation ^ " " ^ e.subject in
  one_line (what ^ ": " ^ if e.detail = "" then message e.code else e.detail)

let pp f e = Print.string f (to_string e)

external equal : t -> t -> bool = "caml_equal"
external compare : t -> t -> int = "caml_compare"

let hash (e : t) = Print.hash e

let fail ?(subject = "") ?(detail = "") code operation =
  Soil_backtrace.raise (Error { code; operation; subject; detail })

let printer = function Error e -> Some ("Soil.Error: " ^ to_string e) | _ -> None
