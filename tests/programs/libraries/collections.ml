(* batteries and containers: their collections, strings and channels. *)
open Batteries

let sum = Enum.fold ( + ) 0 (1 -- 1000)

let () =
  Printf.printf "sum %d, squares %s\n" sum
    (String.concat "," (List.map string_of_int (List.init 6 (fun i -> i * i))));
  let map =
    List.fold_left
      (fun map word -> Map.modify_def 0 word succ map)
      Map.empty [ "b"; "a"; "b"; "c"; "b" ]
  in
  Map.iter (fun word count -> Printf.printf "%s=%d " word count) map;
  print_newline ();
  Printf.printf "%s|%s\n" (String.rev "soil") (String.strip "  x y  ");
  let file = Filename.temp_file "batteries" ".txt" in
  File.with_file_out file (fun output -> IO.nwrite output "one\ntwo\nthree\n");
  Printf.printf "%s\n" (File.lines_of file |> List.of_enum |> String.join "/");
  Printf.printf "%s\n"
    (File.with_file_in file IO.read_all |> String.uppercase_ascii |> String.trim |> String.quote);
  Sys.remove file

module Heap = CCHeap.Make_from_compare (Int)

let () =
  let vector = CCVector.of_list [ 5; 3; 9; 1 ] in
  CCVector.sort' Int.compare vector;
  Printf.printf "%s\n" (CCVector.to_string string_of_int vector);
  let heap = Heap.of_list [ 4; 1; 3; 2 ] in
  Printf.printf "%s\n" (CCList.to_string string_of_int (Heap.to_list_sorted heap));
  Printf.printf "%s\n" (CCString.replace ~sub:"a" ~by:"oo" "banana");
  Printf.printf "%d words\n" (List.length (CCString.split_on_char ' ' "to be or not to be"));
  match CCInt.of_string "12x" with
  | None -> print_endline "no number"
  | Some n -> Printf.printf "%d\n" n
