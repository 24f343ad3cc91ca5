(* Exceptions that Soil raises, each right after another one, and their backtraces. The comment at
   the end of a line is the name of the case whose backtrace has to name the line. *)

let loopback = Soil.Net.loopback

let failure ~port =
  ignore (Soil.Tcp.connect { address = loopback; port });
  print_endline "connected"

let listening f =
  let l = Soil.Tcp.listen ~address:loopback ~port:0 () in
  Soil.File_descriptor.with_close l f

let cases =
  [
    ( "host",
      fun () ->
        ignore (Soil.Tcp.connect_host "nope.invalid" ~port:80) (* host *);
        () );
    ( "address",
      fun () ->
        failure ~port:1 (* address *);
        () );
    ( "file",
      fun () ->
        ignore (Soil.Fs.stat "/nowhere/nothing") (* file *);
        () );
    ( "end of input",
      fun () ->
        let source, sink = Soil.pipe () in
        Soil.File_descriptor.close sink;
        Soil.File_descriptor.really_read source (Bytes.create 1) 0 1 (* end of input *);
        () );
    ( "time limit",
      fun () ->
        listening (fun l ->
            ignore (Soil.Tcp.accept ~timeout:0.001 l) (* time limit *);
            ()) );
    ( "timeout",
      fun () ->
        Soil.Task.timeout 0.001 (fun () -> Soil.Clock.sleep infinity) (* timeout *);
        () );
    ( "cancelled",
      fun () ->
        Soil.Task.scope (fun s ->
            Soil.Task.cancel_scope s;
            Soil.Task.check () (* cancelled *);
            ()) );
    ( "task",
      fun () ->
        Soil.Task.scope (fun s ->
            ignore
              (Soil.Task.spawn s (fun () ->
                   failure ~port:2 (* task *);
                   ()))) );
  ]

let earlier () = try ignore (List.find (( = ) 1) [ 2 ]) with Not_found -> ()

let () =
  Printexc.record_backtrace true;
  let check (name, f) =
    earlier ();
    match f () with
    | () -> print_endline (name ^ ": nothing was raised")
    | exception e ->
        let trace = Printexc.get_backtrace () in
        print_endline (name ^ ": " ^ Printexc.to_string e);
        print_string trace;
        print_endline "."
  in
  Soil.run (fun () -> List.iter check cases)
