(* Masks of signals and waits for them, by Thread alone: nothing here names Unix. *)

external send : int -> unit = "test_send"

let say format = Printf.printf (format ^^ "\n%!")

let name signal =
  if signal = Sys.sigusr1 then "USR1" else if signal = Sys.sigusr2 then "USR2" else "another"

let names signals = String.concat " " (List.map name signals)
let both = [ Sys.sigusr1; Sys.sigusr2 ]

let () =
  say "blocked before: %s" (names (Thread.sigmask SIG_BLOCK both));
  send Sys.sigusr2;
  say "pending, and taken: %s" (name (Thread.wait_signal both));
  let later signal =
    Thread.delay 0.05;
    send signal
  in
  let sender = Thread.create later Sys.sigusr1 in
  say "sent while it was awaited: %s" (name (Thread.wait_signal both));
  Thread.join sender;
  let wait () =
    say "a thread inherits: %s" (names (Thread.sigmask SIG_BLOCK []));
    say "taken by a thread: %s" (name (Thread.wait_signal [ Sys.sigusr2 ]))
  in
  let waiter = Thread.create wait () in
  later Sys.sigusr2;
  Thread.join waiter;
  let seen = Atomic.make 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> Atomic.incr seen));
  send Sys.sigusr1;
  say "handled while it was blocked: %d" (Atomic.get seen);
  say "blocked until now: %s" (names (Thread.sigmask SIG_UNBLOCK [ Sys.sigusr1 ]));
  while Atomic.get seen = 0 do
    Thread.yield ()
  done;
  say "handled since: %d" (Atomic.get seen);
  say "still blocked: %s" (names (Thread.sigmask SIG_SETMASK []))
