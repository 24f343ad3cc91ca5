(* Soil.Kv on each kind of volume, against a model, and Soil.Fs where volumes meet. *)
module Fs = Soil.Fs
module Kv = Soil.Kv
module K = Kv.Key
module T = Soil.Task
module D = Soil.File_descriptor

let bool = Alcotest.(check bool)
let int = Alcotest.(check int)
let string = Alcotest.(check string)
let ok what = function Ok v -> v | Error e -> Alcotest.fail (what ^ ": " ^ Kv.error_to_string e)

let fails what expected = function
  | Ok _ -> Alcotest.fail (what ^ ": no error")
  | Error e -> string what (Kv.error_to_string expected) (Kv.error_to_string e)

let store root name =
  if Fs.exists (root ^ "/" ^ name) then
    ok "remove" (Kv.remove (ok "connect" (Kv.connect root)) (K.v name));
  ok "connect" (Kv.connect (root ^ "/" ^ name))

let basics root () =
  let t = store root "basics" in
  let a = K.v "/a" and deep = K.v "x/y/z" in
  fails "get" (`Not_found a) (Kv.get t a);
  bool "exists" true (Kv.exists t a = Ok None);
  ok "set" (Kv.set t a "one");
  ok "set" (Kv.set t deep "two");
  string "get" "one" (ok "get" (Kv.get t a));
  ok "set" (Kv.set t a "");
  string "replaced" "" (ok "get" (Kv.get t a));
  bool "value" true (Kv.exists t deep = Ok (Some `Value));
  bool "dictionary" true (Kv.exists t (K.v "x/y") = Ok (Some `Dictionary));
  bool "list" true (Kv.list t K.empty = Ok [ (a, `Value); (K.v "x", `Dictionary) ]);
  string "partial" "wo" (ok "get" (Kv.get_partial t deep ~offset:1 ~length:9));
  string "beyond" "" (ok "get" (Kv.get_partial t deep ~offset:10 ~length:9));
  ok "set_partial" (Kv.set_partial t deep ~offset:5 "!");
  string "with zeros" "two\000\000!" (ok "get" (Kv.get t deep));
  int "size" 6 (ok "size" (Kv.size t (K.v "x")));
  fails "a dictionary has no value" (`Value_expected (K.v "x")) (Kv.get t (K.v "x"));
  fails "not over a dictionary" (`Value_expected (K.v "x")) (Kv.set t (K.v "x") "");
  fails "nothing below a value" (`Dictionary_expected a) (Kv.set t K.(a / "b") "");
  fails "a value lists nothing" (`Dictionary_expected a) (Kv.list t a);
  let now = Soil.Clock.now () in
  bool "recent" true (Float.abs (ok "time" (Kv.last_modified t deep) -. now) < 3600.);
  let before = ok "digest" (Kv.digest t K.empty) in
  bool "same digest" true (Kv.digest t K.empty = Ok before);
  ok "set" (Kv.set t deep "three");
  bool "other digest" true (Kv.digest t K.empty <> Ok before);
  ok "rename" (Kv.rename t ~source:deep ~dest:a);
  string "renamed" "three" (ok "get" (Kv.get t a));
  fails "gone" (`Not_found deep) (Kv.get t deep);
  fails "into itself"
    (`Rename_source_prefix (K.v "x", deep))
    (Kv.rename t ~source:(K.v "x") ~dest:deep);
  ok "remove" (Kv.remove t (K.v "x"));
  fails "removed" (`Not_found (K.v "x")) (Kv.remove t (K.v "x"));
  ok "batch" (Kv.batch t (fun t -> Kv.set t (K.v "b/c") "batched"));
  string "batched" "batched" (ok "get" (Kv.get t (K.v "b/c")));
  ok "all" (Kv.remove t K.empty);
  bool "empty" true (Kv.list t K.empty = Ok [])

let no_space f =
  match f () with
  | () -> Alcotest.fail "there was room"
  | exception Soil.Error { code = No_space; _ } -> ()

let invalid what f =
  match f () with _ -> Alcotest.fail (what ^ ": taken") | exception Invalid_argument _ -> ()

let keys () =
  string "tidy" "/a/b" (K.to_string (K.v "//a/b/"));
  bool "segments" true (K.segments (K.v "a/b/c") = [ "a"; "b"; "c" ]);
  string "parent" "/a" (K.to_string (K.parent (K.v "a/b")));
  string "basename" "b" (K.basename (K.v "a/b"));
  string "root" "/" (K.to_string K.empty);
  List.iter
    (fun wrong -> invalid wrong (fun () -> K.v wrong))
    [ ".."; "a/../b"; "/./a"; "a\000b"; ".soil-kv"; "a/.soil-kv2"; ".soil-random-seed" ];
  List.iter (fun wrong -> invalid wrong (fun () -> K.add K.empty wrong)) [ ""; "a/b"; ".." ]

(* [connect] removes the file that a crash during [set] leaves; it is never listed as a key. *)
let leftovers root () =
  let t = store root "leftovers" in
  ok "set" (Kv.set t (K.v "a") "1");
  let rest = root ^ "/leftovers/.soil-kv/17" in
  Fs.write_file rest "half";
  (* The machine's, on a volume that is a store as a whole. *)
  Fs.write_file (root ^ "/leftovers/.soil-random-seed") "seed";
  bool "not listed" true (Kv.list t K.empty = Ok [ (K.v "a", `Value) ]);
  int "not counted" 1 (ok "size" (Kv.size t K.empty));
  let t = ok "connect" (Kv.connect (root ^ "/leftovers")) in
  bool "gone" false (Fs.exists rest);
  string "kept" "1" (ok "get" (Kv.get t (K.v "a")))

(* Nothing is left of a [set] that was cancelled at any step, also where others keep the volume
   busy, and the value is the old or the new one. *)
let cancelled root () =
  let t = store root "cancelled" in
  let key = K.v "key" and value = String.make 200_000 'n' in
  T.scope @@ fun s ->
  let keep_busy name () =
    while true do
      Fs.write_file (root ^ "/" ^ name) "x";
      Soil.Clock.sleep 0.0005
    done
  in
  ignore (T.spawn_daemon s (keep_busy "busy-1"));
  ignore (T.spawn_daemon s (keep_busy "busy-2"));
  for i = 0 to 40 do
    ok "set" (Kv.set t key "old");
    let seconds = 0.0002 *. Float.of_int i in
    ignore (T.timeout_opt seconds (fun () -> Kv.set t key value));
    int "left" 0 (List.length (Fs.list (root ^ "/cancelled/.soil-kv")));
    let found = ok "get" (Kv.get t key) in
    bool "old or new" true (found = "old" || found = value)
  done

(* Changes of many tasks at a time: each is there once it has returned, whole, and none leaves a
   file behind. *)
let together root () =
  let t = store root "together" in
  let tasks = List.init 64 Fun.id in
  let value task n = String.make (1 + (task * n)) (Char.chr (32 + task)) in
  let own task = K.v (Printf.sprintf "%d/key" task) in
  T.iter
    (fun task ->
      for n = 1 to 3 do
        ok "set" (Kv.set t (own task) (value task n));
        string "own" (value task n) (ok "get" (Kv.get t (own task)));
        ok "set" (Kv.set t (K.v "common") (value task n))
      done;
      if task land 1 = 1 then ok "remove" (Kv.remove t (K.v (string_of_int task))))
    tasks;
  let common = ok "get" (Kv.get t (K.v "common")) in
  bool "common" true (List.exists (fun task -> common = value task 3) tasks);
  List.iter
    (fun task ->
      let found = Kv.get t (own task) in
      bool "own" (task land 1 = 0) (found = Ok (value task 3)))
    tasks;
  int "left" 0 (List.length (Fs.list (root ^ "/together/.soil-kv")))

(* [set] replaces a link itself, wherever that leads to; not a link above the key, nor a directory.
   *)
let replaced_links root () =
  let t = store root "replaced" in
  let inside name = root ^ "/replaced/" ^ name and outside = root ^ "/untouched" in
  Fs.mkdir_p outside;
  Fs.write_file (outside ^ "/file") "secret";
  let one (name, target) =
    Fs.symlink ~target (inside name);
    fails "a link has no value" (`Not_found (K.v name)) (Kv.get t (K.v name));
    ok "set" (Kv.set t (K.v name) name);
    string "value" name (ok "get" (Kv.get t (K.v name)));
    bool "no link" false (List.mem_assoc name (Fs.list (root ^ "/replaced")))
  in
  List.iter one
    [
      ("file", "../untouched/file"); ("directory", "../untouched"); ("nothing", "none");
      ("itself", "itself");
    ];
  ok "set" (Kv.set t (K.v "below/key") "1");
  Fs.mkdir (inside "empty");
  Fs.symlink ~target:"../../untouched/file" (inside "below/link");
  ok "set below" (Kv.set t (K.v "below/link") "2");
  string "below" "2" (ok "get" (Kv.get t (K.v "below/link")));
  Fs.symlink ~target:"../untouched" (inside "up");
  fails "not through a link" (`Not_found (K.v "up")) (Kv.set t (K.v "up/file") "x");
  List.iter
    (fun name -> fails "dictionary" (`Value_expected (K.v name)) (Kv.set t (K.v name) "x"))
    [ "below"; "empty" ];
  string "untouched" "secret" (Fs.read_file (outside ^ "/file"));
  int "nothing new" 1 (List.length (Fs.list outside));
  int "left" 0 (List.length (Fs.list (inside ".soil-kv")));
  Fs.unlink (inside "up")
[@@ocamlformat "disable"]

(* A link in the directory leads to nothing, for no operation. *)
let no_escape root () =
  let t = store root "links" in
  Fs.write_file (root ^ "/outside") "secret";
  Fs.symlink ~target:"../outside" (root ^ "/links/file");
  Fs.symlink ~target:".." (root ^ "/links/up");
  let file = K.v "file" and below = K.v "up/outside" in
  fails "get" (`Not_found file) (Kv.get t file);
  fails "get below" (`Not_found below) (Kv.get t below);
  bool "set below" true (Result.is_error (Kv.set t below "x"));
  bool "set_partial" true (Result.is_error (Kv.set_partial t file ~offset:0 "x"));
  bool "remove" true (Result.is_error (Kv.remove t below));
  bool "rename" true (Result.is_error (Kv.rename t ~source:below ~dest:(K.v "mine")));
  bool "not listed" true (Kv.list t K.empty = Ok []);
  string "untouched" "secret" (Fs.read_file (root ^ "/outside"));
  Fs.unlink (root ^ "/links/file");
  Fs.unlink (root ^ "/links/up")

let tasks root () =
  let t = store root "tasks" in
  let key = K.v "one/for all" in
  let value i = String.make (5000 + i) (Char.chr (97 + i)) in
  let whole v = v = value (Char.code v.[0] - 97) in
  ok "set" (Kv.set t key (value 0));
  Soil.Task.iter
    (fun i ->
      for _ = 1 to 4 do
        ok "set" (Kv.set t key (value i));
        bool "whole" true (whole (ok "get" (Kv.get t key)))
      done)
    (List.init 8 Fun.id)

(* A volume that is mounted at a key's place, or below a key, is a dictionary that can be read. What
   would change or remove it fails, and leaves both volumes and no file of its own. *)
let mounted root () =
  let t = store root "mounted" in
  let inside name = root ^ "/mounted/" ^ name in
  ok "set" (Kv.set t (K.v "own") "own");
  ok "set" (Kv.set t (K.v "x/own") "below");
  let refused what = function
    | Ok () -> Alcotest.fail (what ^ ": no error")
    | Error (`Failed { Soil.Error.code = Cross_volume | Busy; _ }) -> ()
    | Error e -> Alcotest.fail (what ^ ": " ^ Kv.error_to_string e)
  in
  let others key = K.(key / "value") in
  let at key =
    Fs.with_mount "memory:1M" (root ^ "/mounted" ^ K.to_string key) @@ fun () ->
    Fs.write_file (root ^ "/mounted" ^ K.to_string (others key)) "another volume's";
    bool "a dictionary" true (Kv.exists t key = Ok (Some `Dictionary));
    bool "listed" true (Kv.list t key = Ok [ (others key, `Value) ]);
    string "read" "another volume's" (ok "get" (Kv.get t (others key)));
    int "counted" (3 + 5 + 16) (ok "size" (Kv.size t K.empty));
    refused "set at it" (Kv.set t key "x");
    refused "set below it" (Kv.set t K.(key / "new") "x");
    refused "set in its place" (Kv.set t (others key) "x");
    refused "rename it" (Kv.rename t ~source:key ~dest:(K.v "elsewhere"));
    refused "rename from it" (Kv.rename t ~source:(others key) ~dest:(K.v "elsewhere"));
    refused "rename into it" (Kv.rename t ~source:(K.v "own") ~dest:K.(key / "own"));
    refused "remove it" (Kv.remove t key);
    refused "remove what is above it" (Kv.remove t (K.v (List.hd (K.segments key))));
    bool "as before" true (Kv.list t key = Ok [ (others key, `Value) ]);
    string "read again" "another volume's" (ok "get" (Kv.get t (others key)));
    fails "nothing new" (`Not_found (K.v "elsewhere")) (Kv.get t (K.v "elsewhere"));
    string "own" "own" (ok "get" (Kv.get t (K.v "own")));
    string "below" "below" (ok "get" (Kv.get t (K.v "x/own")));
    int "left" 0 (List.length (Fs.list (inside ".soil-kv")))
  in
  List.iter at [ K.v "m"; K.v "x/m" ];
  bool "unmounted" true (Kv.exists t (K.v "m") = Ok None);
  (* Over a dictionary whose values are known. *)
  Fs.with_mount "memory:1M" (inside "x") (fun () ->
      fails "hidden" (`Not_found (K.v "x/own")) (Kv.get t (K.v "x/own"));
      refused "set in a mount" (Kv.set t (K.v "x/own") "x");
      bool "nothing" true (Kv.list t (K.v "x") = Ok []));
  string "there again" "below" (ok "get" (Kv.get t (K.v "x/own")));
  ok "remove" (Kv.remove t (K.v "x"));
  int "left" 0 (List.length (Fs.list (inside ".soil-kv")));
  ok "all" (Kv.remove t K.empty);
  bool "empty" true (Kv.list t K.empty = Ok [])

type step =
  | Set of int * string
  | Remove of int
  | Rename of int * int
  | Partial of int * int * string
  | Reconnect

let names = [| "a"; "b"; "c/d"; "c/e"; "f/g/h" |]
let key i = K.v names.(i)

let generator =
  let open QCheck2.Gen in
  let name = int_bound (Array.length names - 1) and text = string_size (int_bound 40) in
  list_size (int_bound 25)
    (oneof
       [
         map2 (fun i v -> Set (i, v)) name text;
         map (fun i -> Remove i) name;
         map2 (fun i j -> Rename (i, j)) name name;
         map3 (fun i offset v -> Partial (i, offset, v)) name (int_bound 50) text;
         map (fun i -> Partial (i, 5000, "far")) name;
         return Reconnect;
       ])

module M = Map.Make (Int)

let patched old offset part =
  let b = Bytes.make (max (String.length old) (offset + String.length part)) '\000' in
  Bytes.blit_string old 0 b 0 (String.length old);
  Bytes.blit_string part 0 b offset (String.length part);
  (* Nothing written is nothing changed. *)
  if part = "" then old else Bytes.to_string b

let model root () =
  let store = ref (store root "model") in
  let step model change =
    let t = !store in
    match change with
    | Reconnect ->
        store := ok "connect" (Kv.connect (root ^ "/model"));
        model
    | Set (i, v) ->
        ok "set" (Kv.set t (key i) v);
        M.add i v model
    | Remove i ->
        bool "remove" (M.mem i model) (Result.is_ok (Kv.remove t (key i)));
        M.remove i model
    | Rename (i, j) -> (
        let result = Kv.rename t ~source:(key i) ~dest:(key j) in
        match M.find_opt i model with
        | None ->
            bool "rename" true (Result.is_error result);
            model
        | Some v ->
            ok "rename" result;
            if i = j then model else M.add j v (M.remove i model))
    | Partial (i, offset, part) -> (
        let result = Kv.set_partial t (key i) ~offset part in
        match M.find_opt i model with
        | None ->
            bool "set_partial" true (Result.is_error result);
            model
        | Some v ->
            ok "set_partial" result;
            M.add i (patched v offset part) model)
  in
  let run steps =
    ok "remove" (Kv.remove !store K.empty);
    let model = List.fold_left step M.empty steps in
    Array.iteri
      (fun i _ ->
        match (M.find_opt i model, Kv.get !store (key i)) with
        | Some v, Ok found -> string "value" v found
        | None, Error _ -> ()
        | _ -> Alcotest.fail "the store and the model differ")
      names;
    true
  in
  QCheck2.Test.check_exn (QCheck2.Test.make ~count:30 generator run)

(* Small values *)

let segments folder =
  List.filter (fun (name, _) -> String.starts_with ~prefix:".soil-values-" name) (Fs.list folder)
  |> List.map (fun (name, _) -> folder ^ "/" ^ name)

let count_files folder =
  let is_one (name, kind) = kind = Fs.File && not (String.starts_with ~prefix:".soil-" name) in
  List.length (List.filter is_one (Fs.list folder))

let reconnect root name = ok "connect" (Kv.connect (root ^ "/" ^ name))

(* Values that are packed or files, in turn, and pages of them. *)
let mixed root () =
  let t = store root "mixed" in
  let folder = root ^ "/mixed" in
  let number i = Printf.sprintf "n%04d" i in
  let value i = String.make (if i mod 10 = 0 then 5000 + i else i) (Char.chr (48 + (i mod 40))) in
  ok "batch"
    (Kv.batch t (fun t ->
         Ok
           (for i = 0 to 299 do
              ok "set" (Kv.set t (K.v (number i)) (value i))
            done)));
  ok "below" (Kv.set t (K.v "n0100d/x") "below");
  int "files" 30 (count_files folder);
  int "segments" 1 (List.length (segments folder));
  let check t =
    for i = 0 to 299 do
      string "value" (value i) (ok "get" (Kv.get t (K.v (number i))))
    done;
    let all = ok "list" (Kv.list t K.empty) in
    int "all" 301 (List.length all);
    let rec pages after =
      match ok "page" (Kv.list ~after ~limit:7 t K.empty) with
      | [] -> []
      | page -> page @ pages (K.basename (fst (List.nth page (List.length page - 1))))
    in
    bool "pages" true (pages "" = all);
    bool "a page" true
      (Kv.list ~after:"n0099zz" ~limit:3 t K.empty
      = Ok [ (K.v "n0100", `Value); (K.v "n0100d", `Dictionary); (K.v "n0101", `Value) ]);
    bool "no page" true (Kv.list ~limit:0 t K.empty = Ok []);
    bool "the end" true (Kv.list ~after:"o" t K.empty = Ok [])
  in
  check t;
  check (reconnect root "mixed");
  invalid "limit" (fun () -> Kv.list ~limit:(-1) t K.empty);
  (* From one kind to the other. *)
  let t = reconnect root "mixed" in
  let large = String.make 9000 'l' in
  ok "larger" (Kv.set t (K.v "n0001") large);
  ok "in place of a file" (Kv.set t (K.v "n0010") "s");
  ok "rename to a file" (Kv.rename t ~source:(K.v "n0002") ~dest:(K.v "n0020"));
  ok "rename from a file" (Kv.rename t ~source:(K.v "n0030") ~dest:(K.v "n0003"));
  ok "rename away" (Kv.rename t ~source:(K.v "n0004") ~dest:(K.v "n0100d/n0004"));
  ok "rename into" (Kv.rename t ~source:(K.v "n0100d/x") ~dest:(K.v "n0005"));
  ok "rename a dictionary" (Kv.rename t ~source:(K.v "n0100d") ~dest:(K.v "moved"));
  ok "rename here" (Kv.rename t ~source:(K.v "n0006") ~dest:(K.v "n0007"));
  ok "far" (Kv.set_partial t (K.v "n0008") ~offset:100_000 "!");
  ok "removed" (Kv.remove t (K.v "n0009"));
  let check t =
    let has name v = string name v (ok name (Kv.get t (K.v name))) in
    let gone name = bool name true (Kv.exists t (K.v name) = Ok None) in
    has "n0001" large;
    has "n0010" "s";
    has "n0020" (value 2);
    has "n0003" (value 30);
    has "moved/n0004" (value 4);
    has "n0005" "below";
    has "n0007" (value 6);
    has "n0008" (value 8 ^ String.make (100_000 - 8) '\000' ^ "!");
    List.iter gone [ "n0002"; "n0030"; "n0004"; "n0100d"; "n0006"; "n0009" ];
    fails "nothing below a small value"
      (`Dictionary_expected (K.v "n0011"))
      (Kv.get t (K.v "n0011/x"));
    fails "nor a dictionary" (`Dictionary_expected (K.v "n0011")) (Kv.set t (K.v "n0011/x/y") "");
    fails "dictionary over small"
      (`Already_present (K.v "n0011"))
      (Kv.rename t ~source:(K.v "moved") ~dest:(K.v "n0011"))
  in
  check t;
  check (reconnect root "mixed");
  ok "all" (Kv.remove t K.empty);
  bool "empty" true (Kv.list (reconnect root "mixed") K.empty = Ok [])

let no_lines f =
  let was = Unix.dup Unix.stderr
  and into = Unix.openfile "lines" [ O_RDWR; O_CREAT; O_TRUNC ] 0o600 in
  Unix.dup2 into Unix.stderr;
  Unix.close into;
  Fun.protect f ~finally:(fun () ->
      flush stderr;
      Unix.dup2 was Unix.stderr;
      Unix.close was)

(* Values replaced until segments are cleaned. One that a crash during the cleaning left is there
   again, and no earlier value is. *)
let cleaning root () =
  let t = store root "cleaning" in
  let folder = root ^ "/cleaning" in
  let value i = String.make 4000 (Char.chr (33 + (i mod 90))) ^ string_of_int i in
  let newest = Hashtbl.create 10 and first = ref None in
  let set t i =
    let name = Printf.sprintf "k%d" (i * i mod 17) in
    ok "set" (Kv.set t (K.v name) (value i));
    Hashtbl.replace newest name (value i)
  in
  ok "cold" (Kv.set t (K.v "cold") "cold");
  ok "gone" (Kv.set t (K.v "gone") "gone");
  ok "went" (Kv.set t (K.v "went") "went");
  ok "remove" (Kv.remove t (K.v "gone"));
  ok "rename" (Kv.rename t ~source:(K.v "went") ~dest:(K.v "came"));
  for round = 0 to 11 do
    ok "batch"
      (Kv.batch t (fun t ->
           Ok
             (for i = 0 to 99 do
                set t ((round * 100) + i)
              done)));
    if round = 1 then
      first := Some (List.hd (segments folder), Fs.read_file (List.hd (segments folder)))
  done;
  let path, contents = Option.get !first in
  bool "cleaned" false (Fs.exists path);
  let sizes () = List.fold_left (fun n path -> n + (Fs.stat path).size) 0 (segments folder) in
  bool "bounded" true (sizes () < 3 * 1024 * 1024 && List.length (segments folder) < 4);
  let check t =
    string "cold" "cold" (ok "get" (Kv.get t (K.v "cold")));
    string "came" "went" (ok "get" (Kv.get t (K.v "came")));
    bool "gone" true (Kv.exists t (K.v "gone") = Ok None && Kv.exists t (K.v "went") = Ok None);
    Hashtbl.iter (fun name v -> string name v (ok "get" (Kv.get t (K.v name)))) newest;
    int "all" (2 + Hashtbl.length newest) (List.length (ok "list" (Kv.list t K.empty)))
  in
  check t;
  Fs.write_file path contents;
  check (reconnect root "cleaning")

(* Values can be removed from a full volume, and others set in their place. *)
let full () =
  Fs.with_mount "memory:8M" "/full" @@ fun () ->
  let t = ok "connect" (Kv.connect "/full") in
  let key i = K.v (Printf.sprintf "n%05d" i)
  and value i = String.make 1000 (Char.chr (33 + (i mod 90))) in
  let rec fill i =
    match Kv.set t (key i) (value i) with
    | Ok () -> fill (i + 1)
    | Error `No_space -> i
    | Error e -> Alcotest.fail (Kv.error_to_string e)
  in
  let first = fill 0 in
  bool "most of it" true (first > 4000);
  let space = Fs.space "/full" in
  bool "room for cleaning" true (space.free > space.total / 10);
  let all n f =
    for i = 0 to n - 1 do
      f i
    done
  in
  all first (fun i -> if i mod 4 > 0 then ok "remove" (Kv.remove t (key i)));
  let second = fill first in
  bool "others" true (second - first > first / 2);
  let check t =
    all second (fun i ->
        let is_there = i >= first || i mod 4 = 0 in
        bool "value" true
          (Kv.get t (key i) = if is_there then Ok (value i) else Error (`Not_found (key i))))
  in
  check t;
  check (ok "connect" (Kv.connect "/full"));
  (* Full of something else. *)
  no_space (fun () -> Fs.write_file "/full/other" (String.make 8_000_000 'o'));
  all second (fun i -> if i >= first || i mod 4 = 0 then ok "remove" (Kv.remove t (key i)));
  Fs.unlink "/full/other";
  int "again" 0 (List.length (ok "list" (Kv.list t K.empty)));
  ok "set" (Kv.set t (key 0) "again")

(* After each prefix of the log the store is as it was after some change, and goes on from there. *)
let prefixes root () =
  let t = store root "prefixes" in
  let folder = root ^ "/prefixes" in
  let random = Stdlib.Random.State.make [| 7 |] in
  let below n = Stdlib.Random.State.int random n in
  let size () = (Fs.stat (List.hd (segments folder))).size in
  let history = ref [ (16, []) ] in
  for _ = 1 to 40 do
    let name = names.(below 2) and other = names.(below 2) in
    let model = snd (List.hd !history) in
    let model =
      if below 3 = 0 && List.mem_assoc name model && name <> other then (
        ok "rename" (Kv.rename t ~source:(K.v name) ~dest:(K.v other));
        (other, List.assoc name model) :: List.remove_assoc other (List.remove_assoc name model))
      else
        let value = String.make (below 30) (Char.chr (97 + below 26)) in
        ok "set" (Kv.set t (K.v name) value);
        (name, value) :: List.remove_assoc name model
    in
    history := (size (), model) :: !history
  done;
  let path = List.hd (segments folder) in
  let log = Fs.read_file path in
  let same what t model =
    let found =
      List.map
        (fun (key, _) -> (K.to_string key, ok "get" (Kv.get t key)))
        (ok "list" (Kv.list t K.empty))
    in
    let expected = List.sort compare (List.map (fun (name, v) -> ("/" ^ name, v)) model) in
    bool what true (found = expected)
  in
  no_lines @@ fun () ->
  for cut = 16 to String.length log do
    let junk = String.init (below 3 * 40) (fun _ -> Char.chr (below 256)) in
    List.iter Fs.unlink (segments folder);
    Fs.write_file path (String.sub log 0 cut ^ junk);
    let model = snd (List.find (fun (size, _) -> size <= cut) !history) in
    let t = reconnect root "prefixes" in
    same ("cut at " ^ string_of_int cut) t model;
    ok "set" (Kv.set t (K.v "later") "later");
    same "after it" (reconnect root "prefixes") (("later", "later") :: model)
  done

let contains text part =
  let n = String.length part in
  List.exists (fun i -> String.sub text i n = part) (List.init (String.length text - n + 1) Fun.id)

let record ?(kind = 0) nonce name value =
  let b = Buffer.create 100 in
  Buffer.add_uint8 b kind;
  Buffer.add_uint8 b (String.length name);
  Buffer.add_uint16_le b (String.length value);
  Buffer.add_int64_le b (Int64.bits_of_float 1e9);
  Buffer.add_uint8 b 0;
  Buffer.add_string b (name ^ value);
  "\000" ^ String.sub (Digest.string (nonce ^ Buffer.contents b)) 0 8 ^ Buffer.contents b

(* Files that no store has written. *)
let hostile root () =
  let t = store root "hostile" in
  let folder = root ^ "/hostile" in
  ok "set" (Kv.set t (K.v "a") "1");
  let path n = folder ^ "/.soil-values-" ^ n in
  let nonce = "12345678" in
  let header = "soil-kv\001" ^ nonce in
  Fs.write_file (path "5")
    (header
    ^ String.concat ""
        (List.map (fun name -> record nonce name "x") [ ".."; "b/c"; ".soil-kv"; "b"; "n\000" ])
    ^ record ~kind:77 nonce "strange" "kind");
  let damaged = Bytes.of_string (header ^ record nonce "c" "damaged" ^ record nonce "d" "whole") in
  Bytes.set damaged (16 + 22 + 3) '?';
  Fs.write_file (path "6") (Bytes.to_string damaged);
  Fs.write_file (path "7") (header ^ record nonce "e" "e" ^ String.make 300 '\255');
  Fs.write_file (path "8") "another program's file";
  Fs.write_file (path "9") "";
  List.iter (fun n -> Fs.write_file (path n) header) [ "x"; "-1"; "0x10"; "99999999999999"; "010" ];
  Fs.with_file ~mode:Create (path "12") (fun d ->
      D.write_string d header;
      Fs.truncate d 3_000_000);
  let expected = [ "/a"; "/b"; "/d"; "/e"; "/strange" ] in
  no_lines (fun () ->
      let t = reconnect root "hostile" in
      let keys t = List.map (fun (key, _) -> K.to_string key) (ok "list" (Kv.list t K.empty)) in
      Alcotest.(check (list string)) "keys" expected (keys t);
      ok "goes on" (Kv.set t (K.v "a") "2");
      let t = reconnect root "hostile" in
      Alcotest.(check (list string)) "keys" expected (keys t);
      string "a" "2" (ok "get" (Kv.get t (K.v "a"))));
  let lines = In_channel.with_open_bin "lines" In_channel.input_all in
  let says what = bool what true (contains lines what) in
  says ".soil-values-5: skips names";
  says ".soil-values-6: skips damaged";
  says ".soil-values-7: ignores what follows byte 40";
  says ".soil-values-8: not a file of this version";
  bool "another's file stays" true (Fs.exists (path "8"));
  (* Bytes changed at random, under a store that knows the log, too. *)
  let random = Stdlib.Random.State.make [| 11 |] in
  let below n = Stdlib.Random.State.int random n in
  no_lines @@ fun () ->
  for round = 1 to 60 do
    let t = store root "hostile" in
    let value i = String.make i (Char.chr (97 + i)) in
    for i = 0 to 19 do
      ok "set" (Kv.set t (K.v (string_of_int i)) (value i))
    done;
    let path = List.hd (segments folder) in
    let b = Bytes.of_string (Fs.read_file path) in
    for _ = 0 to below 6 do
      Bytes.set b (below (Bytes.length b)) (Char.chr (below 256))
    done;
    Fs.write_file path (Bytes.to_string b);
    let t = if round land 1 = 0 then t else reconnect root "hostile" in
    for i = 0 to 19 do
      match Kv.get t (K.v (string_of_int i)) with
      | Ok v -> string "a value of its own" (value i) v
      | Error (`Not_found _ | `Failed { Soil.Error.code = Corrupt; _ }) -> ()
      | Error e -> Alcotest.fail (Kv.error_to_string e)
    done;
    ok "set" (Kv.set t (K.v "7") "new");
    string "new" "new" (ok "get" (Kv.get t (K.v "7")))
  done

(* The short names that FAT gives the store's own files are no keys; others that look like some are. *)
let short_names () =
  let t = store "/data" "short" in
  ok "set" (Kv.set t (K.v "packed") "small");
  ok "set" (Kv.set t (K.v "large") (String.make 5000 'l'));
  let values t =
    List.map
      (fun (key, _) -> (K.to_string key, ok "get" (Kv.get t key)))
      (ok "list" (Kv.list t K.empty))
  in
  let before = values t in
  let is_there name = Fs.exists ("/data/short/" ^ name) in
  let one name =
    bool name true (is_there name);
    let key = K.v name in
    let missing what result = fails what (`Not_found key) result in
    missing "get" (Kv.get t key);
    missing "list" (Kv.list t key);
    missing "size" (Kv.size t key);
    missing "remove" (Kv.remove t key);
    missing "set_partial" (Kv.set_partial t key ~offset:0 "x");
    missing "rename it" (Kv.rename t ~source:key ~dest:(K.v "x"));
    bool "exists" true (Kv.exists t key = Ok None);
    bool "set below" true (Result.is_error (Kv.set t K.(key / "x") "x"));
    bool "below" true (Kv.exists t K.(key / "x") = Ok None);
    let refused what = function
      | Error (`Failed { Soil.Error.code = Invalid_name; _ }) -> ()
      | Ok () -> Alcotest.fail (what ^ ": no error")
      | Error e -> Alcotest.fail (what ^ ": " ^ Kv.error_to_string e)
    in
    refused "set" (Kv.set t key "small");
    refused "set large" (Kv.set t key (String.make 5000 'x'));
    refused "rename" (Kv.rename t ~source:(K.v "large") ~dest:key)
  in
  List.iter one [ "SOIL-V~1"; "soil-v~1"; "Soil-K~1" ];
  bool "as before" true (values t = before && values (reconnect "/data" "short") = before);
  let own = [ "a~1"; "SOIL-V~2"; "b~1.txt"; "large~" ] in
  List.iter (fun name -> ok name (Kv.set t (K.v name) name)) own;
  List.iter (fun name -> ok name (Kv.set t (K.v (name ^ "/d~1")) "")) [ "e~5" ];
  ok "a file" (Kv.set t (K.v "f~1") (String.make 5000 'f'));
  let t = reconnect "/data" "short" in
  List.iter (fun name -> string name name (ok name (Kv.get t (K.v name)))) own;
  int "a file" 5000 (ok "size" (Kv.size t (K.v "f~1")));
  string "below" "" (ok "get" (Kv.get t (K.v "e~5/d~1")))

(* The longest name, and one that is too long, which changes nothing. *)
let long_names root () =
  let t = store root "long" in
  let name n = String.make n 'n' in
  let longest = K.v (name 255) and too_long = K.v (name 256) in
  let small = "small" and large = String.make 5000 'l' in
  ok "small" (Kv.set t longest small);
  ok "rename" (Kv.rename t ~source:longest ~dest:(K.v "a"));
  ok "and back" (Kv.rename t ~source:(K.v "a") ~dest:longest);
  ok "large" (Kv.set t (K.v "b") large);
  let check t =
    string "small" small (ok "get" (Kv.get t longest));
    string "large" large (ok "get" (Kv.get t (K.v "b")));
    int "all" 2 (List.length (ok "list" (Kv.list t K.empty)))
  in
  let refused what result = bool what true (Result.is_error result) in
  List.iter (fun v -> refused "set" (Kv.set t too_long v)) [ small; large ];
  List.iter
    (fun source -> refused "rename" (Kv.rename t ~source ~dest:too_long))
    [ longest; K.v "b" ];
  check t;
  check (reconnect root "long");
  (* FAT counts letters instead of bytes. *)
  let wide = K.v (String.concat "" (List.init 200 (fun _ -> "\u{e9}"))) in
  let keeps v = function
    | Error _ -> check t
    | Ok () ->
        string "wide" v (ok "get" (Kv.get t wide));
        string "wide" v (ok "get" (Kv.get (reconnect root "long") wide));
        ok "back" (Kv.rename t ~source:wide ~dest:(K.v "back"))
  in
  keeps "set" (Kv.set t wide "set");
  ok "set" (Kv.set t (K.v "c") "renamed");
  let renamed = Kv.rename t ~source:(K.v "c") ~dest:wide in
  if renamed <> Ok () then ok "remove" (Kv.remove t (K.v "c"));
  keeps "renamed" renamed;
  bool "both" (root = "/data") (Kv.exists t (K.v "back") = Ok (Some `Value))

(* A store of an earlier version, each value of which is a file: it is read as it is, and its values
   are packed when they are set again. *)
let earlier root () =
  let t = store root "earlier" in
  let folder = root ^ "/earlier" in
  let value i = "earlier " ^ string_of_int i in
  Fs.mkdir_p (folder ^ "/below");
  for i = 0 to 9 do
    Fs.write_file (Printf.sprintf "%s/%d" folder i) (value i);
    Fs.write_file (Printf.sprintf "%s/below/%d" folder i) (value i)
  done;
  let check t changed =
    int "all" 11 (List.length (ok "list" (Kv.list t K.empty)));
    for i = 0 to 9 do
      let expected = if List.mem i changed then "new" else value i in
      string "value" expected (ok "get" (Kv.get t (K.v (string_of_int i))));
      string "below" (value i) (ok "get" (Kv.get t (K.v ("below/" ^ string_of_int i))))
    done
  in
  check t [];
  check (reconnect root "earlier") [];
  ok "set" (Kv.set t (K.v "3") "new");
  ok "batch" (Kv.batch t (fun t -> Kv.set t (K.v "4") "new"));
  int "files" 8 (count_files folder);
  check t [ 3; 4 ];
  check (reconnect root "earlier") [ 3; 4 ];
  ok "rename" (Kv.rename t ~source:(K.v "5") ~dest:(K.v "x"));
  ok "and back" (Kv.rename t ~source:(K.v "x") ~dest:(K.v "5"));
  ok "remove" (Kv.remove t (K.v "below/7"));
  ok "again" (Kv.set t (K.v "below/7") (value 7));
  check t [ 3; 4 ];
  check (reconnect root "earlier") [ 3; 4 ]

(* What a crash leaves between a rename of a file and the removal of the small value in its place:
   the file counts, and the value doesn't come back after it. *)
let interrupted root () =
  let t = store root "interrupted" in
  let folder = root ^ "/interrupted" in
  List.iter (fun name -> ok "set" (Kv.set t (K.v name) "small")) [ "a"; "b"; "c" ];
  Fs.write_file (folder ^ "/a") "renamed";
  Fs.mkdir (folder ^ "/b");
  Fs.write_file (folder ^ "/b/d") "below";
  let t = reconnect root "interrupted" in
  string "the file" "renamed" (ok "get" (Kv.get t (K.v "a")));
  string "the dictionary" "below" (ok "get" (Kv.get t (K.v "b/d")));
  string "neither" "small" (ok "get" (Kv.get t (K.v "c")));
  int "all" 3 (List.length (ok "list" (Kv.list t K.empty)));
  ok "remove" (Kv.remove t (K.v "a"));
  ok "remove" (Kv.remove t (K.v "b"));
  let t = reconnect root "interrupted" in
  bool "gone" true (Kv.list t K.empty = Ok [ (K.v "c", `Value) ])

(* Values of both kinds change places, in one batch and one by one. *)
let circle root () =
  let t = store root "circle" in
  let names = [ "a"; "b"; "c"; "d/e" ] in
  let value name = if name < "c" then name else String.make 5000 name.[0] in
  List.iter (fun name -> ok "set" (Kv.set t (K.v name) (value name))) names;
  let turn t =
    let move source dest = ok "rename" (Kv.rename t ~source:(K.v source) ~dest:(K.v dest)) in
    move "a" "d/x";
    move "b" "a";
    move "c" "b";
    move "d/e" "c";
    move "d/x" "d/e"
  in
  let rec after turns name =
    if turns = 0 then value name
    else
      let next = match name with "a" -> "b" | "b" -> "c" | "c" -> "d/e" | _ -> "a" in
      after (turns - 1) next
  in
  for turns = 1 to 8 do
    if turns land 1 = 1 then turn t else Kv.batch t turn;
    let check t =
      List.iter (fun name -> string name (after turns name) (ok "get" (Kv.get t (K.v name)))) names;
      int "all" 4 (List.length (ok "list" (Kv.list t K.empty)))
    in
    check t;
    check (reconnect root "circle")
  done

(* Names beyond the limit of memory have files. *)
let limited root () =
  ignore (store root "limited");
  let folder = root ^ "/limited" in
  let connect index = ok "connect" (Kv.connect ~index folder) in
  let t = connect 4096 in
  let key i = K.v (Printf.sprintf "a name %03d" i) in
  for i = 0 to 199 do
    ok "set" (Kv.set t (key i) (string_of_int i))
  done;
  let files = count_files folder in
  bool "both" true (files > 20 && files < 180);
  for i = 0 to 199 do
    string "value" (string_of_int i) (ok "get" (Kv.get t (key i)))
  done;
  int "all" 200 (List.length (ok "list" (Kv.list t K.empty)));
  match Kv.get (connect 1000) (key 0) with
  | Error (`Failed { Soil.Error.code = Too_large; _ }) -> ignore (connect 4096)
  | Ok _ -> Alcotest.fail "within the limit"
  | Error e -> Alcotest.fail (Kv.error_to_string e)

let tests root ~links =
  let test name f = Alcotest.test_case (root ^ ": " ^ name) `Quick (fun () -> Soil.run f) in
  [
    test "basics" (basics root);
    test "leftovers" (leftovers root);
    test "together" (together root);
    test "cancelled" (cancelled root);
    test "tasks" (tasks root);
    test "another volume" (mounted root);
    test "a model" (model root);
    test "small and large values" (mixed root);
    test "cleaning" (cleaning root);
    test "limited memory" (limited root);
    test "hostile files" (hostile root);
    test "long names" (long_names root);
    test "an earlier version's values" (earlier root);
    test "interrupted changes" (interrupted root);
    test "values that change places" (circle root);
  ]
  @
  if links then [ test "no way out" (no_escape root); test "replaced links" (replaced_links root) ]
  else []

let all =
  [ Alcotest.test_case "keys" `Quick keys ]
  @ tests "/data" ~links:false @ tests "/memory" ~links:true @ tests "/host" ~links:true
  @ tests "/ext4" ~links:true
  @ [
      Alcotest.test_case "a full volume" `Quick (fun () -> Soil.run full);
      Alcotest.test_case "short names of FAT" `Quick (fun () -> Soil.run short_names);
      Alcotest.test_case "each prefix of a log" `Quick (fun () -> Soil.run (prefixes "/memory"));
    ]
