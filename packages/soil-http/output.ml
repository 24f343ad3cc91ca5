module D = Soil.File_descriptor

type t = { input : Input.t; seconds : float; mutable sent : int; mutable is_cut : bool }

let create input ~seconds = { input; seconds; sent = 0; is_cut = false }
let sent t = t.sent
let is_cut t = t.is_cut
let piece = 65536
let small = 16384
let small_write = 4096 (* What isn't counted. *)

(* What follows a write of which a part may be missing would be taken for that part. *)
let check t =
  if t.is_cut then
    Input.guard t.input (fun () ->
        let subject = D.name (Input.flow t.input) in
        Soil.Error.fail Closed "write" ~subject ~detail:"an earlier write was cut short")

(* A client that takes nothing makes the connection hold what is written. *)
let counted t n f =
  let beyond = n - small_write in
  if beyond <= 0 then f ()
  else (
    Input.count t.input beyond;
    Fun.protect ~finally:(fun () -> Input.give_back t.input beyond) f)

let send_checked t n f =
  let write () =
    try f (Input.flow t.input)
    with e ->
      t.is_cut <- true;
      raise e
  in
  counted t n (fun () ->
      Input.guard t.input (fun () ->
          Input.waiting t.input (fun () -> Soil.Task.timeout t.seconds write)));
  Input.progressed t.input;
  t.sent <- t.sent + n

let send t n f =
  check t;
  send_checked t n f

(* What the connection takes at once needs no timeout, and holds nothing. *)
let bytes t b off len =
  check t;
  let n = Soil.Private.write_at_once (Input.flow t.input) b off len in
  if n = len then (
    Input.progressed t.input;
    t.sent <- t.sent + n)
  else (
    (* Unless the rest follows. *)
    t.is_cut <- n > 0;
    send_checked t (len - n) (fun d -> D.write d b (off + n) (len - n));
    t.is_cut <- false;
    t.sent <- t.sent + n)

(* Only read, whatever its type says. *)
let text t s = bytes t (Bytes.unsafe_of_string s) 0 (String.length s)

let strings t l =
  let length = List.fold_left (fun n s -> n + String.length s) 0 l in
  match l with
  | [ s ] -> text t s
  | l when length <= small -> text t (String.concat "" l)
  | l -> send t length (fun d -> D.writev d l)

let rec pieces t send_piece off len =
  if len > 0 then (
    let n = min len piece in
    send t n (fun d -> send_piece d off n);
    pieces t send_piece (off + n) (len - n))

let by_pieces t n f = pieces t (fun _ off len -> f off len) 0 n

let string t ~head s =
  if String.length s <= small then text t (head ^ s)
  else (
    text t head;
    pieces t (fun d off len -> D.write_string ~off ~len d s) 0 (String.length s))

let buffer t b off len = pieces t (fun d off len -> D.write_from d b off len) off len

let chunk t n send_data =
  send t 0 (fun d -> D.write_string d (Printf.sprintf "%x\r\n" n));
  send_data ();
  send t 0 (fun d -> D.write_string d "\r\n")

let body t ~framing =
  let left = ref (match framing with Head.Length n -> n | Chunked | To_end -> max_int) in
  let take len =
    if framing <> Head.Chunked && len > !left then
      failwith "Soil_http: a body is longer than its length says";
    min len piece
  in
  let write b off len =
    let n = take len in
    if framing <> Head.Chunked then bytes t b off n
    else if n <= small then
      strings t [ Printf.sprintf "%x\r\n" n; Bytes.sub_string b off n; "\r\n" ]
    else chunk t n (fun () -> bytes t b off n);
    left := !left - n;
    n
  in
  let write_from b off len =
    let n = take len in
    if framing <> Head.Chunked then buffer t b off n else chunk t n (fun () -> buffer t b off n);
    left := !left - n;
    n
  in
  let finish trailers =
    check t;
    match framing with
    | Length _ -> if !left > 0 then failwith "Soil_http: a body is shorter than its length says"
    | Chunked ->
        let end_ = Buffer.create 16 in
        Buffer.add_string end_ "0\r\n";
        Head.write end_ trailers;
        strings t [ Buffer.contents end_ ]
    | To_end -> ()
  in
  (Soil.Flow.sink ~name:"body" ~write_from write, finish)
