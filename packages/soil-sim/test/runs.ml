(* Runs worlds as `soil simulate` does, and reads their reports. *)

let seeds = if Sys.getenv_opt "SOIL_TEST_LONG" = None then 5 else 1000

let contains text part =
  let n = String.length part in
  let rec at i = i + n <= String.length text && (String.sub text i n = part || at (i + 1)) in
  at 0

(* What follows [key] in the report, up to the end of the value. *)
let field report key =
  let key = Printf.sprintf "%S:" key in
  let n = String.length key in
  let rec find i = if String.sub report i n = key then i + n else find (i + 1) in
  let first = find 0 in
  let quoted = report.[first] = '"' in
  let first = if quoted then first + 1 else first in
  let rec last i =
    match report.[i] with
    | '\\' -> last (i + 2)
    | '"' when quoted -> i
    | (',' | '}' | ']') when not quoted -> i
    | _ -> last (i + 1)
  in
  String.sub report first (last first - first)

external number : Unix.file_descr -> int = "%identity"

(* The report of a world. *)
let run program ?(variables = []) ?(seed = 1) arguments =
  let from_test, into_test = Unix.pipe ~cloexec:true () in
  Unix.clear_close_on_exec into_test;
  let own =
    [
      "PATH=" ^ Option.value (Sys.getenv_opt "PATH") ~default:"/usr/bin:/bin";
      Printf.sprintf "SOIL_SIM_SEED=%d" seed;
      Printf.sprintf "SOIL_SIM_REPORT=%d" (number into_test);
    ]
  in
  let words = Array.of_list (program :: arguments) in
  let environment = Array.of_list (own @ variables) in
  let pid = Unix.create_process_env program words environment Unix.stdin Unix.stderr Unix.stderr in
  Unix.close into_test;
  let report = In_channel.input_all (Unix.in_channel_of_descr from_test) in
  ignore (Unix.waitpid [] pid);
  report

let verdict report = field report "verdict"
let check_string = Alcotest.(check string)

(* Runs of one seed have equal events, whatever the environment and the addresses are. *)
let check_equal program arguments =
  let hash ?variables seed =
    let report = run program ?variables ~seed arguments in
    check_string report "passed" (verdict report);
    field report "hash"
  in
  let hashes =
    List.init seeds (fun i ->
        let seed = i + 1 in
        let first = hash seed in
        check_string "the hash of the same seed" first
          (hash ~variables:[ "USER=other"; "SOME=" ^ String.make (97 * seed) 'x' ] seed);
        first)
  in
  let distinct = List.length (List.sort_uniq compare hashes) in
  Alcotest.(check bool) "seeds differ" true (distinct > 1)
