module Stream = Soil.Task.Stream

type value = Line.value = Text of string | Json of string

type message = Line.t = {
  time : int;
  level : Logs.level;
  source : string;
  tags : (string * value) list;
  text : string;
}

type t = {
  name : string;
  format : message -> string;
  write : string -> unit;
  close : unit -> unit;
  dropped : int Atomic.t;
  mutable said : int;  (** Of those dropped, how many a message has told of. *)
}

let make ?(close = ignore) ~name ~format ~write () =
  { name; format; write; close; dropped = Atomic.make 0; said = 0 }

let dropped sink = Atomic.get sink.dropped

let console ?(format = Line.plain) () =
  let write line =
    Soil.File_descriptor.write_string (Soil.File_descriptor.of_console_error ()) line
  in
  make ~name:"console" ~format ~write ()

let first_delay = 0.1
let longest_delay = 10.

(* Whether the same write may succeed later: when the network, the server, the disk or memory is
   there again. *)
let may_pass : Soil.Error.code -> bool = function
  | Connection_refused | Connection_reset | Broken_pipe | Not_connected | Timed_out | Unreachable
  | Address_in_use | Address_not_available | No_such_host | Name_server_failure | No_network | Busy
  | No_space | Out_of_memory | Too_many_open ->
      true
  | _ -> false

(* Whether the text was written. What can't be is given up, for those behind it. *)
let rec write sink delay text =
  match sink.write text with
  | () -> true
  | exception (Soil.Error { code; _ } as e) when may_pass code ->
      Soil.Private.recover e;
      Soil.Clock.sleep delay;
      write sink (Float.min longest_delay (2. *. delay)) text
  | exception e ->
      Soil.Private.recover e;
      Soil.Task.check ();
      false

let give sink text = write sink first_delay text

let report_dropped sink =
  let dropped = Atomic.get sink.dropped in
  let n = dropped - sink.said in
  if n > 0 then (
    sink.said <- dropped;
    let text =
      Printf.sprintf "%s: %d messages were dropped: the queue was full, or they couldn't be written"
        sink.name n
    in
    let time = Soil.Clock.now_ns () in
    if
      not
        (give sink
           (sink.format { time; level = Warning; source = "soil-sight.logs"; tags = []; text }))
    then sink.said <- dropped - n)

let rec empty sink stream =
  match Stream.take_opt stream with
  | None -> report_dropped sink
  | Some text ->
      if not (give sink text) then Atomic.incr sink.dropped;
      if Stream.length stream = 0 then report_dropped sink;
      empty sink stream

let grace = 2.

(* Not cancelled with the scope, which would leave a piece of a message, but a while after it. *)
let run sink stream over =
  Soil.Task.protect @@ fun () ->
  let late () =
    Soil.Task.Promise.await over;
    Soil.Clock.sleep grace
  in
  Soil.Task.first [ (fun () -> empty sink stream); late ];
  sink.close ()

(* [waiting]: messages in the stream, and those of other threads on their way to it. *)
type queue = { sink : t; stream : string Stream.t; waiting : int Atomic.t; capacity : int }

let offer inbox { sink; stream; waiting; capacity } message =
  let drop () = Atomic.incr sink.dropped in
  if Stream.length stream + Atomic.get waiting >= capacity then drop ()
  else
    let text = sink.format message in
    let push () = if not (Stream.try_push stream text) then drop () in
    match push () with
    | () -> ()
    | exception Invalid_argument _ ->
        (* Another thread than the tasks'. *)
        Atomic.incr waiting;
        Soil.Inbox.post inbox (fun () ->
            Atomic.decr waiting;
            push ())

let reporter ?(capacity = 1000) ?(format = Line.plain) scope sinks =
  if capacity < 1 then invalid_arg "Soil_logs.Sink.reporter: a capacity of less than 1";
  let inbox = Soil.Inbox.create scope in
  let queue sink = { sink; stream = Stream.create capacity; waiting = Atomic.make 0; capacity } in
  let queues = List.map queue sinks in
  let over = Soil.Task.Promise.create () in
  let await_end () =
    Fun.protect
      Soil.Task.Promise.(fun () -> await (create ()))
      ~finally:(fun () ->
        List.iter (fun queue -> Stream.close queue.stream) queues;
        Soil.Task.Promise.fulfil over ())
  in
  let daemon f = ignore (Soil.Task.spawn_daemon scope f) in
  daemon await_end;
  List.iter (fun { sink; stream; _ } -> daemon (fun () -> run sink stream over)) queues;
  (* They begin: a daemon that hasn't begun by the end of its scope never does. *)
  Soil.Task.yield ();
  let late message = Soil.Private.print_error (fun () -> format message) in
  Line.reporter @@ fun message ->
  let offer queue =
    try offer inbox queue message
    with Out_of_memory as e ->
      Soil.Private.recover e;
      Atomic.incr queue.sink.dropped
  in
  match List.iter offer queues with
  | () -> ()
  (* The scope has ended. *)
  | exception (Soil.Error { code = Closed; _ } | Invalid_argument _) -> late message
