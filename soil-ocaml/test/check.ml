(* Helpers of all tests. *)

module T = Soil.Task

let test name f = Alcotest.test_case name `Quick f

(* A test inside of [Soil.run]; whatever hangs is a failure. Nothing takes more than a second where
   a machine has two busy cores. *)
let patience = 240.

(* The last of as many domains as SOIL_TEST_DOMAINS says runs it; without that, [Soil.run] does. *)
let run f =
  match Sys.getenv_opt "SOIL_TEST_DOMAINS" with
  | None -> Soil.run f
  | Some n ->
      let domains = int_of_string n in
      Soil.Domain.run ~domains @@ fun () ->
      T.scope (fun s -> T.await (Soil.Domain.spawn ~domain:(domains - 1) s f))

let in_run name f = test name (fun () -> run (fun () -> T.timeout patience (fun () -> f ())))

let property ?(count = 200) name generator law =
  let cell = QCheck2.Test.make ~count ~name generator law in
  test name (fun () -> QCheck2.Test.check_exn cell)

let property_in_run ?count name generator law =
  property ?count name generator (fun x -> run (fun () -> T.timeout patience (fun () -> law x)))

let bool = Alcotest.(check bool)
let int = Alcotest.(check int)
let string = Alcotest.(check string)
let strings = Alcotest.(check (list string))
let ints = Alcotest.(check (list int))

let error_code f =
  match f () with
  | _ -> "no error"
  | exception Soil.Error e -> Soil.Error.message e.code
  | exception e -> Printexc.to_string e

let fails_with what code f = string what (Soil.Error.message code) (error_code f)

let fails_in_time what f =
  match f () with _ -> Alcotest.fail (what ^ ": no timeout") | exception T.Timeout _ -> ()

let is_invalid what f =
  match f () with _ -> Alcotest.fail (what ^ ": not refused") | exception Invalid_argument _ -> ()

(* A log of what happened in which order. *)
let logger () =
  let entries = ref [] in
  ((fun s -> entries := s :: !entries), fun () -> List.rev !entries)
