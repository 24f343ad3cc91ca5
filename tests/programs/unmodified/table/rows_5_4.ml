(* What OCaml 5.4 added: module, function, answer. *)

let awaited () =
  let before = Unix.sigprocmask SIG_BLOCK [ Sys.sigusr2 ] in
  Unix.kill (Unix.getpid ()) Sys.sigusr2;
  let signal = Unix.sigwait [ Sys.sigusr2 ] in
  ignore (Unix.sigprocmask SIG_SETMASK before);
  Sys.signal_to_string signal

let named () =
  Thread.set_current_thread_name "table";
  "done"

let rows = [ ("Unix", "sigwait", awaited); ("Thread", "set_current_thread_name", named) ]
