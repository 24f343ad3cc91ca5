open Typed

type source = [ `Read | `Flow ] File_descriptor.t
type sink = [ `Write | `Flow ] File_descriptor.t
type t = [ `Read | `Write | `Shutdown | `Flow ] File_descriptor.t
type state = Descriptor.state = ..

(* Of no entry in Rust's table. *)
let no_handle = -1

let check_open operation (d : Descriptor.t) =
  if not d.is_open then Error.fail Closed operation ~subject:(d.io.describe d)

let check_count operation n least len =
  if n < least || n > len then
    invalid_arg ("Soil.Flow: " ^ operation ^ " returned " ^ string_of_int n)

(* Each yields, if it has to, before it moves bytes, so that a cancellation loses none. *)

let reading read blit (d : Descriptor.t) b off len =
  Scheduler.spend ();
  check_open "read" d;
  if Descriptor.given_back d > 0 then
    Descriptor.take_back d (fun back at n -> blit back at b off n) len
  else if len = 0 then 0
  else
    let n = read b off len in
    check_count "read" n 0 len;
    n

let writing write (d : Descriptor.t) b off len =
  Scheduler.spend ();
  check_open "write" d;
  if len = 0 then 0
  else
    let n = write b off len in
    check_count "write" n 1 len;
    n

let copied = 16384

let read_by_copy read b off len =
  let bytes = Bytes.create (min len copied) in
  let n = read bytes 0 (Bytes.length bytes) in
  Pool.of_bytes bytes 0 b off n;
  n

let write_by_copy write b off len =
  let bytes = Bytes.create (min len copied) in
  Pool.to_bytes b off bytes 0 (Bytes.length bytes);
  write bytes 0 (Bytes.length bytes)

let nothing () = ()

let flow name state ~read ~read_into ~write ~write_from ~shutdown close =
  let shutdown (d : Descriptor.t) side =
    check_open "shutdown" d;
    shutdown side
  in
  let io =
    {
      Descriptor.read = reading read Bytes.blit;
      read_into = reading read_into Pool.of_bytes;
      write = writing write;
      write_from = writing write_from;
      unread = Descriptor.unread;
      shutdown;
      close = Some (fun _ -> close ());
      describe = (fun _ -> name);
      state;
    }
  in
  typed (Descriptor.make io no_handle)

let or_by_copy given by_copy f = match given with Some f -> f | None -> by_copy f

(* The types of sources and sinks keep programs from calling these. *)
let impossible _ _ _ = assert false

let source ?(name = "flow") ?state ?read_into ?(close = nothing) read =
  flow name state ~read
    ~read_into:(or_by_copy read_into read_by_copy read)
    ~write:impossible ~write_from:impossible ~shutdown:ignore close

let sink ?(name = "flow") ?state ?write_from ?(close = nothing) write =
  flow name state ~read:impossible ~read_into:impossible ~write
    ~write_from:(or_by_copy write_from write_by_copy write)
    ~shutdown:ignore close

let make ?(name = "flow") ?state ?read_into ?write_from ?(close = nothing) ~read ~write ~shutdown ()
    =
  flow name state ~read
    ~read_into:(or_by_copy read_into read_by_copy read)
    ~write
    ~write_from:(or_by_copy write_from write_by_copy write)
    ~shutdown close

let state f = (any f).io.state

(* In memory *)

let of_string s =
  let at = ref 0 in
  let read b off len =
    let n = min len (String.length s - !at) in
    Bytes.blit_string s !at b off n;
    at := !at + n;
    n
  in
  source ~name:"string" read

let to_buffer buffer =
  let write b off len =
    Buffer.add_subbytes buffer b off len;
    len
  in
  sink ~name:"buffer" write

let write_some_from w b off len =
  let d = any w in
  d.io.write_from d b off len

let pair ?capacity () =
  let module D = File_descriptor in
  let flow (r, w) =
    let shutdown side =
      if side <> `Send then D.shutdown r `Receive;
      if side <> `Receive then D.shutdown w `Send
    in
    let close () =
      D.close r;
      D.close w
    in
    make ~name:"pair" ~read:(D.read r) ~read_into:(D.read_into r) ~write:(D.write_some w)
      ~write_from:(write_some_from w) ~shutdown ~close ()
  in
  let r, w = Pipe.create ?capacity () and r', w' = Pipe.create ?capacity () in
  (flow (r, w'), flow (r', w))
