(* What mirage-kv's signatures say, for every implementation. *)

module Key = Mirage_kv.Key

let ( let* ) = Lwt.bind
let string = Alcotest.(check string)

(* Results as text: the keys of errors count, too. *)
let show pp pp_error = function
  | Ok v -> Fmt.str "%a" pp v
  | Error e -> Fmt.str "error: %a" pp_error e

let unit = Fmt.any "done"
let key = Key.v
let kind f k = Fmt.string f (match k with `Value -> "value" | `Dictionary -> "dictionary")
let size = Fmt.using Optint.Int63.to_int Fmt.int

(* A store with a dictionary, as [fill] of {!Write} makes it. *)
module Read (S : Mirage_kv.RO) = struct
  let say pp p = Lwt.map (show pp S.pp_error) p
  let get t k = say Fmt.string (S.get t (key k))
  let exists t k = say (Fmt.option ~none:(Fmt.any "nothing") kind) (S.exists t (key k))

  let part t k offset length =
    say Fmt.Dump.string (S.get_partial t (key k) ~offset:(Optint.Int63.of_int offset) ~length)

  let list t k =
    let entry = Fmt.pair ~sep:(Fmt.any " ") Key.pp kind in
    say (Fmt.list ~sep:Fmt.comma entry) (S.list t (key k))

  let is_recent t k =
    let* time = S.last_modified t (key k) in
    match time with
    | Error e -> Lwt.return (Fmt.str "error: %a" S.pp_error e)
    | Ok time ->
        let age = Float.abs (Ptime.to_float_s time -. Soil.Clock.now ()) in
        Lwt.return (if age < 600. then "recent" else Ptime.to_rfc3339 time)

  let laws t =
    let expect what expected p = Lwt.map (string what expected) p in
    let* () = expect "a value" "1" (get t "/a") in
    let* () = expect "deeper" "two" (get t "d/e/b") in
    let* () = expect "a dictionary's" "error: Expecting a value for the key /d" (get t "/d") in
    let* () = expect "none" "error: Cannot find the key /x" (get t "/x") in
    let* () = expect "exists" "value" (exists t "/a") in
    let* () = expect "exists, a dictionary" "dictionary" (exists t "/d") in
    let* () = expect "exists, the root" "dictionary" (exists t "/") in
    let* () = expect "exists not" "nothing" (exists t "/d/x") in
    let* () = expect "a part" {|"wo"|} (part t "/d/e/b" 1 9) in
    let* () = expect "a part within" {|"w"|} (part t "/d/e/b" 1 1) in
    let* () = expect "at the end" {|""|} (part t "/d/e/b" 3 1) in
    let* () = expect "behind it" {|""|} (part t "/d/e/b" 4 1) in
    let* () = expect "list" "/a value,\n/d dictionary" (list t "/") in
    let* () = expect "list below" "/d/e dictionary" (list t "/d") in
    let* () = expect "list a value" "error: Expecting a dictionary for the key /a" (list t "/a") in
    let* () = expect "list none" "error: Cannot find the key /x" (list t "/x") in
    let* () = expect "size" "3" (say size (S.size t (key "/d/e/b"))) in
    let* () = expect "time" "recent" (is_recent t "/a") in
    let* () = expect "no time" "error: Cannot find the key /x" (is_recent t "/x") in
    let* a = say Fmt.Dump.string (S.digest t (key "/a")) in
    let* again = say Fmt.Dump.string (S.digest t (key "/a")) in
    let* b = say Fmt.Dump.string (S.digest t (key "/d/e/b")) in
    string "digest" a again;
    Alcotest.(check bool) "of another" false (a = b);
    S.disconnect t
end

module Write (S : Mirage_kv.RW) = struct
  module R = Read (S)

  let say p = Lwt.map (show unit S.pp_write_error) p
  let set t k v = say (S.set t (key k) v)
  let remove t k = say (S.remove t (key k))
  let rename t source dest = say (S.rename t ~source:(key source) ~dest:(key dest))
  let partial t k offset v = say (S.set_partial t (key k) ~offset:(Optint.Int63.of_int offset) v)
  let allocate t k n = say (S.allocate t (key k) (Optint.Int63.of_int n))

  let fill t =
    let* a = set t "/a" "1" in
    let* b = set t "d/e/b" "two" in
    string "set" "done done" (a ^ " " ^ b);
    Lwt.return_unit

  let laws t =
    let expect what expected p = Lwt.map (string what expected) p in
    let* () = fill t in
    let* () = R.laws t in
    let* () = expect "replaces" "done" (set t "/a" "one") in
    let* () = expect "replaced" "one" (R.get t "/a") in
    (* Which key the error names differs. *)
    let* below = S.set t (key "/a/b") "" in
    (match below with
    | Error (`Dictionary_expected _) -> ()
    | other -> Alcotest.fail ("below a value: " ^ show unit S.pp_write_error other));
    (* Parts *)
    let* () = expect "in the middle" "done" (partial t "/a" 1 "N") in
    let* () = expect "is there" "oNe" (R.get t "/a") in
    let* () = expect "over the end" "done" (partial t "/a" 2 "EZ") in
    let* () = expect "longer" "oNEZ" (R.get t "/a") in
    let* () = expect "behind the end" "done" (partial t "/a" 9 "+") in
    let* () = expect "appended" "oNEZ+" (R.get t "/a") in
    let* () = expect "of none" "done" (partial t "/p/q" 3 "new") in
    let* () = expect "created" "new" (R.get t "/p/q") in
    let* () =
      expect "of a dictionary" "error: Expecting a value for the key /d" (partial t "/d" 0 "x")
    in
    (* Space *)
    let* () = expect "allocate" "done" (allocate t "/z" 3) in
    let* () = expect "zeros" {|"\000\000\000"|} (R.part t "/z" 0 9) in
    let* () = expect "twice" "error: Key /z is already present" (allocate t "/z" 3) in
    (* Removal *)
    let* () = expect "remove" "done" (remove t "/z") in
    let* () = expect "is gone" "nothing" (R.exists t "/z") in
    let* () = expect "again" "done" (remove t "/z") in
    let* () = expect "a dictionary" "done" (remove t "/p") in
    let* () = expect "is gone, too" "nothing" (R.exists t "/p/q") in
    (* Names *)
    let* () = expect "rename" "done" (rename t "/a" "/v") in
    let* () = expect "at its name" "oNEZ+" (R.get t "/v") in
    let* () = expect "not at the old" "nothing" (R.exists t "/a") in
    let* () =
      expect "over a value" "done"
        (let* _ = set t "/w" "w" in
         rename t "/v" "/w")
    in
    let* () = expect "replaced" "oNEZ+" (R.get t "/w") in
    let* () = expect "into a dictionary" "done" (rename t "/w" "/d") in
    let* () = expect "inside" "oNEZ+" (R.get t "/d/w") in
    let* () = expect "of a dictionary" "done" (rename t "/d" "/f") in
    let* () = expect "with all" "two" (R.get t "/f/e/b") in
    let* () = expect "of none" "error: Cannot find the key /none" (rename t "/none" "/f") in
    let* () =
      let* _ = set t "/v" "v" in
      expect "a dictionary over a value" "error: Expecting a value for the key /f"
        (rename t "/f" "/v")
    in
    let* () =
      let* _ = set t "/g/h" "h" in
      expect "a dictionary into one" "done" (rename t "/g" "/f")
    in
    let* () = expect "inside" "h" (R.get t "/f/g/h") in
    let* () =
      expect "into itself" "error: Rename: source /f is prefix of destination /f/e"
        (rename t "/f" "/f/e")
    in
    expect "the root" "/f dictionary,\n/v value" (R.list t "/")
end
