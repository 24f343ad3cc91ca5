(* Waiting for events, by C's calls and by OCaml's: one line for the answer of each call. *)

external polls : unit -> unit = "test_polls"
external locks : unit -> unit = "test_locks"
external epolls : unit -> unit = "test_epolls"
external clocks : unit -> unit = "test_clocks"
external machine : unit -> unit = "test_machine"

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
  let found = Array.make 5 "" in
  let wait i = found.(i) <- ready (Unix.select [ input ] [] [] 60.) in
  let all = List.init 5 (Thread.create wait) in
  let written = Unix.write_substring output "all" 0 3 in
  List.iter Thread.join all;
  Array.iter (line "all wait: %s") found;
  line "written: %d" written

let signals () =
  let seen = ref 0 in
  Sys.set_signal Sys.sigusr1 (Signal_handle (fun _ -> incr seen));
  let input, output = Unix.pipe () in
  let kill () = Unix.kill (Unix.getpid ()) Sys.sigusr1 in
  let interrupted name f =
    check name (fun () ->
        (* The main thread alone takes it. *)
        seen := 0;
        let over = Atomic.make false in
        (* Again and again: a signal may come before the wait. *)
        let rec send () =
          Thread.delay 0.02;
          if not (Atomic.get over) then (
            kill ();
            send ())
        in
        let other =
          Thread.create
            (fun () ->
              ignore (Thread.sigmask SIG_BLOCK [ Sys.sigusr1 ]);
              send ())
            ()
        in
        let result = try f () with e -> error e in
        Atomic.set over true;
        Thread.join other;
        Printf.sprintf "%s, seen %b" result (!seen > 0))
  in
  interrupted "select ended by a signal" (fun () -> ready (Unix.select [ input ] [] [] (-1.)));
  interrupted "read ended by a signal" (fun () ->
      (* OCaml's handlers have no SA_RESTART. *)
      string_of_int (Unix.read input (Bytes.create 1) 0 1));
  ignore (Unix.sigprocmask SIG_BLOCK [ Sys.sigusr1 ]);
  seen := 0;
  kill ();
  check "select with a blocked signal" (fun () -> ready (Unix.select [ input ] [] [] 0.02));
  ignore (Unix.sigprocmask SIG_UNBLOCK [ Sys.sigusr1 ]);
  line "seen %d" !seen;
  Unix.close input;
  Unix.close output;
  let wait signal send =
    check "wait_signal" (fun () ->
        ignore (Thread.sigmask SIG_BLOCK [ signal ]);
        send ();
        let found = Thread.wait_signal [ signal ] in
        ignore (Thread.sigmask SIG_UNBLOCK [ signal ]);
        string_of_bool (found = signal))
  in
  wait Sys.sigalrm (fun () ->
      ignore (Unix.setitimer ITIMER_REAL { it_interval = 0.; it_value = 0.02 }));
  (* It is ignored, but for those who wait for it. *)
  wait Sys.sigchld (fun () -> Unix.kill (Unix.getpid ()) Sys.sigchld)

let timers () =
  let seen = ref 0 in
  let on signal = Sys.set_signal signal (Signal_handle (fun _ -> incr seen)) in
  List.iter on [ Sys.sigalrm; Sys.sigvtalrm; Sys.sigprof ];
  let set timer it_interval it_value = Unix.setitimer timer { it_interval; it_value } in
  let old { Unix.it_interval; it_value } = Printf.sprintf "%g %b" it_interval (it_value > 0.) in
  let ended timer = line "ended: %s" (old (set timer 0. 0.)) in
  check "setitimer" (fun () -> old (set ITIMER_REAL 0.02 0.02));
  check "pause" (fun () ->
      Unix.pause ();
      "done");
  line "seen %b" (!seen > 0);
  ended ITIMER_REAL;
  seen := 0;
  check "getitimer" (fun () -> old (Unix.getitimer ITIMER_REAL));
  check "setitimer for sleepf" (fun () -> old (set ITIMER_REAL 0. 0.02));
  (* OCaml's sleepf goes on. *)
  check "sleepf" (fun () ->
      Unix.sleepf 0.05;
      "done");
  line "seen %d" !seen;
  List.iter
    (fun (name, timer) ->
      seen := 0;
      check name (fun () -> old (set timer 0.005 0.005));
      while !seen < 3 do
        ignore (Sys.opaque_identity seen)
      done;
      ended timer)
    [ ("real", Unix.ITIMER_REAL); ("virtual", ITIMER_VIRTUAL); ("prof", ITIMER_PROF) ];
  check "alarm" (fun () -> string_of_int (Unix.alarm 100));
  check "alarm again" (fun () -> string_of_int (Unix.alarm 0));
  check "no alarm" (fun () -> string_of_int (Unix.alarm 0));
  check "a wrong time" (fun () -> old (set ITIMER_REAL 0. (-1.)));
  seen := 0;
  let input, output = Unix.pipe () in
  check "setitimer for read" (fun () -> old (set ITIMER_REAL 0.02 0.02));
  check "read" (fun () -> string_of_int (Unix.read input (Bytes.create 1) 0 1));
  line "seen %b" (!seen > 0);
  ended ITIMER_REAL;
  Unix.close input;
  Unix.close output;
  List.iter
    (fun signal -> Sys.set_signal signal Signal_default)
    [ Sys.sigalrm; Sys.sigvtalrm; Sys.sigprof ]

(* Processor time, which a sleep takes none of. *)
let processor_time () =
  let used () =
    let { Unix.tms_utime; tms_stime; _ } = Unix.times () in
    tms_utime +. tms_stime
  in
  List.iter
    (fun (name, clock) ->
      (* A machine counts as its own the time that it isn't run. So it is measured again: a clock
         that goes on in a sleep is never below. *)
      let stands_still _ =
        let before = clock () in
        Unix.sleepf 0.3;
        clock () -. before < 0.15
      in
      line "%s in a sleep: %b" name (List.exists stands_still (List.init 20 Fun.id));
      let before = clock () in
      while clock () -. before < 0.02 do
        ignore (Sys.opaque_identity before)
      done;
      line "%s goes on" name)
    [ ("Sys.time", Sys.time); ("Unix.times", used) ]

(* Texts of `/proc`, as far as they are the same in an image. *)
let process () =
  let lines name = String.split_on_char '\n' (In_channel.with_open_bin name In_channel.input_all) in
  let has name first =
    check name (fun () ->
        string_of_bool (List.exists (String.starts_with ~prefix:first) (lines name)))
  in
  has "/proc/cpuinfo" "processor\t: 0";
  has "/proc/meminfo" "MemTotal: ";
  has "/proc/self/status" "VmRSS:\t";
  has "/proc/uptime" "";
  check "/proc/self/maps" (fun () ->
      let range line = try Scanf.sscanf line "%x-%x %s" (fun a b _ -> a < b) with _ -> false in
      let stack line = String.ends_with ~suffix:"[stack]" line in
      (* Of Linux's own page the address is no int. *)
      let own line = line <> "" && not (String.ends_with ~suffix:"[vsyscall]" line) in
      let lines = List.filter own (lines "/proc/self/maps") in
      Printf.sprintf "%b %b" (List.for_all range lines) (List.exists stack lines));
  let file = Filename.temp_file "events" ".txt" in
  let fd = Unix.openfile file [ O_RDWR ] 0 in
  ignore (Unix.write_substring fd "contents" 0 8);
  let number : int = Obj.magic fd in
  let link = Printf.sprintf "/proc/self/fd/%d" number in
  check "readlink of a descriptor" (fun () -> string_of_bool (Unix.readlink link = file));
  check "a descriptor's file" (fun () -> In_channel.with_open_bin link In_channel.input_all);
  check "/dev/fd" (fun () -> String.concat "" (lines (Printf.sprintf "/dev/fd/%d" number)));
  check "descriptors" (fun () ->
      let names = Array.to_list (Sys.readdir "/proc/self/fd") in
      string_of_bool
        (List.for_all (fun name -> List.mem name names) [ "0"; "1"; "2"; string_of_int number ]));
  check "lstat" (fun () ->
      match ((Unix.lstat link).st_kind, (Unix.stat link).st_kind) with
      | S_LNK, S_REG -> "a link to a file"
      | _ -> "else");
  Unix.close fd;
  check "a closed descriptor" (fun () -> Unix.readlink link);
  check "no such file" (fun () -> String.concat "" (lines "/proc/self/none"));
  check "executable" (fun () ->
      string_of_bool (Filename.check_suffix (Unix.readlink "/proc/self/exe") "events.exe"));
  Sys.remove file

let () =
  timers ();
  processor_time ();
  clocks ();
  machine ();
  process ();
  polls ();
  epolls ();
  locks ();
  threads ();
  signals ()
