(* Every argument between brackets, so that lost or split blanks show. *)
let () = Array.iteri (fun i word -> if i > 0 then Printf.printf "%d [%S]\n" i word) Sys.argv
