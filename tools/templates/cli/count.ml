(* Counts lines and words. *)

type t = { lines : int; words : int }

let words line =
  let blanks_to_spaces = String.map (function '\t' -> ' ' | c -> c) line in
  List.filter (( <> ) "") (String.split_on_char ' ' blanks_to_spaces)

let add total line = { lines = total.lines + 1; words = total.words + List.length (words line) }

let of_input input =
  let lines = Soil.Reader.Text.lines (Soil.Reader.create input) in
  Seq.fold_left add { lines = 0; words = 0 } lines

let to_string { lines; words } = Printf.sprintf "%7d %7d" lines words
