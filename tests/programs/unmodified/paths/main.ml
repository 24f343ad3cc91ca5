(* Prints the answers of calls on files in each folder of the command line. *)

external names : unit -> unit = "test_names"
external directories : unit -> unit = "test_directories"
external transfers : unit -> unit = "test_transfers"
external attributes : unit -> unit = "test_attributes"

let () =
  let folders = List.tl (Array.to_list Sys.argv) in
  let test number folder =
    Sys.chdir folder;
    Printf.printf "folder %d\n%!" number;
    List.iter (fun test -> test ()) [ names; directories; transfers; attributes ]
  in
  List.iteri test folders
