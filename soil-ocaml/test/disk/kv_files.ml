(* The files of Soil.Kv: logs of small values, a file for each large one. *)
open Kv

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

let tests root =
  let test name f = Alcotest.test_case (root ^ ": " ^ name) `Quick (fun () -> Soil.run f) in
  [
    test "small and large values" (mixed root);
    test "cleaning" (cleaning root);
    test "limited memory" (limited root);
    test "hostile files" (hostile root);
    test "long names" (long_names root);
    test "an earlier version's values" (earlier root);
    test "interrupted changes" (interrupted root);
    test "values that change places" (circle root);
  ]

let all =
  List.concat_map tests [ "/data"; "/memory"; "/host"; "/ext4" ]
  @ [
      Alcotest.test_case "a full volume" `Quick (fun () -> Soil.run full);
      Alcotest.test_case "short names of FAT" `Quick (fun () -> Soil.run short_names);
      Alcotest.test_case "each prefix of a log" `Quick (fun () -> Soil.run (prefixes "/memory"));
    ]
