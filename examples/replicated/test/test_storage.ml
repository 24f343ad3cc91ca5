open Replicated
module Fs = Soil.Fs

let initial : Message.snapshot =
  { index = 0; term = 0; configuration = [ { id = 0; address = "10.0.0.1:7000"; voter = true } ] }

let directory = "/data/server"

(* Once: a start after a crash. *)
let open_ scope = Storage.open_ scope ~initial ~data:"empty" directory
let entry term s : Message.entry = { term; payload = Command s }

(* On an empty volume. *)
let on_disk f () =
  Soil.run @@ fun () ->
  Fs.with_mount "memory:4M" "/data" @@ fun () -> Soil.Task.scope f

let entries log = Log.range log (Log.base log + 1) (Log.last log)

let log_file () =
  match
    List.filter (fun (name, _) -> String.starts_with ~prefix:"log-" name) (Fs.list directory)
  with
  | [ (name, _) ] -> directory ^ "/" ^ name
  | _ -> Alcotest.fail "not one log"

let check_entries r expected =
  let text (e : Message.entry) = match e.payload with Command s -> s | _ -> "?" in
  Alcotest.(check (list string)) "entries" expected (List.map text (entries r.Storage.log))

(* A term, two entries, and a third one. *)
let filled scope =
  let t, _ = open_ scope in
  Storage.append t ~hard_state:(Some (3, Some 1)) (Some (1, [ entry 3 "a"; entry 3 "b" ]));
  let size = (Fs.stat (log_file ())).size in
  Storage.append t ~hard_state:None (Some (3, [ entry 3 "c" ]));
  size

let begins_empty scope =
  let _, r = open_ scope in
  Alcotest.(check bool) "configuration" true (r.snapshot = initial);
  Alcotest.(check string) "data" "empty" r.data;
  check_entries r []

let recovers scope =
  ignore (filled scope);
  let _, r = open_ scope in
  Alcotest.(check (pair int (option int))) "term and vote" (3, Some 1) (r.term, r.vote);
  check_entries r [ "a"; "b"; "c" ]

let replaces_entries scope =
  ignore (filled scope);
  let t, _ = open_ scope in
  Storage.append t ~hard_state:(Some (4, None)) (Some (2, [ entry 4 "d" ]));
  let _, r = open_ scope in
  check_entries r [ "a"; "d" ]

let cuts_torn_end scope =
  let size = filled scope in
  let whole = Fs.read_file (log_file ()) in
  for length = size to String.length whole - 1 do
    Fs.write_file (log_file ()) (String.sub whole 0 length);
    let _, r = open_ scope in
    check_entries r [ "a"; "b" ]
  done

let cuts_garbage scope =
  let size = filled scope in
  let whole = Bytes.of_string (Fs.read_file (log_file ())) in
  for at = size to Bytes.length whole - 1 do
    let damaged = Bytes.copy whole in
    Bytes.set_uint8 damaged at (Bytes.get_uint8 whole at lxor 0xff);
    Fs.write_file (log_file ()) (Bytes.to_string damaged);
    let _, r = open_ scope in
    check_entries r [ "a"; "b" ]
  done

let refuses_damage scope =
  let size = filled scope in
  let damaged = Bytes.of_string (Fs.read_file (log_file ())) in
  Bytes.set_uint8 damaged (size - 1) (Bytes.get_uint8 damaged (size - 1) lxor 0xff);
  Fs.write_file (log_file ()) (Bytes.to_string damaged);
  match open_ scope with
  | exception Storage.Damaged _ -> ()
  | _ -> Alcotest.fail "a damaged record before a whole one is dropped"

let snapshot index : Message.snapshot = { initial with index; term = 3 }

let compacts scope =
  ignore (filled scope);
  let t, r = open_ scope in
  Storage.save_snapshot t (snapshot 2) "state";
  Storage.rewrite t ~term:3 ~vote:None (Log.drop r.log 2);
  let _, r = open_ scope in
  Alcotest.(check (pair int string)) "snapshot" (2, "state") (r.snapshot.index, r.data);
  check_entries r [ "c" ]

let drops_log_of_another_history scope =
  ignore (filled scope);
  let t, _ = open_ scope in
  Storage.save_snapshot t { (snapshot 3) with term = 5 } "state";
  let _, r = open_ scope in
  Alcotest.(check (pair int int)) "log" (3, 3) (Log.base r.log, Log.last r.log);
  Alcotest.(check int) "term of the base" 5 (Log.last_term r.log)

let ignores_unfinished_files scope =
  ignore (filled scope);
  Fs.write_file (directory ^ "/new-snapshot-9") "half";
  let _, r = open_ scope in
  check_entries r [ "a"; "b"; "c" ];
  Alcotest.(check bool) "removed" false (Fs.exists (directory ^ "/new-snapshot-9"))

let reads_parts scope =
  let t, _ = open_ scope in
  Storage.save_snapshot t (snapshot 2) "abcdef";
  let part offset = Storage.read_snapshot t ~index:2 ~offset ~length:4 in
  Alcotest.(check bool) "first" true (part 0 = Some (snapshot 2, 6, "abcd"));
  Alcotest.(check bool) "last" true (part 4 = Some (snapshot 2, 6, "ef"));
  Alcotest.(check bool) "another" true (Storage.read_snapshot t ~index:1 ~offset:0 ~length:4 = None)

let keeps_sessions _ =
  let apply (s, _) (index, command) = Store.apply s ~index command in
  let once sequence s : Command.t = Once { session = 1; sequence; operation = Append ("k", s) } in
  let s, _ =
    List.fold_left apply (Store.empty, Command.Done)
      [ (1, Open_session); (2, once 1 "a"); (3, once 1 "a"); (4, once 2 "b") ]
  in
  let s = Store.load (Store.save s) in
  let s, result = Store.apply s ~index:5 (once 2 "b") in
  Alcotest.(check bool) "result" true (result = Done);
  Alcotest.(check (option string)) "value" (Some "ab") (Store.find s "k")

let () =
  let case name f = Alcotest.test_case name `Quick (on_disk f) in
  Alcotest.run "storage"
    [
      ( "storage",
        [
          case "begins with the first members" begins_empty;
          case "recovers term, vote and entries" recovers;
          case "later entries replace earlier ones" replaces_entries;
          case "a torn end is dropped" cuts_torn_end;
          case "a damaged end is dropped" cuts_garbage;
          case "damage before the end is refused" refuses_damage;
          case "a snapshot takes the place of entries" compacts;
          case "a snapshot replaces the log of another history" drops_log_of_another_history;
          case "unfinished files are removed" ignores_unfinished_files;
          case "parts of a snapshot are read" reads_parts;
        ] );
      ("store", [ case "a snapshot keeps the sessions" keeps_sessions ]);
    ]
