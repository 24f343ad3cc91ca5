(* The tests of soil-ocaml/test/domain_cases.ml, for an image. *)

let () =
  List.iter
    (fun (name, f) ->
      f ();
      print_endline name)
    Domain_cases.cases
