(* Changes of a key-value store on /data whose disk's writes are recorded: for each n a value is
   replaced, and another one by a rename. Each value repeats its own number throughout, so that the
   contents of a recorded write tell how far the program had come. [set N] makes N changes;
   [together N TASKS] replaces a value in each of several tasks N times, after an attempt that is
   cancelled; [small N] makes N changes of small values, which are packed, until the last one makes
   one of them a large one and moves the other between dictionaries; [mixed N] makes N changes
   between small and large values; [count] replaces a small value, removes one and sets a large one
   for ever, and prints each number; [get] prints a line for each key; [try TASKS] prints the result
   of one change in each task; [links] sets keys in whose place there are a symbolic link and a
   directory. *)
module Kv = Soil.Kv

let repeated kind n count =
  let stamp = Printf.sprintf "%s %010d\n" kind n in
  String.concat "" (List.init count (fun _ -> stamp))

let value kind n = repeated kind n (1 + (n * 977 mod 700))
let small kind n = repeated kind n (1 + (n * 977 mod 200))
let ok = function Ok v -> v | Error e -> failwith (Kv.error_to_string e)

let () =
  Soil.run @@ fun () ->
  let store = ok (Kv.connect "/data/store") in
  let key = Kv.Key.v in
  match Sys.argv with
  | [| _; "set"; last |] ->
      for n = 1 to int_of_string last do
        ok (Kv.set store (key "value") (value "set" n));
        ok (Kv.set store (key "above/next") (value "moved" n));
        ok (Kv.rename store ~source:(key "above/next") ~dest:(key "moved"))
      done;
      print_endline "done"
  | [| _; "small"; last |] ->
      let last = int_of_string last in
      for n = 1 to last do
        let next = key (if n = last then "above/next" else "next") in
        ok (Kv.set store (key "value") (if n = last then value "set" n else small "set" n));
        ok (Kv.set store next (small "moved" n));
        ok (Kv.rename store ~source:next ~dest:(key "moved"))
      done;
      print_endline "done"
  | [| _; "mixed"; last |] ->
      for n = 1 to int_of_string last do
        let set_value = if n land 1 = 0 then value else small in
        let moved_value = if n mod 3 = 0 then value else small in
        ok (Kv.set store (key "value") (set_value "set" n));
        ok (Kv.set store (key "next") (moved_value "moved" n));
        ok (Kv.rename store ~source:(key "next") ~dest:(key "moved"))
      done;
      print_endline "done"
  | [| _; "count" |] ->
      let rec count n =
        ok (Kv.set store (key "value") (small "set" n));
        ok (Kv.set store (key "gone") (small "moved" n));
        ok (Kv.remove store (key "gone"));
        (* Of both kinds in turn. *)
        ok (Kv.set store (key "both") ((if n land 1 = 0 then small else value) "both" n));
        Printf.printf "count %d\n%!" n;
        count (n + 1)
      in
      count 1
  | [| _; "together"; last; tasks |] ->
      let task number =
        let kind = Printf.sprintf "t%02d" number in
        for n = 1 to int_of_string last do
          let set () = ok (Kv.set store (key kind) (value kind n)) in
          (* Often in the middle of a sync that others wait for. *)
          ignore (Soil.Task.timeout_opt (0.0007 *. Float.of_int (number mod 4)) set);
          set ()
        done
      in
      Soil.Task.iter task (List.init (int_of_string tasks) Fun.id);
      print_endline "done"
  | [| _; "try"; tasks |] ->
      let task number =
        match Kv.set store (key (string_of_int number)) "value" with
        | Ok () -> print_endline "set"
        | Error e -> print_endline ("failed: " ^ Kv.error_to_string e)
      in
      Soil.Task.iter task (List.init (int_of_string tasks) Fun.id)
  | [| _; "links" |] ->
      let module Fs = Soil.Fs in
      Fs.write_file "/data/outside" "untouched";
      Fs.symlink ~target:"../outside" "/data/store/link";
      ok (Kv.set store (key "link") "mine");
      Fs.mkdir "/data/store/directory";
      (match Kv.set store (key "directory") "mine" with
      | Ok () -> print_endline "a directory is replaced"
      | Error e -> print_endline (Kv.error_to_string e));
      Printf.printf "%s, %s\n%!" (ok (Kv.get store (key "link"))) (Fs.read_file "/data/outside")
  | [| _; "get" |] ->
      let show name =
        match Kv.get store (key name) with
        | Ok v -> Printf.printf "%s %s\n%!" name (Digest.to_hex (Digest.string v))
        | Error e -> Printf.printf "%s: %s\n%!" name (Kv.error_to_string e)
      in
      let names =
        Kv.list store Kv.Key.empty |> ok |> List.map (fun (key, _) -> Kv.Key.basename key)
      in
      List.iter show names
  | _ -> failwith "set N, small N, mixed N, count, together N TASKS, try TASKS, links, or get"
