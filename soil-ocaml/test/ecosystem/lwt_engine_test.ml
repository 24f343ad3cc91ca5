(* Lwt_unix by Soil's wait, beside tasks. *)

module T = Soil.Task

let string = Alcotest.(check string)
let int = Alcotest.(check int)
let test = Lwts.test
let ( let* ) = Lwt.bind

let rec in_order ?(tries = 20) () =
  let order = ref [] and latest = ref 0. in
  let start = Soil.Clock.monotonic () in
  let note (name, s) =
    order := name :: !order;
    latest := max !latest (Soil.Clock.monotonic () -. start -. s)
  in
  let in_lwt ((_, s) as sleep) () =
    Soil_lwt.run_promise (fun () -> Lwt.map (fun () -> note sleep) (Lwt_unix.sleep s))
  in
  let in_task ((_, s) as sleep) () =
    Soil.Clock.sleep s;
    note sleep
  in
  T.iter
    (fun f -> f ())
    [ in_lwt ("d", 0.08); in_task ("c", 0.06); in_lwt ("b", 0.04); in_task ("a", 0.02) ];
  (* Where this process had to wait for its turn, several were due at once, or the later ones began
     too late. *)
  if !latest >= 0.02 && tries > 1 then in_order ~tries:(tries - 1) ()
  else Alcotest.(check (list string)) "order" [ "a"; "b"; "c"; "d" ] (List.rev !order)

let sleeps () =
  in_order ();
  (match
     Soil_lwt.run_promise (fun () -> Lwt_unix.with_timeout 0.001 (fun () -> Lwt_unix.sleep 60.))
   with
  | () -> Alcotest.fail "no timeout"
  | exception Lwt_unix.Timeout -> ());
  match T.timeout_opt 0.001 (fun () -> Soil_lwt.await (Lwt_unix.sleep 60.)) with
  | Some () -> Alcotest.fail "no timeout"
  | None ->
      T.yield ();
      int "timers left" 0 (Lwt_engine.timer_count ())

(* Lines go from a task of Soil to Lwt by a socket pair, and back. *)
let descriptors () =
  let mine, theirs = Unix.socketpair PF_UNIX SOCK_STREAM 0 in
  Unix.set_nonblock mine;
  let echo () =
    let fd = Lwt_unix.of_unix_file_descr theirs in
    let input = Lwt_io.of_fd ~mode:Input fd and output = Lwt_io.of_fd ~mode:Output fd in
    let rec serve n =
      let* line = Lwt_io.read_line_opt input in
      match line with
      | None -> Lwt.map (fun () -> n) (Lwt_io.close output)
      | Some line ->
          let* () = Lwt_io.write_line output (String.uppercase_ascii line) in
          serve (n + 1)
    in
    Soil_lwt.run_promise (fun () -> serve 0)
  in
  let rec read b =
    match Unix.read mine b 0 (Bytes.length b) with
    | n -> n
    | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) ->
        Soil_unix.await_readable mine;
        read b
  in
  let client () =
    let b = Bytes.create 100 in
    for round = 1 to 100 do
      let line = Printf.sprintf "line %d\n" round in
      Soil_unix.await_writable mine;
      int "written" (String.length line) (Unix.write_substring mine line 0 (String.length line));
      let n = read b in
      string "answer" (String.uppercase_ascii line) (Bytes.sub_string b 0 n)
    done;
    Unix.shutdown mine SHUTDOWN_SEND;
    int "end" 0 (read b);
    Unix.close mine
  in
  let served, () = T.both echo client in
  int "served" 100 served;
  int "readable left" 1 (Lwt_engine.readable_count ())

let readiness () =
  let r, w = Unix.pipe () in
  let order = ref [] in
  let wait () =
    Soil_unix.await_readable r;
    order := "readable" :: !order
  in
  let write () =
    Soil.Clock.sleep 0.002;
    order := "write" :: !order;
    int "written" 1 (Unix.write_substring w "x" 0 1)
  in
  ignore (T.both wait write);
  Alcotest.(check (list string)) "order" [ "readable"; "write" ] !order;
  Soil_unix.await_writable w;
  Soil_unix.await_readable r;
  int "read" 1 (Unix.read r (Bytes.create 9) 0 9);
  (match T.timeout_opt 0.002 (fun () -> Soil_unix.await_readable r) with
  | Some () -> Alcotest.fail "readable"
  | None -> ());
  Unix.close w;
  Soil_unix.await_readable r;
  Unix.close r;
  match Soil_unix.await_readable r with
  | () -> Alcotest.fail "closed"
  | exception Soil.Error { code = Closed; operation; _ } ->
      string "operation" "wait for a file descriptor" operation

let in_a_thread () =
  let r, w = Unix.pipe () and late = Atomic.make false in
  let wait () =
    match T.timeout_opt 0.001 (fun () -> Soil_unix.await_readable r) with
    | Some () -> Alcotest.fail "readable"
    | None ->
        Atomic.set late true;
        Soil_unix.await_readable r;
        Unix.read r (Bytes.create 9) 0 9
  in
  let write () =
    while not (Atomic.get late) do
      Soil.Clock.sleep 0.001
    done;
    Unix.write_substring w "abc" 0 3
  in
  let read, _ = T.both (fun () -> Soil_threads.blocking wait) write in
  int "read" 3 read;
  List.iter Unix.close [ r; w ]

(* Jobs of Lwt's pool of threads, whose ends come by a descriptor. *)
let jobs () =
  let file = Filename.temp_file "soil" ".lwt" in
  let copy () =
    let* () = Lwt_io.with_file ~mode:Output file (fun o -> Lwt_io.write o "some text") in
    Lwt_io.with_file ~mode:Input file Lwt_io.read
  in
  string "read" "some text" (Soil_lwt.run_promise copy);
  let stat () = Lwt_preemptive.detach (fun () -> (Unix.stat file).st_size) () in
  int "detached" 9 (Soil_lwt.run_promise stat);
  (* epoll refuses regular files, which are always ready. *)
  let fd = Unix.openfile file [ O_RDONLY ] 0 in
  let ready () =
    let p, resolver = Lwt.wait () in
    ignore
      (Lwt_engine.on_readable fd (fun event ->
           Lwt_engine.stop_event event;
           Lwt.wakeup_later resolver "ready"));
    p
  in
  string "a regular file" "ready" (Soil_lwt.run_promise ready);
  Unix.close fd;
  Sys.remove file

let many () =
  let pairs = List.init 200 (fun _ -> Lwt_unix.pipe ()) in
  let one i (r, w) =
    let b = Bytes.create 1 in
    let* n, m =
      Lwt.both (Lwt_unix.read r b 0 1)
        (let* () = Lwt_unix.sleep (0.001 *. float_of_int (i mod 7)) in
         Lwt_unix.write_string w "x" 0 1)
    in
    let* () = Lwt_unix.close r in
    Lwt.map (fun () -> n + m) (Lwt_unix.close w)
  in
  let all () = Lwt.map (List.fold_left ( + ) 0) (Lwt_list.mapi_p one pairs) in
  int "bytes" 400 (Soil_lwt.run_promise all)

(* Without [Soil_lwt.run]: a program of Lwt in one task. *)
let main_in_a_task () =
  Soil.run @@ fun () ->
  let r, w = Unix.pipe () in
  let lwt () =
    let read () = Lwt_unix.read (Lwt_unix.of_unix_file_descr r) (Bytes.create 9) 0 9 in
    Lwt_main.run (Lwt_unix.with_timeout 60. read)
  in
  let other () =
    for _ = 1 to 3 do
      Soil.Clock.sleep 0.001
    done;
    Unix.write_substring w "abc" 0 3
  in
  let read, _ = T.both lwt other in
  int "what another task wrote" 3 read;
  List.iter Unix.close [ r; w ];
  match T.timeout_opt 0.002 (fun () -> Lwt_main.run (fst (Lwt.wait ()))) with
  | Some () -> Alcotest.fail "not cancelled"
  | None -> int "again" 8 (Lwt_main.run (Lwt.return 8))

(* The child has descriptors of its own in a set of its own. *)
let fork () =
  let r, w = Lwt_unix.pipe () and told, tell = Lwt_unix.pipe () in
  let read fd = Lwt_unix.read fd (Bytes.create 1) 0 1 in
  let reading = read r in
  let child () =
    let* n = read told in
    Unix._exit (if n = 1 then 7 else 8)
  in
  let parent pid =
    let* _ = Lwt_unix.write_string tell "x" 0 1 in
    let* _, status = Lwt_unix.waitpid [] pid in
    let* _ = Lwt_unix.write_string w "x" 0 1 in
    Lwt.map (fun n -> (status, n)) reading
  in
  let both () = match Lwt_unix.fork () with 0 -> child () | pid -> parent pid in
  match Soil_lwt.run_promise both with
  | WEXITED status, n ->
      int "child" 7 status;
      int "parent" 1 n
  | _ -> Alcotest.fail "the child was ended by a signal"

let exhausted () =
  let collections () = (Soil.Budget.statistics ()).collections in
  let before = collections () and calls = ref 0 in
  let fail _ =
    incr calls;
    raise Out_of_memory
  in
  for _ = 1 to 3 do
    ignore (Lwt_engine.on_timer 0.001 false fail)
  done;
  Soil_lwt.run_promise (fun () -> Lwt_unix.sleep 0.02);
  while !calls < 3 do
    Soil_lwt.run_promise (fun () -> Lwt_unix.sleep 0.01)
  done;
  Alcotest.(check bool) "collected" true (collections () > before)

let nested () =
  match Lwt_main.run Lwt.return_unit with () -> Alcotest.fail "nested" | exception Failure _ -> ()

let () =
  Alcotest.run "lwt.unix"
    [
      ("promises", Lwts.tests);
      ( "engine",
        [
          test "sleeps" sleeps;
          test "readiness" readiness;
          test "in a thread" in_a_thread;
          test "descriptors" descriptors;
          test "jobs" jobs;
          test "many" many;
          test "fork" fork;
          test "nested" nested;
          test "exhausted memory is collected" exhausted;
          Alcotest.test_case "Lwt_main.run in a task" `Quick main_in_a_task;
        ] );
    ]
