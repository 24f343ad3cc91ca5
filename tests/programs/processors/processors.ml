(* A thread on each of the machine's processors: each reports itself, and the machine ends from any
   of them. *)

external start : (int[@untagged]) -> (int[@untagged]) = "unavailable" "others_start" [@@noalloc]
external report : (int[@untagged]) -> (int[@untagged]) = "unavailable" "others_report" [@@noalloc]
external crash : (int[@untagged]) -> (int[@untagged]) = "unavailable" "others_crash" [@@noalloc]
external spin : (int[@untagged]) -> (int[@untagged]) = "unavailable" "others_spin" [@@noalloc]
external leave : (int[@untagged]) -> (int[@untagged]) = "unavailable" "others_leave" [@@noalloc]
external crash_here : unit -> unit = "others_crash_here"
external exit_here : unit -> unit = "others_exit_here"

(* Computes for good: what ends the machine comes from elsewhere. *)
let rec compute number = compute (Sys.opaque_identity (number + 1))

let () =
  let count = start 0 in
  Printf.printf "%d processors\n%!" count;
  let ids = List.init (count - 1) (fun before -> report (before + 1)) in
  List.iteri (fun before _ -> Printf.printf "processor %d runs\n%!" (before + 1)) ids;
  let distinct = List.sort_uniq compare (report 0 :: ids) in
  Printf.printf "%d identities\n%!" (List.length distinct);
  match Sys.argv with
  | [| _ |] -> ()
  | [| _; "crash"; "0" |] -> crash_here ()
  | [| _; "crash"; which |] ->
      ignore (crash (int_of_string which));
      compute 0
  | [| _; "crash-all" |] ->
      for which = 1 to count - 1 do
        ignore (crash which)
      done;
      crash_here ()
  | [| _; "spin"; how |] ->
      ignore (spin 1);
      if how = "exit" then exit_here () else crash_here ()
  | [| _; "exit"; "0" |] -> exit 7
  | [| _; "exit"; which |] ->
      ignore (leave (int_of_string which));
      compute 0
  | _ -> failwith "wrong arguments"
