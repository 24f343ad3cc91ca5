(* Runs the world of programs without Soil for some seeds, twice: the events are equal. *)

let seeds = 20

(* The verdict and the hash of a run, as the report has them in its first two lines. *)
let run ?(variables = []) arguments seed =
  let variable name =
    Printf.sprintf "%s=%s" name (Option.value (Sys.getenv_opt name) ~default:"")
  in
  let own =
    [ variable "PATH"; variable "SOIL_SIM_PRELOAD"; Printf.sprintf "SOIL_SIM_SEED=%d" seed ]
  in
  let environment = Array.of_list (own @ variables) in
  let words = Array.of_list ("./unmodified.exe" :: arguments) in
  let output = Unix.open_process_args_full words.(0) words environment in
  let text, _, _ = output in
  let report = In_channel.input_all text in
  ignore (Unix.close_process_full output);
  report

let has report part =
  let n = String.length part in
  let rec at i = i + n <= String.length report && (String.sub report i n = part || at (i + 1)) in
  at 0

let test_equal () =
  let reports =
    List.init seeds (fun i ->
        let seed = i + 1 in
        let first = run [] seed in
        Alcotest.(check bool) first true (has first (Printf.sprintf "seed %d: passed" seed));
        let second = run ~variables:[ "SOME=" ^ String.make (97 * seed) 'x' ] [] seed in
        Alcotest.(check string) "the report of the same seed" first second;
        first)
  in
  Alcotest.(check int) "seeds differ" seeds (List.length (List.sort_uniq compare reports))

let test_says (program, message) () =
  let report = run [ program ] 1 in
  Alcotest.(check bool) report true (has report message)

let case name f = Alcotest.test_case name `Quick f

let () =
  let says (program, message) = case (program ^ ": " ^ message) (test_says (program, message)) in
  Alcotest.run "soil-sim, programs without Soil"
    [
      ("equal events", [ case "echo servers" test_equal ]);
      ( "programs that can't be nodes",
        List.map says
          [
            ("./threads.exe", "nondeterministic: other: calls clone");
            ("./static.exe", "linked statically");
            ("./unmodified.exe", "links Soil");
            ("./pipe.exe", "a read of an empty pipe");
            ("./suspends.exe", "nondeterministic: other: calls kill");
          ] );
    ]
