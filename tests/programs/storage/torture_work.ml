(* The random operations of a task, each done on the volume and on its model. *)

open Torture_model
module D = Soil.File_descriptor
module Fs = Soil.Fs
module Task = Soil.Task
module Model = Tree_model
module Names = Model.Names

type outcome = Done | Stopped | Failed of Soil.Error.code

(* Most are left alone, some are cancelled on the way, and may have been done. *)
let attempt ?(stoppable = true) t call =
  incr operations;
  t.step <- t.step + 1;
  let call () =
    try
      call ();
      Done
    with Soil.Error { code; _ } -> Failed code
  in
  let outcome =
    match if stoppable then below t 24 else 2 + below t 22 with
    | 0 -> (
        match Task.timeout_opt (choose t [ 0.; 1e-5; 1e-4; 1e-3 ]) call with
        | Some outcome -> outcome
        | None -> Stopped)
    | 1 ->
        let wait () =
          for _ = 1 to below t 4 do
            Task.yield ()
          done;
          Stopped
        in
        Task.first [ call; wait ]
    | 2 ->
        Task.yield ();
        call ()
    | _ -> call ()
  in
  if outcome = Stopped then t.stopped <- t.stopped + 1;
  outcome

(* A volume without room is none to complain about while one task fills it. *)
let may_be_full t filled = t.volume.filling || t.volume.filled > filled
let name_of code = Soil.Error.message code

(* [call] makes of the tree what [wanted] is, or fails with one of these codes and leaves all as it
   was. Of [names] the disk is asked where it isn't clear what was done. *)
let perform ?stoppable t doing names call wanted =
  t.doing <- doing ^ String.concat "" (List.map (fun names -> " " ^ path_of t names) names);
  let filled = t.volume.filled in
  match (attempt ?stoppable t call, wanted) with
  | Done, Ok model ->
      t.model <- model;
      List.iter (check_name t) names
  | Failed code, Error codes when List.mem code codes -> ()
  | Stopped, Error _ -> List.iter (check_name t) names
  | Failed No_space, _ when may_be_full t filled -> List.iter (check_name t) names
  | Stopped, Ok model ->
      let differences model = List.filter_map (difference t model) names in
      if differences model = [] then t.model <- model
      else if differences t.model <> [] then
        mismatch t "cancelled, neither done nor undone: %s; %s"
          (String.concat ", " (differences model))
          (String.concat ", " (differences t.model))
  | Done, Error codes ->
      mismatch t "done, should fail: %s" (String.concat ", " (List.map name_of codes))
  | Failed code, Ok _ -> mismatch t "%s, should be done" (name_of code)
  | Failed code, Error codes ->
      mismatch t "%s, should be: %s" (name_of code) (String.concat ", " (List.map name_of codes))

(* Contents are written in order: what was stopped, or has no room, is there up to some byte. *)
let write t d number position data call =
  t.doing <- Printf.sprintf "write %d bytes at %d of %s" (String.length data) position (D.name d);
  let filled = t.volume.filled in
  let before = Model.contents t.model number in
  let outcome = attempt t call in
  let size = Fs.size d in
  let length =
    match outcome with
    | Done -> String.length data
    | Failed code when not (code = No_space && may_be_full t filled) ->
        mismatch t "%s" (name_of code)
    | _ when size > before.size -> size - position
    | _ ->
        let found = bytes_of d ~position (String.length data) in
        let n = min (String.length found) (String.length data) in
        let rec first i = if i < n && found.[i] = data.[i] then first (i + 1) else i in
        first 0
  in
  let length = max 0 (min length (String.length data)) in
  let after = Model.write before position (String.sub data 0 length) in
  (* Room for what lies between the end and [position] may be all that FAT had. *)
  let after =
    if t.volume.fat && length = 0 then Model.truncate after (max size before.size) else after
  in
  t.model <- Model.set_contents t.model number after;
  if size <> after.size then
    mismatch t "%d bytes, should be %d (%d before)" size after.size before.size;
  let around = max 0 (position - 10) in
  let len = String.length data + 20 in
  same_bytes t "written" (Model.read after around len) (bytes_of d ~position:around len)

(* A range of a file becomes [after]: room is given or taken. Cancelled on the way, any part of it
   is as it was. *)
let range t d number doing position len call (after : Model.contents) =
  t.doing <- Printf.sprintf "%s %d bytes at %d of %s" doing len position (D.name d);
  let filled = t.volume.filled in
  let before = Model.contents t.model number in
  let now =
    match attempt t call with
    | Done -> after
    | Failed No_space when may_be_full t filled -> before
    | Failed code -> mismatch t "%s" (name_of code)
    | Stopped ->
        let size = Fs.size d in
        if size <> before.size && size <> after.size then mismatch t "cancelled: %d bytes" size;
        let old = Model.read (Model.truncate before size) position len in
        let found = bytes_of d ~position len in
        let is_right i c = c = old.[i] || c = '\000' in
        if String.length found <> String.length old then mismatch t "cancelled: short";
        String.iteri (fun i c -> if not (is_right i c) then mismatch t "cancelled: byte %d" i) found;
        Model.write (Model.truncate before size) position found
  in
  t.model <- Model.set_contents t.model number now;
  if Fs.size d <> now.size then mismatch t "%d bytes, should be %d" (Fs.size d) now.size;
  let around = max 0 (position - 10) in
  same_bytes t doing (Model.read now around (len + 20)) (bytes_of d ~position:around (len + 20))

(* Where the file system says that nothing is, there are zeros. *)
let holes t d number =
  let c = Model.contents t.model number in
  let position = below t (c.size + 1) in
  t.doing <- Printf.sprintf "data from %d of %s" position (D.name d);
  let until, what =
    match Soil.File.next_data d position with
    | Some data -> (data, "before data")
    | None -> (c.size, "to the end")
  in
  if until < position || until > c.size then mismatch t "data at %d of %d" until c.size;
  same_bytes t what
    (Model.read c position (until - position))
    (String.make (until - position) '\000');
  match Soil.File.next_hole d position with
  | Some hole when hole >= position && hole <= c.size && position < c.size -> ()
  | None when position = c.size -> ()
  | _ -> mismatch t "a hole outside"

let work_on_range t d number =
  let c = Model.contents t.model number in
  let position = below t (c.size + 1) in
  let len = 1 + below t 40_000 in
  let range = range t d number in
  match below t 4 with
  | 0 when not t.volume.fat ->
      range "punch" position len
        (fun () -> Soil.File.punch_hole d ~position len)
        (Model.zero c position len)
  | 1 when not t.volume.fat ->
      range "zero" position len
        (fun () -> Soil.File.zero_range d ~position len)
        (Model.write c position (String.make len '\000'))
  | 2 when not t.volume.fat ->
      range "allocate beside" position len
        (fun () -> Soil.File.allocate ~keep_size:true d ~position len)
        c
  | 3 ->
      let size = max c.size (position + len) in
      range "allocate" position len
        (fun () -> Soil.File.allocate d ~position len)
        (Model.truncate c size)
  | _ -> holes t d number

(* Choice of names, files and data *)

let letters = "abcdefghijklmnopqrstuvwxyz0123456789"
let word t n = String.init n (fun _ -> letters.[below t (String.length letters)])

let new_name t =
  match below t 8 with
  | 0 ->
      Printf.sprintf "%d%s" (below t 1000)
        (String.concat "" (List.init (below t 60) (fun _ -> "é")))
  | 1 -> word t (200 + below t 50)
  | 2 | 3 -> Printf.sprintf "%x" (below t 400)
  | 4 -> word t 8 ^ "." ^ word t 3
  | _ -> Printf.sprintf "a name of fifty-two characters, more or less%08d" (below t 100000)

(* A random directory, mostly one that isn't deep. *)
let directory t =
  let rec go names entries depth =
    let inside =
      Names.fold
        (fun name node l -> match node with Model.Directory e -> (name, e) :: l | _ -> l)
        entries []
    in
    if inside = [] || depth = 4 || one_in t 3 then names
    else
      let name, entries = choose t inside in
      go (names @ [ name ]) entries (depth + 1)
  in
  go [] t.model.root 0

let free_name t =
  let directory = directory t in
  let rec go () =
    let names = directory @ [ new_name t ] in
    if Model.find t.model names = None then names else go ()
  in
  go ()

(* A random entry of this kind, if the directory that was chosen has one. *)
let entry t wanted =
  let directory = directory t in
  let found =
    Names.fold
      (fun name node l -> if wanted node then (directory @ [ name ], node) :: l else l)
      (Model.entries t.model directory) []
  in
  if found = [] then None else Some (choose t found)

let is_file = function Model.File _ -> true | _ -> false
let is_directory = function Model.Directory _ -> true | _ -> false
let any _ = true
let with_entry t wanted f = Option.iter (fun (names, node) -> f names node) (entry t wanted)

let data t =
  let n =
    match below t 10 with
    | 0 -> 1 + below t 100_000
    | 1 | 2 -> 4096 * (1 + below t 8)
    | _ -> 1 + below t 5000
  in
  let start = below t 256 in
  let step = 1 + (2 * below t 100) in
  String.init n (fun i -> Char.unsafe_chr ((start + (i * step) + (i lsr 8)) land 255))

(* Operations *)

let create t names =
  let model = Model.create t.model names in
  perform t "create" [ names ]
    (fun () -> D.close (Fs.open_ ~mode:Create (path_of t names)))
    (Ok model)

let work_on_file t d number =
  let size = (Model.contents t.model number).size in
  let pwrite position data =
    let b = Bytes.of_string data in
    write t d number position data (fun () -> Fs.pwrite d ~position b 0 (Bytes.length b))
  in
  let truncate size =
    t.doing <- Printf.sprintf "truncate %s to %d" (D.name d) size;
    let filled = t.volume.filled in
    let c = Model.contents t.model number in
    let cut = Model.set_contents t.model number (Model.truncate c size) in
    match attempt t (fun () -> Fs.truncate d size) with
    | Done -> t.model <- cut
    | Stopped when Fs.size d = size -> t.model <- cut
    | Stopped when Fs.size d = c.size -> ()
    | Failed No_space when may_be_full t filled && size > c.size && Fs.size d = c.size -> ()
    | Stopped -> mismatch t "cancelled: %d bytes, were %d" (Fs.size d) c.size
    | Failed code -> mismatch t "%s" (name_of code)
  in
  let rich = t.model.bytes > t.budget in
  match below t 12 with
  | 10 when not rich -> work_on_range t d number
  | 11 -> holes t d number
  | 0 -> truncate (below t (size + 1))
  | 1 when not rich -> truncate (size + below t 20_000)
  | 2 when not rich ->
      (* Far behind the end: a hole, where there are holes. *)
      pwrite
        (size + below t (if t.volume.fat then 50_000 else 1_000_000))
        (word t (1 + below t 300))
  | 3 when not rich ->
      let data = data t in
      pwrite size data
  | 4 ->
      t.doing <- "sync " ^ D.name d;
      ignore (attempt t (fun () -> Fs.sync d))
  | 5 -> check_descriptor t (D.name d) d number
  | _ when size > 0 ->
      let position = below t size in
      let data = data t in
      let most = if rich then size - position else String.length data in
      pwrite position (String.sub data 0 (min most (String.length data)))
  | _ -> pwrite 0 (data t)

let close t o =
  D.close o.descriptor;
  t.opened <- List.filter (fun other -> other != o) t.opened;
  if not (is_open t o.number) then
    t.model <- Model.count t.model ~is_open:(fun _ -> false) o.number 0

let work_on_open t =
  match t.opened with
  | [] -> ()
  | l ->
      let o = choose t l in
      work_on_file t o.descriptor o.number;
      if one_in t 4 then close t o

let work_on_closed t =
  with_entry t is_file (fun names node ->
      match node with
      | File number ->
          let d = Fs.open_ ~flags:[ `Read; `Write ] (path_of t names) in
          for _ = 0 to below t 3 do
            work_on_file t d number
          done;
          if List.length t.opened < 3 && one_in t 4 then
            t.opened <- { descriptor = d; number } :: t.opened
          else D.close d
      | _ -> ())

let append t =
  with_entry t is_file (fun names node ->
      match node with
      | File number when t.model.bytes <= t.budget ->
          Fs.with_file ~mode:Append (path_of t names) (fun d ->
              let data = data t in
              let size = (Model.contents t.model number).size in
              write t d number size data (fun () -> D.write_string d data))
      | _ -> ())

let unlink_at t names node =
  let wanted =
    match node with
    | Model.Directory _ -> Error [ Soil.Error.Is_directory ]
    | File number when t.volume.fat && is_open t number -> Error [ Busy ]
    | _ -> Ok (Model.remove t.model ~is_open:(is_open t) names)
  in
  perform t "unlink" [ names ] (fun () -> Fs.unlink (path_of t names)) wanted

let unlink t = with_entry t any (unlink_at t)

let mkdir t =
  let names = free_name t in
  if List.length names < 5 then
    perform t "mkdir" [ names ]
      (fun () -> Fs.mkdir (path_of t names))
      (Ok (Model.set t.model names (Some (Directory Names.empty))))

let rmdir_at t names node =
  let wanted =
    match node with
    | Model.Directory e when Names.is_empty e ->
        Ok (Model.remove t.model ~is_open:(is_open t) names)
    | Directory _ -> Error [ Soil.Error.Not_empty ]
    | _ -> Error [ Not_directory ]
  in
  perform t "rmdir" [ names ] (fun () -> Fs.rmdir (path_of t names)) wanted

let rmdir t = with_entry t any (rmdir_at t)

(* All that is at and below a name, as far as nothing holds it. *)
let rec remove_all t names =
  match Model.find t.model names with
  | Some (Directory e) ->
      Names.iter (fun name _ -> remove_all t (names @ [ name ])) e;
      Option.iter (rmdir_at t names) (Model.find t.model names)
  | Some node -> unlink_at t names node
  | None -> ()

let rec is_prefix a b =
  match (a, b) with [], _ -> true | x :: a, y :: b -> x = y && is_prefix a b | _ -> false

let rename t =
  with_entry t any (fun a node ->
      let b =
        match if one_in t 3 then entry t any else None with
        | Some (names, _) -> names
        | None -> free_name t
      in
      let busy = function Some (Model.File n) -> t.volume.fat && is_open t n | _ -> false in
      let ok () = Ok (Model.rename t.model ~is_open:(is_open t) a b) in
      let wanted =
        match (node, Model.find t.model b) with
        | _ when a = b -> ok ()
        | Directory _, _ when is_prefix a b -> Error [ Soil.Error.Invalid ]
        | Directory _, None -> ok ()
        | Directory _, Some (Directory e) -> if Names.is_empty e then ok () else Error [ Not_empty ]
        | Directory _, Some _ -> Error [ Not_directory ]
        | _, Some (Directory _) ->
            Error (if is_prefix b a then [ Is_directory; Not_empty ] else [ Is_directory ])
        | _, other when busy other -> Error [ Busy ]
        | _ -> ok ()
      in
      perform t "rename" [ a; b ] (fun () -> Fs.rename (path_of t a) (path_of t b)) wanted)

(* The forms that replace nothing. *)
let rename_without_replacing t =
  with_entry t any (fun a _ ->
      let b, other =
        match if one_in t 2 then entry t any else None with
        | Some (names, node) -> (names, Some node)
        | None -> (free_name t, None)
      in
      let ok model = Ok model in
      let how, wanted =
        if one_in t 2 then
          ( `No_replace,
            if other <> None then Error [ Soil.Error.Exists; Invalid ]
            else if is_prefix a b then Error [ Invalid ]
            else ok (Model.rename t.model ~is_open:(is_open t) a b) )
        else
          ( `Exchange,
            if t.volume.fat then Error [ Unsupported; Not_found; Invalid ]
            else if other = None then Error [ Not_found; Invalid ]
            else if a = b then ok t.model
            else if is_prefix a b || is_prefix b a then Error [ Invalid ]
            else ok (Model.exchange t.model a b) )
      in
      (* Two directories, or files of one size, don't tell whether they were exchanged. *)
      perform ~stoppable:(how <> `Exchange) t "rename, replacing nothing," [ a; b ]
        (fun () -> Fs.rename ~how (path_of t a) (path_of t b))
        wanted)

let link t =
  with_entry t is_file (fun a node ->
      match node with
      | File number ->
          let b, taken =
            match if one_in t 4 then entry t any else None with
            | Some (names, _) -> (names, true)
            | None -> (free_name t, false)
          in
          let wanted =
            if t.volume.fat then Error [ Soil.Error.Unsupported ]
            else if taken then Error [ Exists ]
            else Ok (Model.link t.model ~is_open:(is_open t) number b)
          in
          perform t "link" [ a; b ] (fun () -> Fs.link (path_of t a) (path_of t b)) wanted
      | _ -> ())

let symlink t =
  let names = free_name t in
  let target = word t (1 + below t (if one_in t 3 then 300 else 70)) in
  let wanted =
    if t.volume.fat then Error [ Soil.Error.Unsupported ]
    else Ok (Model.set t.model names (Some (Symlink target)))
  in
  perform t "symlink" [ names ] (fun () -> Fs.symlink ~target (path_of t names)) wanted

(* Operations that must fail and change nothing. *)
let refused t =
  let path = path_of t in
  let fails names call codes = perform t "refused" [ names ] call (Error codes) in
  with_entry t any (fun names node ->
      let missing = free_name t in
      match below t 6 with
      | 0 -> fails missing (fun () -> D.close (Fs.open_ (path missing))) [ Not_found ]
      | 1 -> fails missing (fun () -> Fs.rename (path missing) (path names)) [ Not_found ]
      | 2 -> fails names (fun () -> Fs.mkdir (path names)) [ Exists ]
      | 3 -> fails names (fun () -> D.close (Fs.open_ ~mode:Create (path names))) [ Exists ]
      | 4 ->
          let long = names @ [ String.make 256 'n' ] in
          let codes =
            if is_directory node then [ Soil.Error.Name_too_long ]
            else [ Not_directory; Not_found; Name_too_long ]
          in
          fails names (fun () -> Fs.mkdir (path long)) codes
      | _ when is_file node ->
          fails names (fun () -> Fs.mkdir (path (names @ [ "below" ]))) [ Not_directory ]
      | _ -> ())

(* A directory that grows and shrinks again, most files of it being written under another name, as
   programs do that write safely. *)
let crowd t count =
  let directory = [ Printf.sprintf "crowd %d" (below t 3) ] in
  if Model.find t.model directory = None then
    perform t "mkdir" [ directory ]
      (fun () -> Fs.mkdir (path_of t directory))
      (Ok (Model.set t.model directory (Some (Directory Names.empty))));
  if Model.find t.model directory <> None then (
    let number n = Printf.sprintf "%s%05d" (String.make 47 (Char.chr (97 + (n mod 3)))) n in
    for n = 1 to count do
      let last = directory @ [ number n ] in
      if Model.find t.model last = None then (
        if one_in t 3 then create t last
        else
          let first = directory @ [ "tmp" ^ number n ] in
          if Model.find t.model first = None then create t first;
          match Model.find t.model first with
          | None -> ()
          | Some _ ->
              perform t "rename" [ first; last ]
                (fun () -> Fs.rename (path_of t first) (path_of t last))
                (Ok (Model.rename t.model ~is_open:(is_open t) first last)))
    done;
    check_listing t directory;
    let keep = 1 + below t 20 in
    Names.iter
      (fun name node ->
        if is_file node && not (one_in t keep) then unlink_at t (directory @ [ name ]) node)
      (Model.entries t.model directory);
    check_listing t directory)

(* Until nothing more goes in, with large files and then with small ones; and out again. *)
let fill t =
  let v = t.volume in
  v.filling <- true;
  let name kind n = path_of t [ Printf.sprintf "%s %d" kind n ] in
  let block kind len = String.init len (fun i -> Char.chr ((i + kind) land 255)) in
  let rec go kind text n =
    incr operations;
    match Fs.append_file (name kind n) text with
    | () -> if n < 5000 then go kind text (n + 1) else mismatch t "%d files, and there is room" n
    | exception Soil.Error { code = No_space; _ } -> n
  in
  let large = block 1 300_001 and small = block 2 1001 in
  t.doing <- "fill";
  let m = go "large" large 1 in
  let n = go "small" small 1 in
  let { Fs.total; free; _ } : Fs.space = Fs.space t.root in
  if free > (total / 8) + 1_000_000 then mismatch t "full, but %d of %d bytes are free" free total;
  let check kind text last =
    for i = 1 to last do
      let path = name kind i in
      match Fs.read_file path with
      | found ->
          let whole =
            if i < last then text
            else String.sub text 0 (min (String.length found) (String.length text))
          in
          same_bytes t path whole found;
          Fs.unlink path
      | exception Soil.Error { code = Not_found; _ } when i = last -> ()
    done
  in
  check "large" large m;
  check "small" small n;
  Fs.sync_volume t.root;
  v.filled <- v.filled + 1;
  v.filling <- false;
  t.doing <- "write after the volume was full";
  Fs.write_file (path_of t [ "again" ]) large;
  same_bytes t "again" large (Fs.read_file (path_of t [ "again" ]));
  Fs.unlink (path_of t [ "again" ])

(* The tree stays of a size. *)
let prune t =
  let entries = t.model.root in
  if Names.cardinal entries > 40 then
    let name, _ = choose t (Names.bindings entries) in
    remove_all t [ name ]

let step t =
  if one_in t 4 then prune t;
  match below t 28 with
  | 0 | 1 | 2 -> create t (free_name t)
  | 3 | 4 | 5 -> work_on_closed t
  | 6 | 7 -> work_on_open t
  | 8 | 9 -> append t
  | 10 | 11 -> unlink t
  | 12 | 13 -> mkdir t
  | 14 -> rmdir t
  | 15 | 16 | 17 -> rename t
  | 18 | 19 -> link t
  | 20 -> symlink t
  | 21 -> refused t
  | 22 -> check_listing t (directory t)
  | 26 | 27 -> rename_without_replacing t
  | 23 when one_in t 4 ->
      t.doing <- "sync";
      ignore (attempt t (fun () -> Fs.sync_volume t.root))
  | _ ->
      if t.model.bytes > t.budget then unlink t
      else
        with_entry t is_file (fun names node ->
            match node with File number -> check_file t names number | _ -> ())
