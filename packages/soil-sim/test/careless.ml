(* A node that takes something from its host, by its argument. *)

external read_counter : unit -> int = "read_counter"

let print = Printf.printf "%s %d\n%!"
let ignoring f = try f () with Unix.Unix_error _ | Sys_error _ | Failure _ -> ()

let take = function
  | "file" -> print_endline (In_channel.with_open_text "/etc/hostname" In_channel.input_all)
  | "directory" -> print "entries" (Array.length (Sys.readdir "/tmp"))
  | "time-of-file" -> print "modified" (int_of_float (Unix.stat "/etc/passwd").st_mtime)
  | "thread" -> Thread.join (Thread.create print_endline "a thread")
  | "process" -> if Unix.fork () = 0 then exit 0
  | "command" -> print "exit" (Sys.command "date")
  | "socket" -> Unix.close (Unix.socket PF_INET SOCK_STREAM 0)
  | "timer" -> ignore (Unix.setitimer ITIMER_REAL { it_value = 1.; it_interval = 0. })
  | "counter" -> print "counter" (read_counter ())
  | word -> invalid_arg word

(* What is the simulation's own. *)
let own () =
  Random.self_init ();
  print "random" (Random.bits ());
  print "time" (int_of_float (Unix.gettimeofday () *. 1e6));
  Unix.sleepf 0.25;
  ignore (Unix.select [] [] [] 0.25);
  print "seconds" (int_of_float (Unix.time ()));
  (* No time passes while a node computes, unless it waits for that. *)
  let began = Unix.gettimeofday () in
  while Unix.gettimeofday () < began +. 0.05 do
    ()
  done;
  print "processor" (int_of_float (Sys.time () *. 1e6));
  print "process" (Unix.getpid ());
  let table = Hashtbl.create ~random:true 16 in
  List.iter (fun word -> Hashtbl.replace table word ()) [ "a"; "b"; "c"; "d"; "e" ];
  print_endline (String.concat " " (List.of_seq (Hashtbl.to_seq_keys table)));
  print "variables" (Array.length (Unix.environment ()));
  print "hash" (Hashtbl.hash (Sys.getenv_opt "USER"));
  print "domains" (Domain.recommended_domain_count ());
  let urandom = open_in_bin "/dev/urandom" in
  print "urandom" (input_byte urandom);
  close_in urandom;
  print_endline (Unix.gethostname ())

let () =
  Soil.run @@ fun () ->
  match Sys.argv.(1) with
  | "own" -> own ()
  | word ->
      Soil.Clock.sleep 0.5;
      ignoring (fun () -> take word)
