(* Threads that wait by Soil, several at once, beside tasks. *)

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let bool = Alcotest.(check bool)

module T = Soil.Task
module D = Soil.File_descriptor

(* In the program outside of [run], and in a task while others run. *)
let test name f =
  let in_task () =
    Soil.run @@ fun () ->
    T.scope @@ fun scope ->
    ignore
      (T.spawn_daemon scope (fun () ->
           while true do
             Soil.Clock.sleep 0.001
           done));
    f ()
  in
  Alcotest.test_case name `Quick (fun () ->
      f ();
      in_task ())

(* [f i] in [n] threads at once. The first thread waits for them by Soil, so that all others go on:
   [Thread.join] stops all tasks. *)
let in_threads n f =
  let failure = ref None and running = Atomic.make n in
  let work i =
    (try f i with e -> failure := Some (e, Printexc.get_raw_backtrace ()));
    Atomic.decr running
  in
  let threads = List.init n (Thread.create work) in
  while Atomic.get running > 0 do
    Soil.Clock.sleep 0.002
  done;
  List.iter Thread.join threads;
  match !failure with Some (e, trace) -> Printexc.raise_with_backtrace e trace | None -> ()

let rounds = 200
let message i round = Printf.sprintf "%d of %d;" round i

(* Messages there and back. *)
let ping_pong i ~out ~back =
  for round = 1 to rounds do
    let sent = message i round in
    D.write_string out sent;
    let b = Bytes.create (String.length sent) in
    D.really_read back b 0 (Bytes.length b);
    string "message" sent (Bytes.to_string b)
  done

let echo input output =
  ignore (D.copy ~buffer:100 ~src:input ~dst:output ());
  D.close output

let pipes () =
  let pairs = Array.init 4 (fun _ -> (Soil.pipe ~capacity:4 (), Soil.pipe ~capacity:4 ())) in
  in_threads 8 (fun i ->
      let (r, w), (r', w') = pairs.(i / 2) in
      if i land 1 = 0 then (
        ping_pong i ~out:w ~back:r';
        D.close w)
      else echo r w');
  Array.iter
    (fun ((r, _), (r', _)) ->
      D.close r;
      D.close r')
    pairs

let sockets () =
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  in_threads 8 (fun i ->
      if i land 1 = 0 then (
        let d = Soil.Tcp.connect ~timeout:60. (Soil.Tcp.local listener) in
        ping_pong i ~out:d ~back:d;
        D.close d)
      else
        let d = Soil.Tcp.accept listener in
        echo d d);
  D.close listener

let datagrams () =
  let bind _ = Soil.Udp.bind ~address:Soil.Net.loopback ~port:0 () in
  let ends = Array.init 8 bind in
  in_threads 8 (fun i ->
      let peer = Soil.Udp.local ends.(i lxor 1) in
      let b = Bytes.create 100 in
      for round = 1 to rounds do
        Soil.Udp.send_string ends.(i) peer (message i round);
        let n, _ = Soil.Udp.receive ~timeout:60. ends.(i) b 0 100 in
        string "datagram" (message (i lxor 1) round) (Bytes.sub_string b 0 n)
      done);
  Array.iter D.close ends

let files () =
  in_threads 8 (fun i ->
      let path = Printf.sprintf "/folder/%d" i in
      for round = 1 to 20 do
        Soil.Fs.write_file path (message i round);
        string "contents" (message i round) (Soil.Fs.read_file path);
        Soil.Fs.append_file path "more"
      done;
      Soil.Fs.with_file path (fun d ->
          string "read" (message i 20 ^ "more") (D.read_all d);
          Soil.Fs.sync d);
      Soil.Fs.unlink path);
  int "files left" 0 (List.length (Soil.Fs.list "/folder"))

(* What one thread waits for, another does. *)
let one_wakes_another () =
  let r, w = Soil.pipe () in
  let order = ref [] in
  in_threads 3 (fun i ->
      match i with
      | 0 ->
          string "written" "now" (D.read_all r);
          order := "read" :: !order
      | 1 ->
          Soil.Clock.sleep 0.02;
          order := "written" :: !order;
          D.write_string w "now";
          D.close w
      | _ -> Soil.Clock.sleep 0.04);
  Alcotest.(check (list string)) "order" [ "read"; "written" ] !order;
  D.close r

let closed_by_another () =
  let r, w = Soil.pipe () in
  in_threads 2 (fun i ->
      if i = 0 then
        match D.read r (Bytes.create 1) 0 1 with
        | _ -> Alcotest.fail "read"
        | exception Soil.Error { code = Closed; _ } -> ()
      else (
        Soil.Clock.sleep 0.02;
        D.close r));
  D.close w

let limits () =
  let r, w = Soil.pipe () in
  let listener = Soil.Tcp.listen ~address:Soil.Net.loopback ~port:0 () in
  in_threads 6 (fun i ->
      let read () = D.read r (Bytes.create 1) 0 1 in
      match i with
      | 0 | 1 -> bool "too late" true (T.timeout_opt 0.01 read = None)
      | 2 -> bool "in time" true (T.timeout_opt 60. (fun () -> 7) = Some 7)
      | 3 -> (
          match T.timeout 0.01 (fun () -> Soil.Clock.sleep 60.) with
          | () -> Alcotest.fail "slept"
          | exception T.Timeout _ -> ())
      | 4 ->
          (* The outer one. *)
          let inner () = T.timeout_opt 60. read in
          bool "outer" true (T.timeout_opt 0.01 inner = None)
      | _ -> (
          let protected () = T.protect (fun () -> Soil.Clock.sleep 0.02) in
          match
            T.timeout_opt 0.01 (fun () ->
                protected ();
                Soil.Tcp.accept listener)
          with
          | None -> ()
          | Some _ -> Alcotest.fail "accepted"));
  D.close r;
  D.close w;
  D.close listener

(* Several threads, and tasks, write to one descriptor: each call's bytes stay together. *)
let writers_take_turns () =
  let r, w = Soil.pipe ~capacity:7 () in
  let line i = String.make 20 (Char.chr (Char.code 'a' + i)) in
  let write i =
    for _ = 1 to 20 do
      D.writev w [ line i; "\n" ]
    done
  in
  let lines = ref 0 in
  in_threads 5 (fun i ->
      if i < 4 then write i
      else
        let reader = Soil.Reader.create r in
        while !lines < 80 do
          let l = Soil.Reader.line reader in
          string "line" (String.make 20 l.[0]) l;
          incr lines
        done);
  int "lines" 80 !lines;
  D.close r;
  D.close w

let tasks_and_threads_take_turns () =
  Soil.run @@ fun () ->
  let r, w = Soil.pipe ~capacity:7 () in
  let line i = String.make 20 (Char.chr (Char.code 'a' + i)) in
  let write i () =
    for _ = 1 to 20 do
      D.writev w [ line i; "\n" ]
    done
  in
  let threads = List.init 3 (fun i -> Thread.create (write i) ()) in
  ( T.scope @@ fun scope ->
    for i = 3 to 5 do
      ignore (T.spawn scope (write i))
    done;
    (* One that gives up leaves the turn to others. *)
    ignore (T.spawn scope (fun () -> ignore (T.timeout_opt 0.001 (fun () -> D.write_string w ""))));
    let reader = Soil.Reader.create r in
    for _ = 1 to 120 do
      let l = Soil.Reader.line reader in
      string "line" (String.make 20 l.[0]) l
    done );
  List.iter Thread.join threads;
  D.close r;
  D.close w

(* The detail of an error is the one of the thread's own failure. *)
let details () =
  in_threads 8 (fun i ->
      for _ = 1 to 50 do
        let path = Printf.sprintf "/folder/missing %d" i in
        match Soil.Fs.read_file path with
        | _ -> Alcotest.fail "read"
        | exception Soil.Error e -> string "subject" path e.subject
      done)

let inbox () =
  Soil.run @@ fun () ->
  let order = ref [] in
  let threads =
    T.scope @@ fun scope ->
    let inbox = Soil.Inbox.create scope in
    let answer = T.Promise.create () in
    let work i =
      for n = 1 to 100 do
        Soil.Inbox.post inbox (fun () -> order := (i, n) :: !order);
        if n mod 10 = 0 then Soil.Clock.sleep 0.001
      done;
      if i = 0 then (
        Thread.delay 0.02;
        Soil.Inbox.post inbox (fun () -> T.Promise.fulfil answer "fulfilled"))
    in
    let threads = List.init 4 (Thread.create work) in
    (* No task can run, and the scheduler sleeps: this is no deadlock. *)
    string "promise" "fulfilled" (T.Promise.await answer);
    while List.length !order < 400 do
      Soil.Clock.sleep 0.001
    done;
    threads
  in
  List.iter Thread.join threads;
  for i = 0 to 3 do
    let own = List.filter_map (fun (j, n) -> if i = j then Some n else None) !order in
    bool "in order" true (List.rev own = List.init 100 succ)
  done

let inbox_of_a_scope_that_ends () =
  Soil.run @@ fun () ->
  let ran = ref 0 in
  let inbox =
    T.scope @@ fun scope ->
    let inbox = Soil.Inbox.create scope in
    let submit () =
      for _ = 1 to 10 do
        Soil.Inbox.post inbox (fun () ->
            T.yield ();
            incr ran)
      done
    in
    Thread.join (Thread.create submit ());
    inbox
  in
  int "what was submitted ran" 10 !ran;
  let outcome = ref "" in
  let late () =
    match Soil.Inbox.post inbox ignore with
    | () -> outcome := "accepted"
    | exception Invalid_argument text -> outcome := text
  in
  Thread.join (Thread.create late ());
  string "late" "Soil.Inbox.post: the scope of the inbox has ended" !outcome

(* [f inbox] in a thread, while tasks run. *)
let with_inbox f =
  Soil.run @@ fun () ->
  T.scope @@ fun scope ->
  let inbox = Soil.Inbox.create scope in
  Soil_threads.blocking (fun () -> f inbox)

let submit_gives_results () =
  with_inbox @@ fun inbox ->
  let order = ref [] in
  let note n = order := n :: !order in
  Soil.Inbox.post inbox (fun () -> note 1);
  let late () =
    note 2;
    Soil.Clock.sleep 0.005;
    "result"
  in
  string "result" "result" (Soil.Inbox.submit inbox late);
  bool "in order" true (!order = [ 2; 1 ]);
  let fail () =
    T.yield ();
    failwith "told"
  in
  let told () = try Soil.Inbox.submit inbox fail with Failure text -> text in
  string "exception" "told" (told ());
  string "again" "told" (told ());
  let of_its_own () = raise T.Cancelled in
  bool "an exception like others" true
    (match Soil.Inbox.submit inbox of_its_own with () -> false | exception T.Cancelled -> true)

let many_submit () =
  Soil.run @@ fun () ->
  T.scope @@ fun scope ->
  let inbox = Soil.Inbox.create scope in
  let sum = ref 0 in
  in_threads 8 (fun i ->
      for n = 1 to rounds do
        let add () =
          if n mod 8 = i then Soil.Clock.sleep 0.0001;
          sum := !sum + n;
          (i, n)
        in
        bool "its own result" true (Soil.Inbox.submit inbox add = (i, n))
      done);
  int "all ran" (8 * rounds * (rounds + 1) / 2) !sum

let submit_within_a_time () =
  with_inbox @@ fun inbox ->
  (* [f] in a task that began within the time: one that is cancelled before its first turn says
     nothing of how tasks end. *)
  let rec submit_within seconds f =
    let begun = ref false in
    let work () =
      begun := true;
      f seconds
    in
    let result = T.timeout_opt seconds (fun () -> Soil.Inbox.submit inbox work) in
    if !begun then result
    else (
      bool "never begun" true (result = None && seconds < 60.);
      submit_within (2. *. seconds) f)
  in
  let unwound = ref false in
  let endless _ =
    Fun.protect
      ~finally:(fun () ->
        T.protect T.yield;
        unwound := true)
      (fun () -> Soil.Clock.sleep infinity)
  in
  bool "too late" true (submit_within 0.005 endless = None);
  bool "its end was awaited" true !unwound;
  let stubborn seconds = T.protect (fun () -> Soil.Clock.sleep (4. *. seconds)) in
  bool "a result counts" true (submit_within 0.005 stubborn = Some ());
  string "the next one" "next" (Soil.Inbox.submit inbox (fun () -> "next"))

let submit_to_a_scope_that_ends () =
  Soil.run @@ fun () ->
  let outcomes = ref [] and threads = ref [] in
  let submit inbox f () =
    let outcome =
      match Soil.Inbox.submit inbox f with
      | () -> "result"
      | exception T.Cancelled -> "cancelled"
      | exception Invalid_argument text -> text
    in
    outcomes := outcome :: !outcomes
  in
  let inbox =
    T.scope @@ fun scope ->
    let inbox = Soil.Inbox.create scope in
    let start f = threads := Thread.create (submit inbox f) () :: !threads in
    let begun = T.Promise.create () in
    start (fun () ->
        T.Promise.fulfil begun ();
        Soil.Clock.sleep infinity);
    T.Promise.await begun;
    (* One waits. Another is handed over before the cancellation, and never has its turn; on a slow
       machine it comes after. *)
    start (fun () -> Alcotest.fail "it ran");
    Thread.delay 0.05;
    T.cancel_scope scope;
    inbox
  in
  List.iter Thread.join !threads;
  Thread.join (Thread.create (submit inbox ignore) ());
  let ended = "Soil.Inbox.submit: the scope of the inbox has ended" in
  (match List.sort compare !outcomes with
  | [ a; b; "cancelled" ] -> bool "outcomes" true (a = ended && (b = ended || b = "cancelled"))
  | _ -> Alcotest.fail "outcomes");
  Alcotest.check_raises "the first thread"
    (Invalid_argument "Soil.Inbox.submit: called in the first thread, whose tasks need no inbox")
    (fun () -> Soil.Inbox.submit inbox ignore)

(* What blocks a thread leaves the tasks running. *)
let blocking () =
  let lock = Mutex.create () in
  Mutex.lock lock;
  let release () =
    (* The blocked one waits for this task. *)
    Soil.Clock.sleep 0.005;
    Mutex.unlock lock
  in
  let blocked () =
    Soil_threads.blocking (fun () ->
        Mutex.lock lock;
        Mutex.unlock lock;
        7)
  in
  int "its result" 7 (fst (T.both blocked release));
  bool "its exception" true
    (match Soil_threads.blocking (fun () -> raise Exit) with () -> false | exception Exit -> true);
  let ended = ref false in
  let long () =
    Thread.delay 0.02;
    ended := true
  in
  bool "cancelled" true (T.timeout_opt 0.001 (fun () -> Soil_threads.blocking long) = None);
  bool "at its end" true !ended;
  int "many" 45
    (T.fold (fun n -> Soil_threads.blocking (fun () -> n)) ( + ) 0 (List.init 10 Fun.id))

external raise_signal : (int[@untagged]) -> (int[@untagged]) = "no_bytecode" "raise" [@@noalloc]

external await : (int[@untagged]) -> (int[@untagged]) -> (int[@untagged])
  = "no_bytecode" "soil_await"

(* A signal that OCaml has only noted ends the wait of a thread that follows the first one, which
   would sleep for ever. *)
let signal_before_the_wait () =
  let exception Interrupted in
  let before = Sys.signal Sys.sigalrm (Signal_handle (fun _ -> raise Interrupted)) in
  let token_without_an_operation = (1 lsl 40) - 1 and sigalrm_of_linux = 14 in
  let r, w = Soil.pipe () in
  let thread () =
    (* The first one leads. *)
    Thread.delay 0.02;
    match
      ignore (raise_signal sigalrm_of_linux);
      ignore (await token_without_an_operation (-1));
      (* Where memory is taken the handler runs. *)
      ignore (Sys.opaque_identity (ref 0))
    with
    | () -> D.write_string w "r"
    | exception Interrupted -> D.write_string w "i"
  in
  let thread = Thread.create thread () in
  let news = Bytes.create 1 in
  T.timeout 60. (fun () -> D.really_read r news 0 1);
  Thread.join thread;
  Sys.set_signal Sys.sigalrm before;
  string "the thread" "i" (Bytes.to_string news);
  D.close r;
  D.close w

(* Virtual time is that of tasks. *)
let virtual_time () =
  let start = Soil.Clock.monotonic () in
  let seen = ref 0. and timed_out = ref false in
  let thread () =
    Soil.Clock.sleep 0.01;
    timed_out := T.timeout_opt 0.01 (fun () -> Soil.Clock.sleep 60.) = None;
    seen := Soil.Clock.monotonic () -. start
  in
  Soil.Virtual_clock.run (fun () ->
      T.scope @@ fun s ->
      let inbox = Soil.Inbox.create s in
      let over = T.Promise.create () in
      let run () =
        thread ();
        Soil.Inbox.post inbox (T.Promise.fulfil over)
      in
      let thread = Thread.create run () in
      let before = Soil.Clock.now () in
      Soil.Clock.sleep 7200.;
      T.Promise.await over;
      Thread.join thread;
      bool "the tasks' hours" true (Soil.Clock.now () -. before = 7200.));
  bool "the thread's timeout" true !timed_out;
  bool "its moments" true (!seen >= 0.02 && !seen < 60.)

(* Waits of threads belong to the first domain. *)
let of_another_domain () =
  Soil.Domain.run ~domains:2 @@ fun () ->
  T.scope @@ fun s ->
  let in_thread () =
    let refused = ref false in
    let wait () = try Soil.Clock.sleep 0.001 with Invalid_argument _ -> refused := true in
    Thread.join (Thread.create wait ());
    !refused
  in
  bool "refused" true (T.await (Soil.Domain.spawn ~domain:1 s in_thread))

let () =
  Alcotest.run ~and_exit:false "threads"
    [
      ( "threads",
        [
          test "pipes" pipes;
          test "sockets" sockets;
          test "datagrams" datagrams;
          test "files" files;
          test "one wakes another" one_wakes_another;
          test "closed by another" closed_by_another;
          test "limits" limits;
          test "writers take turns" writers_take_turns;
          Alcotest.test_case "signal before the wait" `Quick signal_before_the_wait;
          Alcotest.test_case "tasks and threads take turns" `Quick tasks_and_threads_take_turns;
          test "details" details;
          Alcotest.test_case "virtual time" `Quick virtual_time;
          Alcotest.test_case "inbox" `Quick inbox;
          Alcotest.test_case "inbox of a scope that ends" `Quick inbox_of_a_scope_that_ends;
          Alcotest.test_case "submit gives results" `Quick submit_gives_results;
          Alcotest.test_case "many threads submit" `Quick many_submit;
          Alcotest.test_case "submit within a time" `Quick submit_within_a_time;
          Alcotest.test_case "submit to a scope that ends" `Quick submit_to_a_scope_that_ends;
          Alcotest.test_case "what blocks leaves tasks running" `Quick (fun () -> Soil.run blocking);
          Alcotest.test_case "threads of another domain" `Quick of_another_domain;
        ] );
    ];
  (* The program ends although a thread waits, which runs the drivers for it. *)
  let r, _ = Soil.pipe () in
  ignore (Thread.create (fun () -> D.read r (Bytes.create 1) 0 1) ());
  Thread.delay 0.01
