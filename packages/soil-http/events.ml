module D = Soil.File_descriptor
module H = Cohttp.Header

(* Messages *)

type message = private string

external encoded : string -> message = "%identity"

let invalid what = invalid_arg ("Soil_http.Events.message: " ^ what)
let is_break c = c = '\n' || c = '\r'

let add_line b field value =
  Buffer.add_string b field;
  Buffer.add_string b ": ";
  Buffer.add_string b value;
  Buffer.add_char b '\n'

(* A line ends with CRLF, LF or CR. *)
let add_lines b field text =
  let length = String.length text in
  let rec go start i =
    if i = length || is_break text.[i] then (
      add_line b field (String.sub text start (i - start));
      if i < length then
        let after =
          if text.[i] = '\r' && i + 1 < length && text.[i + 1] = '\n' then i + 2 else i + 1
        in
        go after after)
    else go start (i + 1)
  in
  go 0 0

let check_utf_8 what s = if not (String.is_valid_utf_8 s) then invalid (what ^ " isn't UTF-8")

let add_name b what is_bad name =
  check_utf_8 what name;
  if String.exists is_bad name then invalid (what ^ " has a line break or a NUL");
  add_line b what name

let most_retry = 1e9

let message ?event ?id ?retry data =
  check_utf_8 "the data" data;
  let b = Buffer.create (String.length data + 64) in
  let add_retry seconds =
    if not (seconds >= 0. && seconds <= most_retry) then invalid "retry is out of range";
    add_line b "retry" (string_of_int (int_of_float (seconds *. 1e3)))
  in
  Option.iter (add_name b "event" is_break) event;
  Option.iter (add_name b "id" (fun c -> is_break c || c = '\000')) id;
  Option.iter add_retry retry;
  add_lines b "data" data;
  Buffer.add_char b '\n';
  encoded (Buffer.contents b)

let comment text =
  check_utf_8 "the comment" text;
  let b = Buffer.create (String.length text + 8) in
  add_lines b "" text;
  Buffer.add_char b '\n';
  encoded (Buffer.contents b)

(* Servers *)

type t = { sink : Soil.Flow.sink; writing : Soil.Task.Mutex.t; mutable sent_at : float }

let send t (m : message) =
  Soil.Task.Mutex.protect t.writing @@ fun () ->
  D.write_string t.sink (m :> string);
  t.sent_at <- Soil.Clock.monotonic ()

let sign_of_life = encoded ":\n\n"

let rec keep_alive t seconds =
  let left = t.sent_at +. seconds -. Soil.Clock.monotonic () in
  if left > 0. then Soil.Clock.sleep left else send t sign_of_life;
  keep_alive t seconds

let stream ?status ?(headers = H.init ()) ?keep_alive:(seconds = 15.) f =
  if not (seconds > 0.) then invalid_arg "Soil_http.Events.stream: keep_alive isn't positive";
  let headers = H.replace headers "content-type" "text/event-stream" in
  let headers = H.add_unless_exists headers "cache-control" "no-store" in
  Server.stream ?status ~headers @@ fun sink ->
  Soil.Task.scope @@ fun scope ->
  let writing = Soil.Task.Mutex.create () in
  let t = { sink; writing; sent_at = Soil.Clock.monotonic () } in
  ignore (Soil.Task.spawn_daemon scope (fun () -> keep_alive t seconds));
  f t;
  (* A comment that is being written ends before the response, which it would cut otherwise. *)
  Soil.Task.Mutex.lock writing

let rec forward ?(missed = ignore) t subscription =
  match Soil.Broadcast.take subscription with
  | Message m ->
      send t m;
      forward ~missed t subscription
  | Missed n ->
      missed n;
      forward ~missed t subscription
  | Ended -> ()

let follow ?status ?headers ?keep_alive ?missed ?policy ?max_lag ?replay broadcast =
  stream ?status ?headers ?keep_alive @@ fun t ->
  Soil.Task.scope @@ fun scope ->
  let missed = Option.map (fun f n -> f t n) missed in
  forward ?missed t (Soil.Broadcast.subscribe ?policy ?max_lag ?replay scope broadcast)

let last_event_id request = Server.header request "last-event-id"

(* Clients *)

type event = { event : string; data : string; id : string }

type reader = {
  source : [ `Read ] D.t;
  max : int;
  input : bytes;
  mutable at : int;
  mutable stop : int;
  line : Buffer.t;
  mutable is_first : bool;  (** The line may begin with a byte order mark. *)
  mutable after_cr : bool;
  mutable kind : string;
  data : Buffer.t;
  mutable last : string;
  mutable next_last : string;  (** Takes effect with the event. *)
  mutable wait : float option;
}

let reader ?(max = 1 lsl 20) source =
  {
    source :> [ `Read ] D.t;
    max;
    input = Bytes.create 4096;
    at = 0;
    stop = 0;
    line = Buffer.create 256;
    is_first = true;
    after_cr = false;
    kind = "";
    data = Buffer.create 256;
    last = "";
    next_last = "";
    wait = None;
  }

let retry r = r.wait
let last_id r = r.last

let add r b s off len =
  if Buffer.length r.line + Buffer.length r.data + len > r.max then
    Soil.Error.fail Too_large "read" ~subject:(D.name r.source) ~detail:"an event is too long";
  Buffer.add_subbytes b s off len

let rec end_of_line r i =
  if i < r.stop && not (is_break (Bytes.get r.input i)) then end_of_line r (i + 1) else i

(* The next line, as far as it has been received. *)
let rec buffered_line r =
  if r.at = r.stop then None
  else if r.after_cr && Bytes.get r.input r.at = '\n' then (
    r.after_cr <- false;
    r.at <- r.at + 1;
    buffered_line r)
  else
    let i = end_of_line r r.at in
    add r r.line r.input r.at (i - r.at);
    r.after_cr <- i < r.stop && Bytes.get r.input i = '\r';
    if i = r.stop then (
      r.at <- i;
      None)
    else (
      r.at <- i + 1;
      let line = Buffer.contents r.line in
      Buffer.clear r.line;
      Some line)

let without_mark r line =
  let had = r.is_first && String.starts_with ~prefix:"\xef\xbb\xbf" line in
  r.is_first <- false;
  if had then String.sub line 3 (String.length line - 3) else line

let set r field value =
  match field with
  | "event" -> r.kind <- value
  | "data" ->
      let line = Bytes.unsafe_of_string (value ^ "\n") in
      add r r.data line 0 (Bytes.length line)
  | "id" -> if not (String.contains value '\000') then r.next_last <- value
  | "retry" when Grammar.is_digits value ->
      Option.iter (fun n -> r.wait <- Some (float_of_int n /. 1e3)) (int_of_string_opt value)
  | _ -> ()

let field r line =
  match String.index_opt line ':' with
  | None -> set r line ""
  | Some i ->
      let from = if i + 1 < String.length line && line.[i + 1] = ' ' then i + 2 else i + 1 in
      set r (String.sub line 0 i) (String.sub line from (String.length line - from))

let dispatch r =
  let kind = if r.kind = "" then "message" else r.kind in
  let length = Buffer.length r.data in
  r.kind <- "";
  r.last <- r.next_last;
  if length = 0 then None
  else
    let data = Buffer.sub r.data 0 (length - 1) in
    Buffer.clear r.data;
    Some { event = kind; data; id = r.last }

let rec next r =
  match buffered_line r with
  | Some line -> (
      match without_mark r line with
      | "" -> ( match dispatch r with Some _ as event -> event | None -> next r)
      | line ->
          field r line;
          next r)
  | None -> (
      match D.read r.source r.input 0 (Bytes.length r.input) with
      | 0 -> None
      | n ->
          r.at <- 0;
          r.stop <- n;
          next r)
