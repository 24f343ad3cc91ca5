(* Standard input, output and error output, byte for byte, as the argument says. *)
external bad_pointers : int -> int = "test_bad_pointers"

let write_all descriptor bytes len =
  let rec go at = if at < len then go (at + Unix.write descriptor bytes at (len - at)) in
  go 0

(* Copies input to output until it ends; how much that was. *)
let copy () =
  let buffer = Bytes.create 5000 in
  let rec go total =
    match Unix.read Unix.stdin buffer 0 (Bytes.length buffer) with
    | 0 -> total
    | count ->
        write_all Unix.stdout buffer count;
        go (total + count)
  in
  go 0

(* [size] bytes that differ from their neighbours, in pieces. *)
let pour size =
  let piece = Bytes.init 4096 (fun i -> Char.chr (i * 7 land 255)) in
  let rec go left =
    if left > 0 then (
      let count = min left 4096 in
      write_all Unix.stdout piece count;
      go (left - count))
  in
  go size

let () =
  match Sys.argv.(1) with
  | "copy" ->
      let total = copy () in
      (* The end of a pipe stays. *)
      Printf.eprintf "%d bytes, then %d\n%!" total (copy ())
  | "lines" ->
      let rec go n =
        match input_line stdin with
        | line ->
            Printf.printf "line %d: %S\n%!" n line;
            go (n + 1)
        | exception End_of_file -> Printf.printf "end after %d\n%!" n
      in
      print_endline "ready";
      go 0;
      (* A terminal goes on. *)
      if Array.length Sys.argv > 2 then go 0
  | "pour" ->
      pour (int_of_string Sys.argv.(2));
      prerr_endline "poured"
  | "unfinished" -> print_string "no newline"
  | "both" ->
      for i = 1 to 100 do
        Printf.printf "out %d \016\n%!" i;
        Printf.eprintf "err %d \016\016\n%!" i
      done
  | "pointers" ->
      for which = 0 to 8 do
        Printf.printf "%d: %d\n%!" which (bad_pointers which)
      done;
      Printf.printf "then %S\n" (input_line stdin)
  | word -> failwith word
