(** Frames of HTTP/2 ({{:https://www.rfc-editor.org/rfc/rfc9113#section-4}RFC 9113 §4, §6}). Private
    to [soil-http]. *)

let data = 0
let headers = 1
let priority = 2
let rst_stream = 3
let settings = 4
let push_promise = 5
let ping = 6
let goaway = 7
let window_update = 8
let continuation = 9
let priority_update = 16 (* RFC 9218 §7.1 *)

(* Flags *)
let end_stream = 1
let ack = 1
let end_headers = 4
let padded = 8
let has_priority = 32

(* Settings *)
let header_table_size = 1
let enable_push = 2
let max_concurrent_streams = 3
let initial_window_size = 4
let max_frame_size = 5
let max_header_list_size = 6
let enable_connect_protocol = 8 (* RFC 8441 §3 *)
let no_rfc7540_priorities = 9 (* RFC 9218 §2.1 *)
let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
let header_bytes = 9
let default_window = 65535
let largest_window = 0x7fffffff
let least_max_frame = 16384

(** The type for error codes (RFC 9113 §7). *)
type error =
  | No_error
  | Protocol_error
  | Internal_error
  | Flow_control_error
  | Stream_closed
  | Frame_size_error
  | Refused_stream
  | Cancel
  | Compression_error
  | Connect_error
  | Enhance_your_calm
  | Http_1_1_required
  | Other of int

let int_of_error = function
  | No_error -> 0
  | Protocol_error -> 1
  | Internal_error -> 2
  | Flow_control_error -> 3
  | Stream_closed -> 5
  | Frame_size_error -> 6
  | Refused_stream -> 7
  | Cancel -> 8
  | Compression_error -> 9
  | Connect_error -> 10
  | Enhance_your_calm -> 11
  | Http_1_1_required -> 13
  | Other n -> n

let error_of_int = function
  | 0 -> No_error
  | 1 -> Protocol_error
  | 2 -> Internal_error
  | 3 -> Flow_control_error
  | 5 -> Stream_closed
  | 6 -> Frame_size_error
  | 7 -> Refused_stream
  | 8 -> Cancel
  | 9 -> Compression_error
  | 10 -> Connect_error
  | 11 -> Enhance_your_calm
  | 13 -> Http_1_1_required
  | n -> Other n

let error_to_string = function
  | No_error -> "NO_ERROR"
  | Protocol_error -> "PROTOCOL_ERROR"
  | Internal_error -> "INTERNAL_ERROR"
  | Flow_control_error -> "FLOW_CONTROL_ERROR"
  | Stream_closed -> "STREAM_CLOSED"
  | Frame_size_error -> "FRAME_SIZE_ERROR"
  | Refused_stream -> "REFUSED_STREAM"
  | Cancel -> "CANCEL"
  | Compression_error -> "COMPRESSION_ERROR"
  | Connect_error -> "CONNECT_ERROR"
  | Enhance_your_calm -> "ENHANCE_YOUR_CALM"
  | Http_1_1_required -> "HTTP_1_1_REQUIRED"
  | Other n -> "error " ^ string_of_int n

(* Reading *)

let u24 b i = (Bytes.get_uint16_be b i lsl 8) lor Bytes.get_uint8 b (i + 2)
let u32 b i = Int32.to_int (Bytes.get_int32_be b i) land 0xffffffff
let u31 b i = u32 b i land 0x7fffffff

(* Writing *)

let add_u32 b n = Buffer.add_int32_be b (Int32.of_int n)

let add_header b ~length ~kind ~flags ~stream =
  Buffer.add_uint16_be b (length lsr 8);
  Buffer.add_uint8 b (length land 255);
  Buffer.add_uint8 b kind;
  Buffer.add_uint8 b flags;
  add_u32 b stream

let add_rst_stream b ~stream error =
  add_header b ~length:4 ~kind:rst_stream ~flags:0 ~stream;
  add_u32 b (int_of_error error)

let add_window_update b ~stream increment =
  add_header b ~length:4 ~kind:window_update ~flags:0 ~stream;
  add_u32 b increment

let add_goaway b ~last error =
  add_header b ~length:8 ~kind:goaway ~flags:0 ~stream:0;
  add_u32 b last;
  add_u32 b (int_of_error error)

let add_settings b l =
  add_header b ~length:(6 * List.length l) ~kind:settings ~flags:0 ~stream:0;
  List.iter
    (fun (id, value) ->
      Buffer.add_uint16_be b id;
      add_u32 b value)
    l

let add_settings_ack b = add_header b ~length:0 ~kind:settings ~flags:ack ~stream:0

let add_ping_ack b payload off =
  add_header b ~length:8 ~kind:ping ~flags:ack ~stream:0;
  Buffer.add_subbytes b payload off 8
