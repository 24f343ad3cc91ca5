(* Logs to syslog servers: some messages of each kind to two, or more than one can take. *)

let store = Logs.Src.create "store"
let odd = Logs.Src.create "a name with blanks, longer than thirty-two letters"
let long = String.concat "" (List.init 3000 (fun _ -> "\u{e4}"))

(* Until the test has what was logged: what has no connection two seconds after the scope's end is
   dropped. *)
let await_line () =
  ignore (Soil.Reader.line_opt (Soil.Reader.create (Soil.File_descriptor.of_console ())))

let begins () =
  Logs.app (fun m -> m "begins");
  await_line ()

let some () =
  begins ();
  Logs.err ~src:store (fun m -> m "disk %s: %d errors" "data" 2);
  Logs.warn (fun m -> m ~header:"HEAD" "two\nlines");
  Logs.info ~src:odd (fun m -> m "\u{fc}nicode");
  Logs.debug (fun m -> m "%s" long)

let with_sinks ?capacity sinks f =
  Soil.Task.scope @@ fun scope ->
  Logs.set_level (Some Debug);
  Logs.set_reporter (Soil_logs.Sink.reporter ?capacity scope sinks);
  f ()

let more_than_it_takes sink n =
  let text = String.make 1000 'x' in
  for i = 1 to n do
    Logs.warn (fun m -> m "%d %s" i text);
    if i mod 100 = 0 then Soil.Task.yield ()
  done;
  Printf.printf "logged, and some were dropped: %b\n%!" (Soil_logs.Sink.dropped sink > 0);
  await_line ()

let from_threads () =
  begins ();
  let log i = Logs.warn (fun m -> m "thread %d" i) in
  let threads = List.init 4 (Thread.create log) in
  Soil_threads.blocking (fun () -> List.iter Thread.join threads)

let () =
  let server text = Soil.Net.Endpoint.of_string text in
  let sink ?hostname server =
    Soil_logs.Syslog.sink ?hostname ~facility:1 ~app_name:"logged" server
  in
  Soil.run @@ fun () ->
  match Sys.argv with
  | [| _; "some"; udp; tcp |] ->
      let sinks =
        [
          Soil_logs.Sink.console ();
          sink ~hostname:"host.example" (`Udp (server udp));
          sink (`Tcp (server tcp));
        ]
      in
      with_sinks sinks some;
      Logs.warn (fun m -> m "after the scope")
  | [| _; "many"; tcp; n |] ->
      let sink = sink (`Tcp (server tcp)) in
      with_sinks ~capacity:50 [ sink ] (fun () -> more_than_it_takes sink (int_of_string n))
  | [| _; "threads"; tcp |] ->
      Logs_threaded.enable ();
      with_sinks [ sink (`Tcp (server tcp)) ] from_threads
  | [| _; "again"; tcp |] ->
      with_sinks [ sink (`Tcp (server tcp)) ] @@ fun () ->
      let lines = Soil.Reader.create (Soil.File_descriptor.of_console ()) in
      let rec go () =
        let line = Soil.Reader.line lines in
        if line <> "end" then (
          Logs.warn (fun m -> m "%s" line);
          go ())
      in
      go ()
  | _ -> prerr_endline "logged some UDP TCP | many TCP N | threads TCP | again TCP"
