(* Says what the last start of the machine left, and fails in the way that the first argument names.
   With [times N] it succeeds after N failures, with [reboot N] it starts the machine again. With
   [getenv NAME] it prints a variable. *)

let say { Soil.Machine.status; count; time; report } =
  let time =
    match time with Some time when time > 1e9 -> "known" | Some _ -> "wrong" | None -> "unknown"
  in
  Printf.printf "failure %d, status %d, time %s\n" count status time;
  List.iter (Printf.printf "| %s\n") (String.split_on_char '\n' report);
  count

let fail = function
  | "raise" -> failwith "on purpose"
  | "exit" -> exit 7
  | _ ->
      flush stdout;
      Unix.kill (Unix.getpid ()) Sys.sigabrt

let () =
  Soil.run @@ fun () ->
  let count =
    match Soil.Machine.last_failure () with
    | None ->
        print_endline "no failure";
        0
    | Some failure -> say failure
  in
  match List.tl (Array.to_list Sys.argv) with
  | [ _; "times"; times ] when count >= int_of_string times -> print_endline "recovered"
  | [ _; "reboot"; times ] when count >= int_of_string times -> Soil.Machine.reboot ()
  | [ "getenv"; name ] -> Printf.printf "%s is %s\n" name (Sys.getenv name)
  | how :: _ -> fail how
  | [] -> ()
