(* Cases for a file system, on a mounted volume: "ok NAME" for each that passes. Arguments: SCALE, of
   which the sizes of some cases are multiples, or SCALE,CASE,… for some cases; then TYPE:DISK…

   The cases follow Linux's test suites: random changes of one file, directories under stress, names,
   links, renames, a full volume, appends of several tasks, files that are truncated or unlinked
   while open, holes. *)

module D = Soil.File_descriptor
module Fs = Soil.Fs
module Task = Soil.Task

type place = { root : string; fat : bool; scale : int }

exception Wrong of string

let wrong format = Printf.ksprintf (fun text -> raise (Wrong text)) format
let ( // ) a b = a ^ "/" ^ b
let is what condition = if not condition then wrong "%s" what

let equal what show wanted found =
  if wanted <> found then wrong "%s: %s, should be %s" what (show found) (show wanted)

let text s =
  if String.length s < 60 then Printf.sprintf "%S" s
  else Printf.sprintf "%d bytes %S…" (String.length s) (String.sub s 0 20)

let same what wanted found = equal what text wanted found
let number what wanted found = equal what string_of_int wanted found

(* The file system's answer, "done" if it did it. *)
let answer call =
  match call () with () -> "done" | exception Soil.Error { code; _ } -> Soil.Error.message code

let answers what code call =
  same what (match code with Some code -> Soil.Error.message code | None -> "done") (answer call)

let names path = List.map fst (Fs.list path)
let create path = D.close (Fs.open_ ~mode:Create path)
let fails what code call = answers what (Some code) call
let works what call = answers what None call
let open_at path = D.close (Fs.open_ path)
let links path = (Fs.lstat path).links
let size path = (Fs.lstat path).size

let pattern n len =
  String.init len (fun i -> Char.unsafe_chr (((n * 131) + (i * 7) + (i lsr 8)) land 255))

let pwrite d position s = Fs.pwrite d ~position (Bytes.unsafe_of_string s) 0 (String.length s)

let pread d position len =
  let b = Bytes.create len in
  Bytes.sub_string b 0 (Fs.pread d ~position b 0 len)

(* [Random.State] is the same in both forms. *)
let random = Random.State.make [| 20 |]
let below n = Random.State.int random n

let shuffled list =
  List.map snd (List.sort compare (List.map (fun x -> (Random.State.bits random, x)) list))

let rec up_to ?(from = 1) n = if from > n then [] else from :: up_to ~from:(from + 1) n

(* One file *)

let one_file_at_random p =
  let path = p.root // "file" in
  let model = ref (Bytes.create 0) in
  let resize n =
    let b = Bytes.make n '\000' in
    Bytes.blit !model 0 b 0 (min n (Bytes.length !model));
    model := b
  in
  let a = ref (Fs.open_ ~mode:Create path) in
  let b = Fs.open_ ~flags:[ `Read; `Write ] path in
  let most = 200_000 in
  for n = 1 to 150 * p.scale do
    let d = if below 2 = 0 then !a else b in
    let size = Bytes.length !model in
    match below 8 with
    | 0 ->
        let n = below most in
        Fs.truncate d n;
        resize n
    | 1 | 2 | 3 ->
        let at = below most in
        let data = pattern n (1 + below (min 60_000 (most - at))) in
        pwrite d at data;
        if at + String.length data > size then resize (at + String.length data);
        Bytes.blit_string data 0 !model at (String.length data)
    | 4 -> Fs.sync d
    | 5 ->
        D.close !a;
        a := Fs.open_ ~flags:[ `Read; `Write ] path
    | _ ->
        let at = below most and len = below 60_000 in
        let n = max 0 (min len (size - at)) in
        same
          (Printf.sprintf "step %d: %d bytes at %d" n len at)
          (if n = 0 then "" else Bytes.sub_string !model at n)
          (pread d at len)
  done;
  D.close !a;
  D.close b;
  same "the whole file" (Bytes.to_string !model) (Fs.read_file path)

let gaps_of_single_blocks_are_cut p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "gaps" in
  let count = if p.fat then 100 else 700 in
  Fs.with_file ~mode:Create path (fun d ->
      for n = 0 to count - 1 do
        pwrite d (2 * n * block) (pattern n block)
      done;
      Fs.sync d;
      let check_up_to last =
        for n = 0 to last - 1 do
          same "a block" (pattern n block) (pread d (2 * n * block) block);
          if n < last - 1 then
            same "a gap" (String.make block '\000') (pread d (((2 * n) + 1) * block) block)
        done
      in
      check_up_to count;
      List.iter
        (fun n ->
          Fs.truncate d (2 * n * block);
          number "size" (2 * n * block) (Fs.size d);
          check_up_to n;
          Fs.sync d)
        [ count * 3 / 4; count / 2; 5; 1; 0 ];
      pwrite d 0 "again");
  same "at last" "again" (Fs.read_file path)

let written_backwards p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "backwards" in
  let count = if p.fat then 100 else 700 in
  Fs.with_file ~mode:Create path (fun d ->
      (* Every other block, so that none is part of its neighbour's extent; then those between. *)
      List.iter
        (fun odd ->
          for n = count - 1 downto 0 do
            pwrite d (((2 * n) + odd) * block) (pattern ((2 * n) + odd) block)
          done;
          Fs.sync d)
        [ 1; 0 ]);
  Fs.with_file path (fun d ->
      for n = 0 to (2 * count) - 1 do
        same "a block" (pattern n block) (pread d (n * block) block)
      done)

let holes_are_zeros p =
  let path = p.root // "holes" in
  Fs.write_file path (pattern 1 5000);
  Fs.with_file ~mode:Write path (fun d ->
      Fs.truncate d 1000;
      Fs.truncate d 300_000;
      same "what was cut comes back as zeros" (String.make 4000 '\000') (pread d 1000 4000);
      pwrite d 200_001 "x";
      same "before the byte" (String.make 100 '\000') (pread d 199_901 100);
      same "behind it" (String.make 100 '\000') (pread d 200_002 100);
      number "size" 300_000 (Fs.size d))

let holes_are_found_and_made p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "found" in
  Fs.with_file ~mode:Create path (fun d ->
      pwrite d (10 * block) (pattern 5 block);
      pwrite d (20 * block) (pattern 6 block);
      let place = function None -> -1 | Some n -> n / block in
      let data from = place (Soil.File.next_data d (from * block)) in
      let hole from = place (Soil.File.next_hole d (from * block)) in
      let places l = String.concat " " (List.map string_of_int l) in
      let seen () = places [ data 0; hole 10; data 11; hole 20; data 21 ] in
      if p.fat then (
        same "all is data" "0 21 11 21 -1" (seen ());
        fails "a hole" Unsupported (fun () -> Soil.File.punch_hole d ~position:0 block))
      else (
        same "data and holes" "10 11 20 21 -1" (seen ());
        Fs.sync d;
        same "once they are on the disk" "10 11 20 21 -1" (seen ());
        Soil.File.punch_hole d ~position:((10 * block) + 5) ((10 * block) - 5);
        same "of what was punched, the bytes before"
          (String.sub (pattern 5 block) 0 5)
          (pread d (10 * block) 5);
        same "the bytes behind"
          (String.make (block - 5) '\000')
          (pread d ((10 * block) + 5) (block - 5));
        Soil.File.punch_hole d ~position:(10 * block) block;
        same "one hole" "20 10 20 21 -1" (seen ());
        number "size" (21 * block) (Fs.size d)))

(* Allocated ranges can be written on a full volume. *)
let room_taken_ahead p =
  let name n = p.root // n in
  let block = pattern 7 50_000 in
  Fs.with_file ~mode:Create (name "ahead") (fun d ->
      Soil.File.allocate d ~position:0 400_000;
      number "size" 400_000 (Fs.size d);
      same "zeros" (String.make 50_000 '\000') (pread d 100_000 50_000);
      let rec fill n =
        match Fs.write_file (name (string_of_int n)) block with
        | () -> fill (n + 1)
        | exception Soil.Error { code = No_space; _ } -> n
      in
      let last = fill 1 in
      for n = 0 to 7 do
        pwrite d (n * 50_000) block
      done;
      Fs.sync d;
      for n = 0 to 7 do
        same "what was written" block (pread d (n * 50_000) 50_000)
      done;
      for n = 1 to last do
        let path = name (string_of_int n) in
        if Fs.exists path then Fs.unlink path
      done)

let cut_while_it_is_read p =
  let path = p.root // "cut" in
  let data = pattern 2 150_000 in
  Fs.write_file path data;
  let reader = Fs.open_ path and writer = Fs.open_ ~mode:Write path in
  same "before" (String.sub data 100_000 100) (pread reader 100_000 100);
  Fs.truncate writer 50_000;
  same "behind the end" "" (pread reader 100_000 100);
  number "size by the other descriptor" 50_000 (Fs.size reader);
  pwrite writer 120_000 "end";
  same "between" (String.make 70_000 '\000') (pread reader 50_000 70_000);
  same "the end" "end" (pread reader 120_000 100);
  Task.both
    (fun () ->
      for n = 1 to 40 do
        Fs.truncate writer (n * 1000);
        Task.yield ();
        pwrite writer (n * 1000) (String.make 2000 'w')
      done)
    (fun () ->
      for _ = 1 to 80 do
        let found = pread reader 0 130_000 in
        String.iteri
          (fun i c ->
            if not (c = data.[i] || c = 'w' || c = '\000') then wrong "a foreign byte at %d" i)
          (String.sub found 0 (min 50_000 (String.length found)));
        Task.yield ()
      done)
  |> ignore;
  number "at last" 42_000 (Fs.size reader);
  D.close reader;
  D.close writer

(* Appends of eight tasks to one file, the first [own] of them each with a descriptor of its own, the
   others with a shared one; [large] bytes are the most in a call. Each record is whole. *)
let appends p path ~own ~large =
  let writers = 8 and each = 10 * p.scale in
  let record w n =
    let len =
      20 + (((w * 7919) + (n * 104_729)) mod if n mod 10 = 0 then large / p.scale else 3000)
    in
    Printf.sprintf "[%d %d %d]" w n len ^ String.make len (Char.chr (97 + w))
  in
  create path;
  let work d w =
    for n = 1 to each do
      D.write_string d (record w n);
      if n mod 7 = 0 then Fs.sync d
    done
  in
  Fs.with_file ~mode:Append path (fun shared ->
      Task.iter
        (fun w ->
          if w < own then Fs.with_file ~mode:Append path (fun d -> work d w) else work shared w)
        (List.init writers Fun.id));
  let all = Fs.read_file ~max:max_int path in
  let next = Array.make writers 1 in
  let rec go at =
    if at < String.length all then
      match
        Scanf.sscanf_opt
          (String.sub all at (min 40 (String.length all - at)))
          "[%d %d %d]"
          (fun w n _ -> (w, n))
      with
      | Some (w, n) when w < writers && n = next.(w) ->
          let wanted = record w n in
          let len = String.length wanted in
          is "a record is cut off" (at + len <= String.length all);
          same (Printf.sprintf "record %d of task %d" n w) wanted (String.sub all at len);
          next.(w) <- n + 1;
          go (at + len)
      | _ -> wrong "no record at %d" at
  in
  go 0;
  Array.iteri (fun w n -> number (Printf.sprintf "records of task %d" w) each (n - 1)) next

(* Between several descriptors calls of up to 64 KiB are whole; on one descriptor all are. *)
let appends_of_several_tasks p =
  appends p (p.root // "log") ~own:4 ~large:60_000;
  appends p (p.root // "shared") ~own:0 ~large:200_000

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
  let look () =
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
  ignore (Task.both change look)

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
    ("one-file-at-random", one_file_at_random);
    ("gaps-of-single-blocks-are-cut", gaps_of_single_blocks_are_cut);
    ("written-backwards", written_backwards);
    ("holes-are-zeros", holes_are_zeros);
    ("holes-are-found-and-made", holes_are_found_and_made);
    ("room-taken-ahead", room_taken_ahead);
    ("cut-while-it-is-read", cut_while_it_is_read);
    ("appends-of-several-tasks", appends_of_several_tasks);
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
