(* Exceptions of handlers of signals, which come while the program waits. *)

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let bool = Alcotest.(check bool)
let test name f = Alcotest.test_case name `Quick f

module T = Soil.Task
module D = Soil.File_descriptor

exception Interrupted

(* Has the signal come after [seconds], and every [again] seconds after that. *)
let arm ?(again = 0.) seconds =
  ignore (Unix.setitimer ITIMER_REAL { it_value = seconds; it_interval = again })

(* [f ()], interrupted by the exception [Interrupted] at each of the first [times] signals that
   come before it has ended. *)
let interrupted_by_itself ?(times = max_int) f =
  let left = ref times in
  let handler _ =
    if !left > 0 then (
      decr left;
      raise Interrupted)
  in
  let before = Sys.signal Sys.sigalrm (Signal_handle handler) in
  let stop () =
    left := 0;
    arm 0.;
    Sys.set_signal Sys.sigalrm before
  in
  match f () with
  | _ ->
      stop ();
      "returned"
  | exception Interrupted ->
      stop ();
      "interrupted"
  | exception e ->
      stop ();
      Printexc.to_string e

let interrupted seconds f =
  interrupted_by_itself (fun () ->
      arm seconds;
      f ())

let create = Bigarray.Array1.create Bigarray.char Bigarray.c_layout

let buffer n c =
  let b = create n in
  Bigarray.Array1.fill b c;
  b

let with_pair f =
  D.with_close (Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 ()) @@ fun l ->
  D.with_close (Soil.Tcp.connect (Soil.Tcp.local l)) @@ fun a ->
  D.with_close (Soil.Tcp.accept l) @@ fun b -> f a b

let large = 4 lsl 20

(* A new large buffer lies where the last one was. *)
let reuse_memory () =
  Gc.full_major ();
  let later = List.init 4 (fun _ -> buffer large 'y') in
  Gc.full_major ();
  later

(* The connection sends the program's bytes unchanged from the program's own memory, also when the
   program has dropped the buffer by then. *)
let rec lent_bytes ?(tries = 20) () =
  let seen =
    with_pair @@ fun a b ->
    let send () = Soil.Zero_copy.send a (buffer large 'x') 0 large in
    string "sending" "interrupted" (interrupted 0.05 send);
    let later = reuse_memory () in
    D.shutdown a `Send;
    let seen = D.read_all b in
    int "kept" 4 (List.length (Sys.opaque_identity later));
    seen
  in
  (* Where this process had to wait for its turn, the signal may have come before the bytes were
     lent. *)
  if seen = "" && tries > 1 then lent_bytes ~tries:(tries - 1) ()
  else (
    bool "something was sent" true (String.length seen > 0);
    bool "what was sent" true (String.for_all (( = ) 'x') seen))

let in_run f () = Soil.run f

(* The same, where the exception comes in the scheduler: all tasks are cancelled, and then it is
   raised. *)
let lent_bytes_in_run () =
  let unwound = ref 0 and seen = ref "" in
  let unwinding f = Fun.protect ~finally:(fun () -> incr unwound) f in
  let main () =
    with_pair @@ fun a b ->
    T.scope @@ fun s ->
    ignore (T.spawn s (fun () -> unwinding (fun () -> Soil.Clock.sleep infinity)));
    ignore
      (T.spawn s (fun () -> unwinding (fun () -> Soil.Zero_copy.send a (buffer large 'x') 0 large)));
    let arm_once_sent () =
      while (Soil.Tcp.info b).unread = 0 do
        Soil.Clock.sleep 0.001
      done;
      arm 0.02
    in
    ignore (T.spawn s arm_once_sent);
    unwinding @@ fun () ->
    match Soil.Clock.sleep infinity with
    | () -> ()
    | exception T.Cancelled ->
        T.protect (fun () ->
            (* The one that sends has ended by then. *)
            Soil.Clock.sleep 0.01;
            let later = reuse_memory () in
            D.shutdown a `Send;
            seen := D.read_all b;
            int "kept" 4 (List.length (Sys.opaque_identity later)))
  in
  string "run" "interrupted" (interrupted_by_itself (in_run main));
  int "unwound" 3 !unwound;
  bool "something was sent" true (String.length !seen > 0);
  bool "what was sent" true (String.for_all (( = ) 'x') !seen);
  int "the scheduler goes on" 7
    (Soil.run (fun () ->
         T.yield ();
         Soil.Clock.sleep 0.001;
         7))

(* Every kind of wait outside of [run] is left cleanly: the next one is its own. *)
let next_waits () =
  let r, w = Soil.pipe () in
  let promise = T.Promise.create () in
  let byte () = ignore (D.read r (Bytes.create 1) 0 1) in
  let udp = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  List.iter
    (fun (name, wait) ->
      string name "interrupted" (interrupted 0.005 wait);
      (* A token or timer of the one before would end these too early. *)
      let start = Soil.Clock.monotonic () in
      Soil.Clock.sleep 0.01;
      bool "slept" true (Soil.Clock.monotonic () -. start >= 0.01);
      D.write_string w "ab";
      byte ();
      byte ();
      bool "operations" true (Soil.Machine.counter "operations" = Some 0))
    [
      ("sleep", fun () -> Soil.Clock.sleep infinity);
      ("sleep for a while", fun () -> Soil.Clock.sleep 0.012);
      ("read", byte);
      ( "await",
        fun () ->
          (* Something else that may come, so that it is no deadlock. *)
          T.timeout 100. (fun () -> T.Promise.await promise) );
      ("receive", fun () -> ignore (Soil.Udp.receive udp (Bytes.create 1) 0 1));
    ];
  D.close r;
  D.close w;
  D.close udp

(* A second one doesn't wait for tasks that don't end, and these never go on. *)
let twice () =
  let went_on = ref false and let_go = T.Promise.create () in
  let stubborn () =
    (* Something else that may come, so that it is no deadlock. *)
    T.protect (fun () -> T.timeout 100. (fun () -> T.Promise.await let_go));
    went_on := true
  in
  let main () =
    T.scope @@ fun s ->
    ignore (T.spawn s stubborn);
    (* Once that one waits. *)
    T.yield ();
    arm ~again:0.02 0.02
  in
  string "run" "interrupted" (interrupted_by_itself ~times:2 (in_run main));
  Soil.run (fun () ->
      T.Promise.fulfil let_go ();
      T.yield ();
      Soil.Clock.sleep 0.01);
  bool "never goes on" false !went_on

external raise_signal : (int[@untagged]) -> (int[@untagged]) = "no_bytecode" "raise" [@@noalloc]

let sigalrm_of_linux = 14

(* A handler that raises while a fiber parks, which allocates, cancels the wait it was entering. *)
let while_parking () =
  let r, w = Soil.pipe () in
  let byte () = ignore (D.read r (Bytes.create 1) 0 1) in
  let park wait =
    match
      ignore (raise_signal sigalrm_of_linux);
      wait ()
    with
    | () -> Alcotest.fail "not interrupted"
    | exception Interrupted ->
        let start = Soil.Clock.monotonic () in
        Soil.Clock.sleep 0.01;
        bool "slept" true (Soil.Clock.monotonic () -. start >= 0.01)
  in
  let write () = D.write_string w "a" in
  let main () =
    T.scope @@ fun s ->
    ignore (T.spawn s (fun () -> park T.yield));
    ignore (T.spawn s (fun () -> park byte));
    ignore (T.spawn s write)
  in
  string "run" "returned" (interrupted_by_itself (in_run main));
  byte ();
  bool "operations" true (Soil.Machine.counter "operations" = Some 0);
  D.close r;
  D.close w

type numbers = (int, Bigarray.int_elt, Bigarray.c_layout) Bigarray.Array1.t

external wait : (int[@untagged]) -> numbers -> (int[@untagged]) -> (int[@untagged])
  = "no_bytecode" "soil_wait"

(* A signal that OCaml has only noted, because it came while Rust or C ran, ends the wait. *)
let before_the_wait () =
  let completions = Bigarray.Array1.create Bigarray.int Bigarray.c_layout 2 in
  let minute = 60_000_000_000 + int_of_float (Soil.Clock.monotonic () *. 1e9) in
  let wait () =
    ignore (raise_signal sigalrm_of_linux);
    ignore (wait minute completions 1);
    (* Where memory is taken the handler runs. *)
    ignore (Sys.opaque_identity (ref 0))
  in
  string "wait" "interrupted" (interrupted_by_itself wait);
  bool "at once" true (Soil.Clock.monotonic () *. 1e9 < Float.of_int minute)

(* Also one that comes just before the wait sleeps, or while it does. *)
let about_the_sleep () =
  for i = 1 to 400 do
    let wait () = Soil.Clock.sleep infinity in
    string "sleep" "interrupted" (interrupted (5e-6 *. Float.of_int i) wait)
  done

(* A task that was abandoned in a write keeps no other task from writing. *)
let left_amid_a_write () =
  let r, w = Soil.pipe ~capacity:7 () in
  let write () = D.write_string w "0123456789" in
  (* The task that writes has its first turn before the other, and waits by then. *)
  let main () = T.protect (fun () -> T.both write (fun () -> arm ~again:0.02 0.02)) in
  string "run" "interrupted" (interrupted_by_itself ~times:2 (in_run main));
  let read n =
    let b = Bytes.create n in
    D.really_read r b 0 n;
    Bytes.to_string b
  in
  Soil.run (fun () ->
      string "the beginning" "0123456" (read 7);
      D.write_string w "abc";
      string "of the next" "abc" (read 3));
  D.close r;
  D.close w

(* At any moment: no run hangs, and the next one works. *)
let at_any_moment () =
  let r, w = Soil.pipe ~capacity:10 () in
  let main () =
    T.scope @@ fun s ->
    ignore
      (T.spawn s (fun () ->
           while true do
             D.write_string w "0123456789abcdef"
           done));
    ignore
      (T.spawn s (fun () ->
           let b = Bytes.create 7 in
           while true do
             ignore (D.read r b 0 7)
           done));
    for _ = 1 to 5 do
      ignore
        (T.spawn s (fun () ->
             while true do
               ignore (T.timeout_opt 0.0001 (fun () -> Soil.Clock.sleep infinity))
             done))
    done
  in
  for i = 1 to 100 do
    (match interrupted (0.0005 +. (Float.of_int i *. 0.00001)) (in_run main) with
    | "interrupted" -> ()
    | other -> Alcotest.fail other);
    int "works" 3
      (Soil.run (fun () ->
           T.all
             [
               (fun () -> 1);
               (fun () ->
                 T.yield ();
                 2);
             ]
           |> List.fold_left ( + ) 0))
  done

let () =
  Alcotest.run "signals"
    [
      ( "exceptions",
        [
          test "lent bytes" (fun () -> lent_bytes ());
          test "lent bytes in run" lent_bytes_in_run;
          test "the next wait" next_waits;
          test "twice" twice;
          test "while parking" while_parking;
          test "before the wait" before_the_wait;
          test "about the sleep" about_the_sleep;
          test "left amid a write" left_amid_a_write;
          test "at any moment" at_any_moment;
        ] );
    ]
