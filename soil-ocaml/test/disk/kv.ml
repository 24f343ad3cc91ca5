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

(* A store belongs to the first domain. *)
let another_domain root () =
  let t = store root "domains" in
  ok "set" (Kv.set t (K.v "a") "one");
  let refused f = match f () with _ -> false | exception Invalid_argument _ -> true in
  let others () =
    List.for_all refused
      [
        (fun () -> ignore (Kv.get t (K.v "a")));
        (fun () -> ignore (Kv.set t (K.v "a") "two"));
        (fun () -> ignore (Kv.connect (root ^ "/domains")));
      ]
  in
  Soil.Domain.run ~domains:2 (fun () ->
      T.scope (fun s -> bool "refused" true (T.await (Soil.Domain.spawn ~domain:1 s others))));
  string "as before" "one" (ok "get" (Kv.get t (K.v "a")))

let tests root ~links =
  let test name f = Alcotest.test_case (root ^ ": " ^ name) `Quick (fun () -> Soil.run f) in
  [
    test "basics" (basics root);
    test "leftovers" (leftovers root);
    test "together" (together root);
    test "cancelled" (cancelled root);
    test "tasks" (tasks root);
    test "another volume" (mounted root);
    test "another domain" (another_domain root);
    test "a model" (model root);
  ]
  @
  if links then [ test "no way out" (no_escape root); test "replaced links" (replaced_links root) ]
  else []

let all =
  [ Alcotest.test_case "keys" `Quick keys ]
  @ tests "/data" ~links:false @ tests "/memory" ~links:true @ tests "/host" ~links:true
  @ tests "/ext4" ~links:true
