(* qcheck and alcotest: properties of random values and cases, with one that fails. *)
let reversed =
  QCheck.Test.make ~name:"a list that is reversed twice" ~count:500
    QCheck.(list small_int)
    (fun l -> List.rev (List.rev l) = l)

let short =
  QCheck.Test.make ~name:"short lists" ~count:500
    QCheck.(list small_int)
    (fun l -> List.length l < 5)

let () =
  let rand = Random.State.make [| 42 |] in
  QCheck.Test.check_exn ~rand reversed;
  print_endline "holds";
  match QCheck.Test.check_exn ~rand short with
  | () -> print_endline "holds"
  | exception QCheck.Test.Test_fail (name, [ example ]) ->
      Printf.printf "%s: %s\n%!" name (List.hd (String.split_on_char '\n' example))

let () =
  let case name test = Alcotest.test_case name `Quick test in
  let suite =
    [
      ( "lists",
        [
          case "sorted" (fun () ->
              Alcotest.(check (list int)) "same" [ 1; 2; 3 ] (List.sort compare [ 3; 1; 2 ]));
          case "raises" (fun () ->
              Alcotest.check_raises "failure" (Failure "hd") (fun () -> ignore (List.hd [])));
        ] );
      ("texts", [ case "equal" (fun () -> Alcotest.(check string) "same" "soil" ("so" ^ "il")) ]);
    ]
  in
  Alcotest.run ~and_exit:false ~show_errors:true ~log_dir:(Filename.get_temp_dir_name ())
    "libraries" suite;
  match
    Alcotest.run ~and_exit:false ~log_dir:(Filename.get_temp_dir_name ()) "failing"
      [ ("fails", [ case "one" (fun () -> Alcotest.(check int) "equal" 1 2) ]) ]
  with
  | () -> print_endline "passed"
  | exception Alcotest.Test_error -> print_endline "alcotest found it"
