(* Waiting for events, by C's calls and by OCaml's: one line for the answer of each call. *)

external polls : unit -> unit = "test_polls"
external epolls : unit -> unit = "test_epolls"

(* C's library buffers by itself. *)
let line format = Printf.ksprintf print_endline format
let ready (r, w, e) = Printf.sprintf "%d %d %d" (List.length r) (List.length w) (List.length e)

let error = function
  | Unix.Unix_error (e, call, _) -> Printf.sprintf "%s: %s" call (Unix.error_message e)
  | e -> Printexc.to_string e

let check name f = line "%s: %s" name (try f () with e -> error e)

(* A wait ends by what another thread does. *)
let threads () =
  let input, output = Unix.pipe () in
  let later f =
    Thread.create
      (fun () ->
        Thread.delay 0.02;
        f ())
      ()
  in
  let put () = ignore (Unix.write_substring output "x" 0 1) in
  let take () = ignore (Unix.read input (Bytes.create 9) 0 9) in
  let waiting name f act =
    check name (fun () ->
        let other = later act in
        let result = f () in
        Thread.join other;
        result)
  in
  waiting "select, written later" (fun () -> ready (Unix.select [ input ] [] [] (-1.))) put;
  take ();
  waiting "select, written later, with a timeout"
    (fun () -> ready (Unix.select [ input ] [] [] 60.))
    put;
  take ();
  waiting "read, written later" (fun () -> string_of_int (Unix.read input (Bytes.create 9) 0 9)) put;
  waiting "select, closed later"
    (fun () -> ready (Unix.select [ input ] [] [ input ] (-1.)))
    (fun () -> Unix.close output);
  Unix.close input;
  check "select on a closed descriptor" (fun () -> ready (Unix.select [ input ] [] [] 1.));
  let input, output = Unix.pipe () in
  Unix.set_nonblock output;
  let full = Bytes.create 4096 in
  (try
     while true do
       ignore (Unix.write output full 0 4096)
     done
   with Unix.Unix_error (EAGAIN, _, _) -> ());
  check "select on a full pipe" (fun () -> ready (Unix.select [ input ] [ output ] [] 0.));
  waiting "select, emptied later"
    (fun () -> ready (Unix.select [] [ output ] [] (-1.)))
    (fun () -> ignore (Unix.read input (Bytes.create 65536) 0 65536));
  Unix.clear_nonblock output;
  let both = Thread.create (fun () -> ready (Unix.select [ input ] [] [] 60.) |> line "both: %s") in
  let all = List.init 5 (fun _ -> both ()) in
  let written = Unix.write_substring output "all" 0 3 in
  List.iter Thread.join all;
  line "written: %d" written

let signals () =
  let seen = ref 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> incr seen));
  let input, output = Unix.pipe () in
  let kill () = Unix.kill (Unix.getpid ()) Sys.sigusr1 in
  let interrupted name f =
    check name (fun () ->
        (* The main thread alone takes it. *)
        let other =
          Thread.create
            (fun () ->
              ignore (Thread.sigmask SIG_BLOCK [ Sys.sigusr1 ]);
              Thread.delay 0.02;
              kill ())
            ()
        in
        let result = try f () with e -> error e in
        Thread.join other;
        Printf.sprintf "%s, seen %d" result !seen)
  in
  interrupted "select ended by a signal" (fun () -> ready (Unix.select [ input ] [] [] (-1.)));
  interrupted "read ended by a signal" (fun () ->
      (* OCaml's handlers have no SA_RESTART. *)
      string_of_int (Unix.read input (Bytes.create 1) 0 1));
  ignore (Unix.sigprocmask SIG_BLOCK [ Sys.sigusr1 ]);
  kill ();
  check "select with a blocked signal" (fun () -> ready (Unix.select [ input ] [] [] 0.02));
  ignore (Unix.sigprocmask SIG_UNBLOCK [ Sys.sigusr1 ]);
  line "seen %d" !seen;
  Unix.close input;
  Unix.close output

let () =
  polls ();
  epolls ();
  threads ();
  signals ()
