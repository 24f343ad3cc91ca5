type t = Descriptor.t
type buffer = Pool.buffer

type kind = Descriptor.kind =
  | Console
  | Pipe
  | Tcp
  | File
  | Listener
  | Udp
  | Directory
  | Block
  | Ethernet

let kind (d : t) = d.kind
let name (d : t) = d.io.describe d
let console_named name = Descriptor.make (Descriptor.stream_io (fun _ -> name)) Console
let console = ref None
let console_error = ref None

let once cell make =
  match !cell with
  | Some d -> d
  | None ->
      let d = make () in
      cell := Some d;
      d

let opened name handle = console_named name (Failure.check ~operation:"open" ~subject:name handle)
let of_console () = once console (fun () -> opened "console" (Soil_raw.console ()))

let of_console_error () =
  once console_error (fun () -> opened "error console" (Soil_raw.console_error ()))

(* Reading *)

let read (d : t) b off len =
  Descriptor.check_bytes "read" b off len;
  d.io.read d b off len

let read_into (d : t) b off len =
  Descriptor.check_buffer "read_into" b off len;
  d.io.read_into d b off len

let rec really_read_from read b off len =
  if len > 0 then (
    let n = read b off len in
    if n = 0 then raise End_of_file;
    really_read_from read b (off + n) (len - n))

let really_read (d : t) b off len =
  Descriptor.check_bytes "really_read" b off len;
  really_read_from (d.io.read d) b off len

let default_max = 16 * 1024 * 1024

let too_large operation subject max =
  let detail = "more than " ^ string_of_int max ^ " bytes" in
  Error.fail Too_large operation ~subject ~detail

let read_to_end ~max ~subject ~already read =
  let piece = Bytes.create 16384 in
  let rec go pieces length =
    if length > max then too_large "read" (subject ()) max;
    match read piece 0 (Bytes.length piece) with
    | 0 -> String.concat "" (List.rev pieces)
    | n -> go (Bytes.sub_string piece 0 n :: pieces) (length + n)
  in
  go [ already ] (String.length already)

let read_all ?(max = default_max) (d : t) =
  read_to_end ~max ~subject:(fun () -> name d) ~already:"" (d.io.read d)

(* Writing *)

let rec write_loop (d : t) b off len =
  if len > 0 then
    let n = d.io.write d b off len in
    write_loop d b (off + n) (len - n)

let write d b off len =
  Descriptor.check_bytes "write" b off len;
  write_loop d b off len

let write_some (d : t) b off len =
  Descriptor.check_bytes "write_some" b off len;
  if len = 0 then 0 else d.io.write d b off len

let write_string ?(off = 0) ?len d s =
  let len = match len with Some len -> len | None -> String.length s - off in
  (* Only read, whatever its type says. *)
  write d (Bytes.unsafe_of_string s) off len

let gathered_max = 16384 (* larger ones are worth a call of their own *)

let rec writev d l =
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
          writev d rest
      | together, rest ->
          write_string d (String.concat "" together);
          writev d rest)

let write_from (d : t) b off len =
  Descriptor.check_buffer "write_from" b off len;
  let rec go off len =
    if len > 0 then
      let n = d.io.write_from d b off len in
      go (off + n) (len - n)
  in
  go off len

let copy ?(buffer = Pool.size) ~(src : t) ~dst () =
  if buffer < 1 then invalid_arg "Soil.File_descriptor.copy: buffer is less than 1";
  let rec go b copied =
    let n = src.io.read_into src b 0 (Bigarray.Array1.dim b) in
    if n = 0 then copied
    else (
      write_from dst b 0 n;
      go b (copied + n))
  in
  if buffer = Pool.size then Pool.with_buffer (fun b -> go b 0) else go (Pool.create buffer) 0

(* The end *)

let shutdown (d : t) side =
  (match d.kind with Tcp | Pipe -> () | _ -> Descriptor.wrong_kind d "shutdown");
  let how = match side with `Receive -> 0 | `Send -> 1 | `Both -> 2 in
  let result = Soil_raw.fd_shutdown d.handle how in
  if result < 0 then Descriptor.fail d "shutdown" result

let close = Descriptor.close
let is_open (d : t) = d.is_open
let with_close = Descriptor.closing

module Reader = struct
  type descriptor = t

  type t = {
    descriptor : descriptor;
    buffer : bytes;
    mutable first : int;  (** What is buffered is [first … last - 1]. *)
    mutable last : int;
  }

  let create ?(size = 4096) descriptor =
    if size < 16 || size > Sys.max_string_length then
      invalid_arg "Soil.File_descriptor.Reader.create: size out of range";
    { descriptor; buffer = Bytes.create size; first = 0; last = 0 }

  let buffered r = r.last - r.first

  (* Call with an empty buffer. [false] at the end of input. *)
  let refill r =
    r.first <- 0;
    r.last <- 0;
    r.last <- r.descriptor.io.read r.descriptor r.buffer 0 (Bytes.length r.buffer);
    r.last > 0

  let peek r = if buffered r > 0 || refill r then Some (Bytes.get r.buffer r.first) else None

  let take_buffered r b off len =
    Bytes.blit r.buffer r.first b off len;
    r.first <- r.first + len

  let input_unchecked r b off len =
    if len = 0 then 0
    else if buffered r = 0 && len >= Bytes.length r.buffer then
      r.descriptor.io.read r.descriptor b off len
    else if buffered r > 0 || refill r then (
      let n = min len (buffered r) in
      take_buffered r b off n;
      n)
    else 0

  let input r b off len =
    Descriptor.check_bytes "Reader.input" b off len;
    input_unchecked r b off len

  let exactly r n =
    if n < 0 then invalid_arg "Soil.File_descriptor.Reader.exactly: negative length";
    let b = Bytes.create n in
    really_read_from (input_unchecked r) b 0 n;
    Bytes.unsafe_to_string b

  let rec newline b i last =
    if i >= last then last else if Bytes.unsafe_get b i = '\n' then i else newline b (i + 1) last

  let without_return s =
    let n = String.length s in
    if n > 0 && s.[n - 1] = '\r' then String.sub s 0 (n - 1) else s

  let take_string r n =
    let s = Bytes.sub_string r.buffer r.first n in
    r.first <- r.first + n;
    s

  let line ?(max = 65536) r =
    let check length = if length > max then too_large "read line" (name r.descriptor) max in
    let rec go before =
      if buffered r = 0 && not (refill r) then if before = "" then raise End_of_file else before
      else
        let at = newline r.buffer r.first r.last in
        check (String.length before + at - r.first);
        let piece = take_string r (at - r.first) in
        let line = if before = "" then piece else before ^ piece in
        if at < r.last then (
          r.first <- at + 1;
          without_return line)
        else go line
    in
    go ""

  let line_opt ?max r = match line ?max r with s -> Some s | exception End_of_file -> None

  let to_end ?(max = default_max) r =
    let already = take_string r (buffered r) in
    let d = r.descriptor in
    read_to_end ~max ~subject:(fun () -> name d) ~already (d.io.read d)
end
