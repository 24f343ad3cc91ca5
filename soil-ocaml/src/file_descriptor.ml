type -_ t = Descriptor.t
type buffer = Pool.buffer
type source = [ `Read ] t
type sink = [ `Write ] t
type flow = [ `Read | `Write | `Shutdown ] t
type console = [ `Read | `Write ] t

let name (d : _ t) = d.io.describe d

let console_named name =
  Descriptor.(make { (stream_io (fun _ -> name)) with shutdown = no_shutdown; close = None })

let console = ref None
let console_error = ref None
let guard = Guard.create ()

let rec once cell make =
  match !cell with
  | Some d -> d
  | None as before ->
      ignore (Guard.replace guard cell before (Some (make ())));
      once cell make

let opened name handle = console_named name (Failure.check ~operation:"open" ~subject:name handle)
let of_console () = once console (fun () -> opened "console" (Soil_raw.console ()))

let of_console_error () =
  once console_error (fun () -> opened "error console" (Soil_raw.console_error ()))

(* Reading *)

let read (d : _ t) b off len =
  Descriptor.check_bytes "read" b off len;
  d.io.read d b off len

let read_into (d : _ t) b off len =
  Descriptor.check_buffer "read_into" b off len;
  d.io.read_into d b off len

let peek (d : _ t) b off len =
  Descriptor.check_bytes "peek" b off len;
  Descriptor.peek d b off len

let really_read (d : _ t) b off len =
  Descriptor.check_bytes "really_read" b off len;
  let got = ref 0 in
  Failure.undoing
    (fun () -> d.io.unread d b off !got)
    (fun () -> Descriptor.fill (fun at len -> d.io.read d b (off + at) len) len got)

let read_all ?(max = Descriptor.default_max) (d : _ t) =
  let undo b = d.io.unread d b 0 (Bytes.length b) in
  Descriptor.read_to_end max ~already:Bytes.empty ~undo d

(* Writing *)

let rec write_loop (d : _ t) b off len =
  if len > 0 then
    let n = d.io.write d b off len in
    write_loop d b (off + n) (len - n)

let write d b off len =
  Descriptor.check_bytes "write" b off len;
  Descriptor.exclusively d (fun () -> write_loop d b off len)

let write_some (d : _ t) b off len =
  Descriptor.check_bytes "write_some" b off len;
  if len = 0 then 0 else Descriptor.exclusively d (fun () -> d.io.write d b off len)

let write_string ?(off = 0) ?len d s =
  let len = match len with Some len -> len | None -> String.length s - off in
  (* Only read, whatever its type says. *)
  write d (Bytes.unsafe_of_string s) off len

let gathered_max = 16384 (* larger strings get a call of their own *)

let rec write_strings d l =
  match l with
  | [] -> ()
  | [ s ] -> write_string d s
  | l -> (
      let rec small taken length = function
        | s :: rest when length + String.length s <= gathered_max ->
            small (s :: taken) (length + String.length s) rest
        | rest -> (List.rev taken, rest)
      in
      let together, rest = small [] 0 l in
      match (together, rest) with
      | [], s :: rest ->
          write_string d s;
          write_strings d rest
      | together, rest ->
          write_string d (String.concat "" together);
          write_strings d rest)

let writev d l = Descriptor.exclusively d (fun () -> write_strings d l)

let rec write_buffer_loop (d : _ t) b off len written =
  if !written < len then (
    written := !written + d.io.write_from d b (off + !written) (len - !written);
    write_buffer_loop d b off len written)

(* [written] is the number of bytes at any moment. *)
let write_buffer d b off len written =
  Descriptor.exclusively d (fun () -> write_buffer_loop d b off len written)

let write_from d b off len =
  Descriptor.check_buffer "write_from" b off len;
  write_buffer d b off len (ref 0)

let copy ?(buffer = Pool.size) ~(src : _ t) ~dst () =
  if buffer < 1 then invalid_arg "Soil.File_descriptor.copy: buffer is less than 1";
  let rec go b copied =
    let n = src.io.read_into src b 0 (Bigarray.Array1.dim b) in
    if n = 0 then copied
    else
      let written = ref 0 in
      let undo () =
        let rest = Bytes.create (n - !written) in
        Pool.to_bytes b !written rest 0 (n - !written);
        src.io.unread src rest 0 (n - !written)
      in
      Failure.undoing undo (fun () -> write_buffer dst b 0 n written);
      go b (copied + n)
  in
  if buffer = Pool.size then Pool.with_buffer (fun b -> go b 0) else go (Pool.create buffer) 0

(* The end *)

let shutdown (d : _ t) side =
  d.io.shutdown d side;
  if side <> `Send then Descriptor.forget d

let close = Descriptor.close
let is_open (d : _ t) = d.is_open
let with_close = Descriptor.closing

let own scope d =
  Descriptor.closed_on_failure d (fun () -> Task.on_release scope (fun () -> close d));
  d
