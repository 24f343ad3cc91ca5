(* A line that one client sends goes to all others. *)
module T = Soil.Task

let clients : (int, string T.Stream.t) Hashtbl.t = Hashtbl.create 16
let last = ref 0

let client connection =
  incr last;
  let number = !last in
  let lines = T.Stream.create 64 in
  Hashtbl.replace clients number lines;
  T.scope @@ fun scope ->
  T.on_release scope (fun () -> Hashtbl.remove clients number);
  let write () =
    Soil.Writer.with_ connection @@ fun w ->
    T.Stream.iter
      (fun line ->
        Soil.Writer.line w line;
        if T.Stream.length lines = 0 then Soil.Writer.flush w)
      lines
  in
  ignore (T.spawn_daemon scope write);
  (* A client that doesn't read misses lines, and holds up nothing. *)
  let tell line n others = if n <> number then ignore (T.Stream.try_push others line) in
  Seq.iter
    (fun line -> Hashtbl.iter (tell line) clients)
    (Soil.Reader.Text.lines ~max:1024 (Soil.Reader.create connection))

let () = Soil.run @@ fun () -> Soil.Tcp.serve (Soil.Tcp.listen ~port:6667 ()) client
