type step =
  | Fixed  (** [left] bytes are to come. *)
  | Size  (** The size of a chunk is next. *)
  | Data  (** [left] bytes of a chunk are. *)
  | End_of_chunk
  | Trailers
  | To_end
  | Over
  | Broken  (** Where the next request begins isn't known. *)

type pace =
  | Whole  (** [body_seconds] and what their rate earns, for all reads together. *)
  | Each_read  (** [body_seconds] for each. *)
  | Patient

type t = {
  input : Input.t;
  limits : Limits.t;
  truncated : exn;
  mutable ask : (unit -> unit) option;
  mutable waited : float; (* Seconds that its reads took. *)
  mutable pace : pace;
  on_trailers : Cohttp.Header.t -> unit;
  mutable step : step;
  mutable left : int;
  mutable got : int;
  mutable max : int;
}

let make ?ask ?(truncated = Head.Refused `Bad_request) ?(on_trailers = ignore) input framing limits
    =
  let step, left =
    match framing with
    | Head.Length 0 -> (Over, 0)
    | Head.Length n -> (Fixed, n)
    | Head.Chunked -> (Size, 0)
    | Head.To_end -> (To_end, 0)
  in
  {
    input;
    limits;
    truncated;
    ask;
    waited = 0.;
    pace = Whole;
    on_trailers;
    step;
    left;
    got = 0;
    max = max_int;
  }

let set_pace t pace = t.pace <- pace
let too_large () = Soil_backtrace.raise (Head.Refused `Request_entity_too_large)

let limit t max =
  if (t.step = Fixed || t.step = Data) && t.left > max - t.got then too_large ();
  t.max <- max

let is_over t = t.step = Over

let ask t =
  match t.ask with
  | Some ask ->
      t.ask <- None;
      ask ()
  | None -> ()

(* It is still unknown whether the client sends it: what isn't read can't be discarded. *)
let dont_ask t = if Option.is_some t.ask then t.ask <- Some ignore

(* [f ()] within what is left of the time. That is the peer's: what the program does between two
   reads doesn't count. *)
let in_time t f =
  ask t;
  let begun = Soil.Clock.monotonic () in
  let seconds =
    match t.pace with
    | Patient -> infinity
    | Each_read -> t.limits.body_seconds
    | Whole ->
        let earned_seconds = float_of_int t.got /. float_of_int t.limits.body_rate in
        t.limits.body_seconds +. earned_seconds -. t.waited
  in
  Input.until t.input (begun +. seconds);
  let finally () = t.waited <- t.waited +. Soil.Clock.monotonic () -. begun in
  Fun.protect ~finally f

let malformed () = Soil_backtrace.raise (Head.Refused `Bad_request)
let chunk_line = 256 (* bytes of the line of a chunk's size, with its extensions *)

(* RFC 9112 §7.1: digits, and behind a semicolon what is ignored. *)
let chunk_size t n =
  let rec digits i size =
    let digit = if i < n then Percent.hexadecimal (Input.get t.input i) else -1 in
    if digit < 0 then (i, size)
    else if i = 15 then too_large ()
    else digits (i + 1) ((size * 16) + digit)
  in
  let i, size = digits 0 0 in
  if i = 0 then malformed ();
  (if i < n then
     let extension = Input.sub t.input i (n - i) in
     let is_extension = String.starts_with ~prefix:";" (String.trim extension) in
     if not (is_extension && Grammar.is_value extension) then malformed ());
  size

(* Goes on until there are bytes of the body, or its end. *)
let rec advance t =
  match t.step with
  | Fixed | Data | To_end | Over -> ()
  | Broken -> malformed ()
  | Size ->
      let n = Input.line t.input ~max:chunk_line in
      let size = chunk_size t n in
      if size > t.max - t.got then too_large ();
      Input.skip_line t.input n;
      t.left <- size;
      t.step <- (if size = 0 then Trailers else Data);
      advance t
  | End_of_chunk ->
      if Input.line t.input ~max:0 <> 0 then malformed ();
      Input.skip_line t.input 0;
      t.step <- Size;
      advance t
  | Trailers ->
      let trailers = Head.fields t.input t.limits in
      t.step <- Over;
      t.on_trailers trailers

let at_end t = match t.step with To_end -> t.step <- Over | _ -> Soil_backtrace.raise t.truncated

(* A body is slow where a piece of it is. *)
let piece = 65536

let took t n =
  if t.got / piece <> (t.got + n) / piece then Input.progressed t.input;
  t.got <- t.got + n;
  if t.step <> To_end then (
    t.left <- t.left - n;
    if t.left = 0 then t.step <- (if t.step = Fixed then Over else End_of_chunk))
  else if t.got > t.max then too_large ()

let read_by take t b off len =
  if t.step = Over then 0
  else
    match
      let now () =
        advance t;
        if t.step = Over then 0
        else
          let len =
            if t.step <> To_end then min len t.left
            else if t.max - t.got < len then max 1 (t.max - t.got + 1)
            else len
          in
          let n = take t.input b off len in
          if n = 0 then at_end t else took t n;
          n
      in
      (* What has come needs no clock. *)
      if t.step = Fixed && Input.buffered t.input > 0 then (
        ask t;
        now ())
      else in_time t now
    with
    | n -> n
    | exception (Soil.Task.Cancelled as e) -> raise e
    | exception e -> (
        t.step <- Broken;
        match e with
        | Input.Malformed | Input.Too_long -> malformed ()
        | End_of_file -> Soil_backtrace.raise t.truncated
        | Input.Late -> Soil_backtrace.raise (Head.Refused `Request_timeout)
        | e -> raise e)

let source t =
  Soil.Flow.source ~name:"body"
    ~read_into:(fun b off len -> read_by Input.read_into t b off len)
    (fun b off len -> read_by Input.read t b off len)

let read_text ~max source =
  Soil.Budget.scratch @@ fun more ->
  let most = if max = max_int then max else max + 1 in
  let rec go b at =
    if at > max then None
    else if at = Bytes.length b then (
      let n = Int.min most (Int.max 4096 (2 * at)) - at in
      more n;
      go (Bytes.extend b 0 n) at)
    else
      match Soil.File_descriptor.read source b at (Bytes.length b - at) with
      | 0 -> Some (Bytes.sub_string b 0 at)
      | n -> go b (at + n)
  in
  go Bytes.empty 0

(* Memory follows what has come: the length is only what the client announces. *)
let read_all t source ~count =
  let first = 4096 in
  let size at n = if t.step = Fixed then min n (at + t.left) else n in
  let rec go b at =
    if at = Bytes.length b then (
      if is_over t then b
      else
        let more = size at (max first (2 * at)) - at in
        count more;
        go (Bytes.extend b 0 more) at)
    else
      match Soil.File_descriptor.read source b at (Bytes.length b - at) with
      | 0 -> Bytes.sub b 0 at
      | n -> go b (at + n)
  in
  Bytes.unsafe_to_string (go Bytes.empty 0)

let discarded_bytes = 65536

let can_discard t =
  match t.step with
  | Over -> true
  | Fixed | Data -> t.ask = None && t.left <= discarded_bytes
  | Size | End_of_chunk | Trailers -> t.ask = None
  | To_end | Broken -> false

let read_rest t =
  let b = Bytes.create 4096 in
  let rec go left =
    is_over t || (left > 0 && match read_by Input.read t b 0 4096 with n -> go (left - n))
  in
  (* What isn't needed may not be waited for as long as what is. *)
  t.max <- max_int;
  match go discarded_bytes with
  | over -> over
  | exception Head.Refused _ -> false
  | exception e when e == t.truncated || Input.is_failure t.input e -> false

let discard t = is_over t || (can_discard t && read_rest t)
