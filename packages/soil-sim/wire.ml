type operation = Read | Write | Flush | Discard | Zero | Write_durably

type message =
  | Attached of int
  | Wait of { now : int; until : int }
  | Frame of string
  | Disk of {
      disk : int;
      operation : operation;
      number : int;
      sector : int;
      count : int;
      data : string;
    }
  | Console of int * string
  | Unowned of string
  | Note of string
  | Exit of int
  | Closed

type event =
  | Arrived of string
  | Completed of { disk : int; number : int; status : int; data : string }

type t = {
  fd : Unix.file_descr;
  input : bytes;
  mutable first : int;
  mutable last : int;  (** Bytes from [first] on were read and not taken. *)
  out : Buffer.t;
}

exception Garbage of string

let version = 1
let capacity = 1 lsl 16

(* A request of a disk with its data, and more. *)
let max_message = 64 lsl 20

let create fd =
  { fd; input = Bytes.create capacity; first = 0; last = 0; out = Buffer.create capacity }

let rec retry f = try f () with Unix.Unix_error (Unix.EINTR, _, _) -> retry f

(* A process that was killed resets the connection if it hadn't read everything. *)
let read t buffer off len =
  match retry (fun () -> Unix.read t.fd buffer off len) with
  | n -> n
  | exception Unix.Unix_error (Unix.ECONNRESET, _, _) -> 0

(* Reads bytes to [buffer]; [false] at the end of the stream. *)
let rec fill t buffer off len =
  len = 0
  ||
  if t.first < t.last then (
    let n = min len (t.last - t.first) in
    Bytes.blit t.input t.first buffer off n;
    t.first <- t.first + n;
    fill t buffer (off + n) (len - n))
  else if len >= capacity then
    let n = read t buffer off len in
    n > 0 && fill t buffer (off + n) (len - n)
  else (
    t.first <- 0;
    t.last <- read t t.input 0 capacity;
    t.last > 0 && fill t buffer off len)

let header = 5

let operation = function
  | 0 -> Read
  | 1 -> Write
  | 2 -> Flush
  | 3 -> Discard
  | 4 -> Zero
  | 5 -> Write_durably
  | n -> raise (Garbage (Printf.sprintf "operation %d of a disk" n))

let u32 s at = Int32.to_int (String.get_int32_le s at) land 0xffff_ffff

(* [u64::MAX] is [max_int]. *)
let u64 s at =
  let n = String.get_int64_le s at in
  if Int64.compare n 0L < 0 || Int64.compare n (Int64.of_int max_int) > 0 then max_int
  else Int64.to_int n

let rest s at = String.sub s at (String.length s - at)

let parse kind s =
  match kind with
  | 16 -> Attached (u32 s 0)
  | 17 -> Wait { now = u64 s 0; until = u64 s 8 }
  | 18 -> Frame s
  | 19 ->
      Disk
        {
          disk = Char.code s.[0];
          operation = operation (Char.code s.[1]);
          number = u64 s 2;
          sector = u64 s 10;
          count = u64 s 18;
          data = rest s 26;
        }
  | 20 -> Console (Char.code s.[0], rest s 1)
  | 21 -> Unowned s
  | 22 -> Note s
  | 23 -> Exit (Char.code s.[0])
  | n -> raise (Garbage (Printf.sprintf "a message of kind %d" n))

let receive t =
  let head = Bytes.create header in
  if not (fill t head 0 header) then Closed
  else
    let len = u32 (Bytes.unsafe_to_string head) 0 in
    if len > max_message then raise (Garbage (Printf.sprintf "a message of %d bytes" len));
    let body = Bytes.create len in
    if not (fill t body 0 len) then Closed
    else
      let body = Bytes.unsafe_to_string body in
      try parse (Bytes.get_uint8 head 4) body
      with Invalid_argument _ -> raise (Garbage "a message that is cut off")

type disk = { name : string; sectors : int; sector_size : int; read_only : bool }

let add_u32 b n = Buffer.add_int32_le b (Int32.of_int n)
let add_u64 b n = Buffer.add_int64_le b (Int64.of_int n)

let add_sized b s =
  add_u32 b (String.length s);
  Buffer.add_string b s

(* A node that has ended doesn't read it; the next [receive] says so. *)
let send t kind =
  let body = Buffer.contents t.out in
  Buffer.clear t.out;
  let message = Bytes.create (header + String.length body) in
  Bytes.set_int32_le message 0 (Int32.of_int (String.length body));
  Bytes.set_uint8 message 4 kind;
  Bytes.blit_string body 0 message header (String.length body);
  let rec write off =
    if off < Bytes.length message then
      write (off + retry (fun () -> Unix.write t.fd message off (Bytes.length message - off)))
  in
  try write 0 with Unix.Unix_error ((Unix.EPIPE | Unix.ECONNRESET), _, _) -> ()

let start t ~seed ~monotonic ~wall ~memory ~mac disks =
  let b = t.out in
  add_u32 b version;
  Buffer.add_string b seed;
  add_u64 b monotonic;
  add_u64 b wall;
  add_u64 b memory;
  Buffer.add_string b mac;
  add_u32 b (List.length disks);
  let disk d =
    add_sized b d.name;
    add_u64 b d.sectors;
    add_u32 b d.sector_size;
    Buffer.add_uint8 b (Bool.to_int d.read_only)
  in
  List.iter disk disks;
  send t 0

let resume t ~monotonic ~wall ~stops events =
  let b = t.out in
  add_u64 b monotonic;
  add_u64 b wall;
  add_u32 b stops;
  add_u32 b (List.length events);
  let event = function
    | Arrived frame ->
        Buffer.add_uint8 b 0;
        add_sized b frame
    | Completed { disk; number; status; data } ->
        Buffer.add_uint8 b 1;
        Buffer.add_uint8 b disk;
        add_u64 b number;
        Buffer.add_uint8 b status;
        add_sized b data
  in
  List.iter event events;
  send t 1

let close t = Unix.close t.fd
