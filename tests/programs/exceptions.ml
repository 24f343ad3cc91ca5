(* Exceptions as text, backtraces as text, registered printers. *)
exception Plain
exception Pair of int * string

let () =
  Printexc.record_backtrace true;
  Printexc.register_printer (function
    | Pair (n, s) -> Some (Printf.sprintf "<%d %s>" n s)
    | _ -> None);
  let show e = print_endline (Printexc.to_string e) in
  List.iter show
    [ Plain; Pair (3, "x"); Not_found; Failure "f"; Invalid_argument "i"; Division_by_zero; Exit;
      Match_failure ("a.ml", 1, 2); Assert_failure ("b.ml", 3, 4); End_of_file; Stack_overflow ] [@ocamlformat "disable"];
  let[@inline never] fail () = if Array.length Sys.argv > 0 then raise Plain in
  (try fail ()
   with Plain ->
     let trace = Printexc.get_backtrace () in
     print_endline (if trace = "" then "no backtrace" else "backtrace"));
  (try ignore (Sys.opaque_identity (1 / Sys.opaque_identity 0))
   with Division_by_zero -> print_endline "divided");
  try ignore (Sys.opaque_identity [| 1 |]).(Sys.opaque_identity 1)
  with Invalid_argument reason -> print_endline reason
