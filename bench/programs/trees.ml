(* Allocation and garbage collection: builds one tree of depth D that stays, then N times builds and
   checks a tree of depth D - 6. Timed by the host between the lines "begin" and "end". Arguments:
   D N. *)

type tree = Leaf | Node of tree * tree

let rec make depth = if depth = 0 then Leaf else Node (make (depth - 1), make (depth - 1))
let rec check = function Leaf -> 1 | Node (left, right) -> 1 + check left + check right

let () =
  let depth = int_of_string Sys.argv.(1) and rounds = int_of_string Sys.argv.(2) in
  print_endline "begin";
  let kept = make depth in
  let total = ref 0 in
  for _ = 1 to rounds do
    total := !total + check (make (depth - 6))
  done;
  print_endline "end";
  Printf.printf "%d\n" (!total + check kept)
