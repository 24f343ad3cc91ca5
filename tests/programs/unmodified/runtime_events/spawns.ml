(* As many domains at once as the argument says, in a program that is linked with Runtime_events and
   doesn't use it. *)

let () =
  let lock = Mutex.create () and opened = Condition.create () and is_open = ref false in
  let wait () =
    Mutex.protect lock (fun () ->
        while not !is_open do
          Condition.wait opened lock
        done)
  in
  let rec spawn left all =
    if left = 0 then all
    else
      match Domain.spawn wait with
      | domain -> spawn (left - 1) (domain :: all)
      | exception Failure why ->
          print_endline why;
          all
  in
  let all = spawn (int_of_string Sys.argv.(1)) [] in
  Mutex.protect lock (fun () ->
      is_open := true;
      Condition.broadcast opened);
  List.iter Domain.join all;
  Printf.printf "%d domains\n" (List.length all)
