(* lwt with lwt.unix: promises, timers, pipes, files and jobs in threads. *)
open Lwt.Syntax

let sleeps () =
  let order = ref [] in
  let sleep seconds name =
    let* () = Lwt_unix.sleep seconds in
    order := name :: !order;
    Lwt.return_unit
  in
  (* Begun in the order of their ends: what a slow host begins late ends late. A list would be
     evaluated from its end. *)
  let first = sleep 0.0 "first" in
  let second = sleep 0.05 "second" in
  let third = sleep 0.15 "third" in
  let* () = Lwt.join [ third; first; second ] in
  Lwt_io.printlf "slept: %s" (String.concat " " (List.rev !order))

let pipes () =
  let input, output = Lwt_io.pipe () in
  let writer =
    let* () =
      Lwt_list.iter_s (fun n -> Lwt_io.write_line output (string_of_int n)) (List.init 5000 Fun.id)
    in
    Lwt_io.close output
  in
  let reader =
    Lwt_stream.fold (fun line sum -> sum + int_of_string line) (Lwt_io.read_lines input) 0
  in
  let* () = writer and* sum = reader in
  let* () = Lwt_io.close input in
  Lwt_io.printlf "through a pipe: %d" sum

let files () =
  Lwt_io.with_temp_file ~suffix:".txt" (fun (path, output) ->
      let* () = Lwt_list.iter_s (Lwt_io.write_line output) [ "alpha"; "beta"; "gamma" ] in
      let* () = Lwt_io.flush output in
      let* size = Lwt_io.file_length path in
      let* lines = Lwt_stream.to_list (Lwt_io.lines_of_file path) in
      let* stat = Lwt_unix.stat path in
      Lwt_io.printlf "file: %Ld bytes, %s, %b" size (String.concat "," lines)
        (stat.Unix.st_kind = Unix.S_REG))

let jobs () =
  let* results =
    Lwt_list.map_p
      (Lwt_preemptive.detach (fun n ->
           Thread.delay 0.01;
           n * n))
      (List.init 8 Fun.id)
  in
  let* entry = Lwt_unix.getprotobyname "tcp" in
  Lwt_io.printlf "jobs: %s; tcp is %d"
    (String.concat " " (List.map string_of_int results))
    entry.Unix.p_proto

let ends () =
  let* () =
    Lwt.catch
      (fun () -> Lwt_unix.with_timeout 0.02 (fun () -> fst (Lwt.task ())))
      (function Lwt_unix.Timeout -> Lwt_io.printl "timed out" | exn -> Lwt.reraise exn)
  in
  let never, _ = Lwt.task () in
  let picked = Lwt.pick [ Lwt.map (fun () -> "slept") (Lwt_unix.sleep 0.01); never ] in
  let* name = picked in
  let* () =
    Lwt_io.printlf "picked: %s, cancelled: %b" name (Lwt.state never = Lwt.Fail Lwt.Canceled)
  in
  Lwt.catch
    (fun () -> Lwt.fail_with "raised")
    (function Failure text -> Lwt_io.printl text | exn -> Lwt.reraise exn)

let () = Lwt_main.run (Lwt_list.iter_s (fun part -> part ()) [ sleeps; pipes; files; jobs; ends ])
