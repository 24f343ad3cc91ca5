(* Handlers of signals, as OCaml programs set them. *)

exception Told of int

let say format = Printf.printf (format ^^ "\n%!")
let myself signal = Unix.kill (Unix.getpid ()) signal

let from_itself () =
  let count = ref 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> incr count));
  myself Sys.sigusr1;
  myself Sys.sigusr1;
  say "handled: %d" !count;
  (match Sys.signal Sys.sigusr1 Signal_ignore with
  | Signal_handle _ -> say "a handler was there"
  | _ -> say "no handler was there");
  myself Sys.sigusr1;
  say "ignored: %d" !count;
  Sys.set_signal Sys.sigusr2 (Signal_handle (fun signal -> raise (Told signal)));
  (match
     myself Sys.sigusr2;
     Sys.opaque_identity (ref 0)
   with
  | exception Told signal -> say "raised: %b" (signal = Sys.sigusr2)
  | _ -> say "nothing raised");
  let before = Unix.sigprocmask SIG_BLOCK [ Sys.sigusr2 ] in
  myself Sys.sigusr2;
  say "blocked: %d before, %b now, pending: %b" (List.length before)
    (List.mem Sys.sigusr2 (Unix.sigprocmask SIG_BLOCK []))
    (List.mem Sys.sigusr2 (Unix.sigpending ()));
  (match Unix.sigprocmask SIG_UNBLOCK [ Sys.sigusr2 ] with
  | exception Told _ -> say "raised when let in"
  | _ -> say "nothing raised");
  Sys.catch_break true;
  (match
     myself Sys.sigint;
     Sys.opaque_identity (ref 0)
   with
  | exception Sys.Break -> say "broken"
  | _ -> say "not broken");
  Unix.sleepf 0.001;
  say "slept";
  at_exit (fun () -> say "not at a signal's end");
  Sys.set_signal Sys.sigusr1 Signal_default;
  myself Sys.sigusr1

let from_outside signal =
  let waiting = ref true in
  Sys.set_signal signal
    (Signal_handle
       (fun _ ->
         say "asked to stop";
         waiting := false));
  say "ready";
  (* A machine listens to its power button from its first halt on. *)
  let began = Unix.gettimeofday () in
  while !waiting && Unix.gettimeofday () < began +. 0.3 do
    ()
  done;
  (* A sleep is gone on with after a signal. *)
  while !waiting do
    Unix.sleepf 0.05
  done;
  say "the end";
  exit 7

let () =
  match Sys.argv.(1) with
  | "itself" -> from_itself ()
  | "term" -> from_outside Sys.sigterm
  | "break" -> from_outside Sys.sigint
  | _ -> exit 2
