(* Cases for a file system, on a mounted volume: "ok NAME" for each that passes. Arguments: SCALE, of
   which the sizes of some cases are multiples, or SCALE,CASE,… for some cases; then TYPE:DISK…

   The cases follow Linux's test suites: random changes of one file, directories under stress, names,
   links, renames, a full volume, appends of several tasks, files that are truncated or unlinked
   while open, holes. *)

open Fs_case

(* Names and directories *)

let written_safely p =
  let count = if p.fat then 200 else 1000 in
  let name kind n = p.root // Printf.sprintf "%s%0*d" kind (52 - String.length kind) n in
  for n = 1 to count do
    Fs.write_file (name "tmp" n) (string_of_int n);
    Fs.rename (name "tmp" n) (name "done" n)
  done;
  same "the names"
    (String.concat " " (List.map (fun n -> Filename.basename (name "done" n)) (up_to count)))
    (String.concat " " (names p.root));
  Fs.sync_volume p.root;
  (* The removal of a name is made durable by that name; its directory has to exist. *)
  Fs.write_file (name "gone" 1) "";
  Fs.unlink (name "gone" 1);
  works "a removed name" (fun () -> Fs.sync_volume (name "gone" 1));
  works "its space" (fun () -> ignore (Fs.space (name "gone" 1)));
  fails "no directory" Not_found (fun () -> Fs.sync_volume (name "gone" 1 // "x"));
  for n = 1 to count do
    same "contents" (string_of_int n) (Fs.read_file (name "done" n))
  done;
  (* Over what is there. *)
  let again n = if n mod 5 = 0 then -n else n in
  for n = 1 to count / 5 do
    Fs.write_file (name "tmp" (5 * n)) (string_of_int (-5 * n));
    Fs.rename (name "tmp" (5 * n)) (name "done" (5 * n))
  done;
  number "names" count (List.length (names p.root));
  for n = 1 to count do
    same "contents" (string_of_int (again n)) (Fs.read_file (name "done" n))
  done

let directories_that_grow_and_shrink p =
  let count = 300 * p.scale in
  let name n = p.root // Printf.sprintf "a file with a longer name, number %d" n in
  for round = 1 to 2 do
    List.iter (fun n -> create (name n)) (shuffled (up_to count));
    number "names" count (List.length (names p.root));
    let gone, kept = List.partition (fun n -> n mod (10 * round) <> 0) (up_to count) in
    List.iter (fun n -> Fs.unlink (name n)) (shuffled gone);
    List.iter (fun n -> fails "a name that is gone" Not_found (fun () -> open_at (name n))) gone;
    same "those that stay"
      (String.concat " " (List.sort compare (List.map (fun n -> Filename.basename (name n)) kept)))
      (String.concat " " (names p.root));
    List.iter (fun n -> Fs.unlink (name n)) (shuffled kept);
    number "names" 0 (List.length (names p.root))
  done

(* In one directory, each task with names of its own, and one name that all want. *)
let stressed_directory p =
  let workers = 6 and steps = 25 * p.scale in
  let shared = p.root // "shared" in
  let got = ref 0 in
  let work w =
    let name n = p.root // Printf.sprintf "worker %d, number %d" w n in
    for n = 1 to steps do
      create (name n);
      (match create shared with
      | () ->
          incr got;
          Task.yield ();
          Fs.unlink shared
      | exception Soil.Error { code = Exists; _ } -> Task.yield ());
      if n mod 3 = 0 then Fs.unlink (name n)
      else if n mod 3 = 1 then Fs.rename (name n) (name n ^ " moved")
      else (
        Fs.mkdir (name n ^ " directory");
        Fs.rename (name n) (name n ^ (" directory" // "inside")))
    done
  in
  Task.iter work (up_to workers);
  is "some task has made the shared name" (!got > 0);
  let wanted =
    List.concat_map
      (fun w ->
        List.filter_map
          (fun n ->
            let name = Printf.sprintf "worker %d, number %d" w n in
            match n mod 3 with
            | 0 -> None
            | 1 -> Some (name ^ " moved")
            | _ -> Some (name ^ " directory"))
          (up_to steps))
      (up_to workers)
  in
  same "names" (String.concat ", " (List.sort compare wanted)) (String.concat ", " (names p.root));
  List.iter
    (fun (name, kind) ->
      if kind = Fs.Directory then same name "inside" (String.concat " " (names (p.root // name))))
    (Fs.list p.root)

let listed_while_it_changes p =
  let steady = List.map (Printf.sprintf "steady %03d") (up_to 150) in
  List.iter (fun name -> create (p.root // name)) steady;
  let going = ref true in
  let change () =
    for n = 1 to 60 * p.scale do
      create (p.root // Printf.sprintf "passing %d" n);
      if n > 20 then Fs.unlink (p.root // Printf.sprintf "passing %d" (n - 20));
      if n mod 5 = 0 then Task.yield ()
    done;
    going := false
  in
  let read () =
    let times = ref 0 in
    while !going || !times = 0 do
      incr times;
      let found =
        Fs.with_entries p.root (fun entries ->
            List.of_seq
              (Seq.map
                 (fun (name, _) ->
                   Task.yield ();
                   name)
                 entries))
      in
      let found = List.filter (String.starts_with ~prefix:"steady") found in
      same "each name once" (String.concat " " steady) (String.concat " " (List.sort compare found))
    done
  in
  ignore (Task.both change read)

let names_of_all_lengths p =
  for n = 1 to 255 do
    create (p.root // String.make n 'n')
  done;
  number "names" 255 (List.length (names p.root));
  List.iter
    (fun n -> fails "a longer one" Name_too_long (fun () -> create (p.root // String.make n 'n')))
    [ 256; 300; 1000 ];
  let e = String.concat "" (List.init 127 (fun _ -> "é")) in
  create (p.root // e);
  is "a name in UTF-8" (List.mem e (names p.root));
  for n = 1 to 255 do
    Fs.unlink (p.root // String.make n 'n')
  done;
  same "names" e (String.concat " " (names p.root))

let deep_directories p =
  let depth = 60 in
  let rec go path n =
    if n > 0 then (
      Fs.mkdir (path // "down");
      go (path // "down") (n - 1))
    else path
  in
  let deepest = go p.root depth in
  Fs.write_file (deepest // "file") "deep";
  Fs.mkdir (p.root // "other");
  Fs.rename (p.root // "down" // "down") (p.root // "other" // "moved");
  let rec path at n = if n = 0 then at else path (at // "down") (n - 1) in
  let moved = path (p.root // "other" // "moved") (depth - 2) in
  same "after the move" "deep" (Fs.read_file (moved // "file"));
  same "its directory" (p.root // "other") (Fs.realpath (p.root // "other" // "moved" // ".."));
  fails "into itself" Invalid (fun () -> Fs.rename (p.root // "other") (moved // "x"));
  fails "what isn't empty" Not_empty (fun () -> Fs.rmdir (p.root // "other"))

(* Of all kinds to all kinds. *)
let rename_by_its_rules p =
  let make kind path =
    match kind with
    | `File -> Fs.write_file path (Filename.basename path)
    | `Empty -> Fs.mkdir path
    | `Full ->
        Fs.mkdir path;
        create (path // "inside")
    | `Symlink -> Fs.symlink ~target:"nowhere" path
    | `None -> ()
  in
  let kinds = [ (`File, "file"); (`Empty, "empty"); (`Full, "full"); (`None, "none") ] in
  let kinds = if p.fat then kinds else (`Symlink, "symlink") :: kinds in
  List.iter
    (fun (source, a) ->
      List.iter
        (fun (target, b) ->
          let directory = p.root // (a ^ " to " ^ b) in
          Fs.mkdir directory;
          Fs.mkdir (directory // "other");
          List.iter
            (fun other ->
              let from = directory // "from" in
              let dest = if other then directory // "other" // "to" else directory // "to" in
              make source from;
              make target dest;
              let wanted : Soil.Error.code option =
                match (source, target) with
                | `None, _ -> Some Not_found
                | (`Empty | `Full), (`File | `Symlink) -> Some Not_directory
                | (`Empty | `Full), `Full -> Some Not_empty
                | (`File | `Symlink), (`Empty | `Full) -> Some Is_directory
                | _ -> None
              in
              answers (a ^ " to " ^ b) wanted (fun () -> Fs.rename from dest);
              let there path =
                match Fs.lstat path with
                | _ -> true
                | exception Soil.Error { code = Not_found; _ } -> false
              in
              is "the source" (there from = (wanted <> None && source <> `None));
              is "the target" (there dest = (wanted = None || target <> `None));
              if wanted = None && source = `File then same "contents" "from" (Fs.read_file dest);
              if wanted = None && source = `Full then
                same "inside" "inside" (String.concat "" (names dest));
              let rec remove path =
                if there path then
                  if (Fs.lstat path).kind = Directory then (
                    List.iter (fun n -> remove (path // n)) (names path);
                    Fs.rmdir path)
                  else Fs.unlink path
              in
              remove from;
              remove dest)
            [ false; true ])
        kinds)
    kinds

let renamed_without_replacing p =
  let path name = p.root // name in
  Fs.write_file (path "a") "a";
  Fs.write_file (path "b") "b";
  fails "over a file" Exists (fun () -> Fs.rename ~how:`No_replace (path "a") (path "b"));
  same "what was there" "b" (Fs.read_file (path "b"));
  works "to a free name" (fun () -> Fs.rename ~how:`No_replace (path "a") (path "c"));
  same "names" "b c" (String.concat " " (names p.root));
  let exchange a b () = Fs.rename ~how:`Exchange (path a) (path b) in
  if p.fat then fails "an exchange" Unsupported (exchange "b" "c")
  else (
    works "two files" (exchange "b" "c");
    same "the first" "a" (Fs.read_file (path "b"));
    same "the second" "b" (Fs.read_file (path "c"));
    fails "with nothing" Not_found (exchange "b" "d");
    Fs.mkdir (path "one");
    Fs.mkdir (path "other");
    Fs.mkdir (path "one" // "directory");
    create (path "one" // "directory" // "inside");
    works "a directory and a file of another one" (exchange "one/directory" "c");
    same "the file" "b" (Fs.read_file (path "one" // "directory"));
    same "the directory" "inside" (String.concat " " (names (path "c")));
    same "its parent" p.root (Fs.realpath (path "c" // ".."));
    works "directories of two" (exchange "one" "c");
    same "inside" "inside" (String.concat " " (names (path "one")));
    fails "with what is in it" Invalid (exchange "c" "c/directory"))

let many_links p =
  let count = 100 * p.scale in
  let file = p.root // "file" in
  Fs.write_file file "linked";
  if p.fat then fails "a link" Unsupported (fun () -> Fs.link file (p.root // "second"))
  else (
    Fs.mkdir (p.root // "other");
    let name n =
      (if n mod 2 = 0 then p.root // "other" else p.root) // Printf.sprintf "name %d" n
    in
    for n = 1 to count do
      Fs.link file (name n);
      number "names" (n + 1) (links file)
    done;
    fails "a name that is there" Exists (fun () -> Fs.link file (name 1));
    Fs.unlink file;
    works "one name over another of the same file" (fun () -> Fs.rename (name 1) (name 2));
    number "both stay" count (links (name 1));
    Fs.append_file (name 3) ", and more";
    List.iteri
      (fun gone n ->
        number "names" (count - gone) (links (name n));
        same "contents" "linked, and more" (Fs.read_file (name n));
        Fs.unlink (name n))
      (shuffled (up_to count)))

let symbolic_links p =
  if p.fat then fails "a link" Unsupported (fun () -> Fs.symlink ~target:"x" (p.root // "link"))
  else
    let link name target = Fs.symlink ~target (p.root // name) in
    List.iter
      (fun n ->
        let target = String.make n 't' in
        link (string_of_int n) target;
        same "what it says" target (Fs.readlink (p.root // string_of_int n));
        number "its length" n (size (p.root // string_of_int n)))
      [ 1; 59; 60; 61; 255; 1000 ];
    link "a" "b";
    link "b" "a";
    fails "in a circle" Too_many_links (fun () -> open_at (p.root // "a"));
    Fs.mkdir (p.root // "directory");
    link "to it" "directory";
    Fs.write_file (p.root // "to it" // "file") "over the link";
    same "contents" "over the link" (Fs.read_file (p.root // "directory" // "file"));
    fails "a directory by its link" Not_directory (fun () -> Fs.rmdir (p.root // "to it"));
    fails "a new file where a link is" Exists (fun () -> create (p.root // "a"))

let names_that_open_files_lose p =
  let path = p.root // "file" in
  Fs.write_file path (pattern 3 100_000);
  let d = Fs.open_ ~mode:Write path in
  if p.fat then (
    fails "removing it" Busy (fun () -> Fs.unlink path);
    Fs.write_file (p.root // "other") "";
    fails "replacing it" Busy (fun () -> Fs.rename (p.root // "other") path);
    D.close d;
    works "once it is closed" (fun () -> Fs.unlink path))
  else (
    Fs.sync_volume p.root;
    let { Fs.free; _ } : Fs.space = Fs.space p.root in
    Fs.unlink path;
    fails "the name" Not_found (fun () -> open_at path);
    number "names" 0 (Fs.stat_file d).links;
    same "contents" (pattern 3 100_000) (pread d 0 200_000);
    pwrite d 150_000 "more";
    same "more" "more" (pread d 150_000 10);
    Fs.sync d;
    Fs.write_file path "another file";
    same "the old one" (pattern 3 100) (pread d 0 100);
    D.close d;
    Fs.sync_volume p.root;
    let { Fs.free = after; _ } : Fs.space = Fs.space p.root in
    is (Printf.sprintf "its room comes back: %d free, then %d" free after) (after >= free + 80_000);
    let d = Fs.open_ path in
    Fs.write_file (p.root // "new") "a new file";
    Fs.rename (p.root // "new") path;
    same "what was replaced" "another file" (pread d 0 100);
    same "what replaced it" "a new file" (Fs.read_file path);
    D.close d)

(* Room *)

let room_that_ends p =
  let block = pattern 4 100_000 in
  let name n = p.root // string_of_int n in
  Fs.sync_volume p.root;
  let { Fs.free; _ } : Fs.space = Fs.space p.root in
  let fill () =
    let rec go n =
      match Fs.write_file (name n) block with
      | () -> go (n + 1)
      | exception Soil.Error { code = No_space; _ } -> n
    in
    go 1
  in
  for round = 1 to 2 do
    let last = fill () in
    is
      (Printf.sprintf "%d files on %d bytes" last free)
      (last * 100_000 > free * 3 / 4 && (last - 1) * 100_000 <= free);
    (if Fs.exists (name last) then
       let part = Fs.read_file (name last) in
       same "the beginning of the last" (String.sub block 0 (String.length part)) part);
    for n = 1 to last - 1 do
      same "a file" block (Fs.read_file (name n))
    done;
    (* Every change that needs no new blocks succeeds. *)
    Fs.with_file ~mode:Write (name 1) (fun d ->
        pwrite d 5000 "in place";
        Fs.sync d);
    same "in place" "in place" (String.sub (Fs.read_file (name 1)) 5000 8);
    Fs.rename (name 2) (name 1);
    for n = 1 to last do
      if Fs.exists (name n) then Fs.unlink (name n)
    done;
    Fs.sync_volume p.root;
    let { Fs.free = after; _ } : Fs.space = Fs.space p.root in
    is (Printf.sprintf "round %d: %d free, then %d" round free after) (after >= free - 100_000)
  done

let mounted_again source p =
  let point = Filename.dirname p.root in
  Fs.write_file (p.root // "kept") "kept";
  let d = Fs.open_ (p.root // "kept") in
  fails "while a file is open" Busy (fun () -> Fs.unmount point);
  D.close d;
  Fs.unmount point;
  Fs.mount source point;
  same "mounted again" "kept" (Fs.read_file (p.root // "kept"))

let cases source =
  [
    ("one-file-at-random", Fs_file_cases.one_file_at_random);
    ("gaps-of-single-blocks-are-cut", Fs_file_cases.gaps_of_single_blocks_are_cut);
    ("written-backwards", Fs_file_cases.written_backwards);
    ("holes-are-zeros", Fs_file_cases.holes_are_zeros);
    ("holes-are-found-and-made", Fs_file_cases.holes_are_found_and_made);
    ("room-taken-ahead", Fs_file_cases.room_taken_ahead);
    ("cut-while-it-is-read", Fs_file_cases.cut_while_it_is_read);
    ("appends-of-several-tasks", Fs_file_cases.appends_of_several_tasks);
    ("written-safely", written_safely);
    ("directories-that-grow-and-shrink", directories_that_grow_and_shrink);
    ("stressed-directory", stressed_directory);
    ("listed-while-it-changes", listed_while_it_changes);
    ("names-of-all-lengths", names_of_all_lengths);
    ("deep-directories", deep_directories);
    ("rename-by-its-rules", rename_by_its_rules);
    ("renamed-without-replacing", renamed_without_replacing);
    ("many-links", many_links);
    ("symbolic-links", symbolic_links);
    ("names-that-open-files-lose", names_that_open_files_lose);
    ("room-that-ends", room_that_ends);
    ("mounted-again", mounted_again source);
  ]

let () =
  match Array.to_list Sys.argv with
  | _ :: words :: (_ :: _ as sources) ->
      let words = String.split_on_char ',' words in
      let scale = int_of_string (List.hd words) and chosen = List.tl words in
      let failed = ref false in
      let volume source =
        let disk = List.nth (String.split_on_char ':' source) 1 in
        let point = "/" ^ disk in
        Fs.mount source point;
        let fat = String.starts_with ~prefix:"fat" source in
        let case (name, run) =
          let root = point // name in
          let report text =
            failed := true;
            Printf.printf "wrong %s %s: %s\n%!" disk name text
          in
          match
            Fs.mkdir root;
            run { root; fat; scale }
          with
          | () -> Printf.printf "ok %s %s\n%!" disk name
          | exception Wrong text -> report text
          | exception Soil.Error e -> report (Soil.Error.to_string e)
        in
        let wanted (name, _) = chosen = [] || List.mem name chosen in
        List.iter case (List.filter wanted (cases source));
        (match Fs.volume point with
        | { health = Writable; _ } -> ()
        | _ ->
            failed := true;
            Printf.printf "wrong %s: not writable any more\n%!" disk);
        Fs.unmount point
      in
      Soil.run (fun () -> List.iter volume sources);
      exit (if !failed then 1 else 0)
  | _ -> failwith "SCALE TYPE:DISK…"
