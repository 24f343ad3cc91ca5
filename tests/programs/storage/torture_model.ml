(* A task's part of a volume with its model, and the comparison of the two. *)

module D = Soil.File_descriptor
module Fs = Soil.Fs
module Task = Soil.Task
module Model = Tree_model
module Names = Model.Names

exception Mismatch of string

type volume = {
  point : string;
  fat : bool;
  source : string;
  (* While one task fills the volume, all others may find it full; [filled] counts the times. *)
  mutable filling : bool;
  mutable filled : int;
}

type opened = { descriptor : Soil.Fs.file; number : int }

type task = {
  volume : volume;
  root : string;
  random : Random.State.t;
  budget : int;
  mutable model : Model.t;
  mutable opened : opened list;
  mutable step : int;
  mutable doing : string;
  mutable stopped : int;
}

let operations = ref 0
let seed = ref 0
let below t n = Random.State.int t.random n
let one_in t n = below t n = 0
let choose t list = List.nth list (below t (List.length list))

let mismatch t format =
  let fail text =
    raise
      (Mismatch (Printf.sprintf "seed %d, %s, step %d, %s: %s" !seed t.root t.step t.doing text))
  in
  Printf.ksprintf fail format

let path_of t names = String.concat "/" (t.root :: names)
let is_open t number = List.exists (fun o -> o.number = number) t.opened

(* Comparison of the disk with the model *)

let shorten s = if String.length s > 40 then String.sub s 0 40 ^ "…" else s

let same_bytes t what expected found =
  if expected <> found then
    let n = min (String.length expected) (String.length found) in
    let rec first i = if i < n && expected.[i] = found.[i] then first (i + 1) else i in
    let at = first 0 in
    mismatch t "%s: %d bytes, should be %d; the first other one is %d" what (String.length found)
      (String.length expected) at

let bytes_of d ~position len =
  let b = Bytes.create len in
  Bytes.sub_string b 0 (Fs.pread d ~position b 0 len)

let check_descriptor t what d number =
  let c = Model.contents t.model number in
  if Fs.size d <> c.size then mismatch t "%s has %d bytes, should have %d" what (Fs.size d) c.size;
  let rec go position =
    if position < c.size then (
      let len = min 65536 (c.size - position) in
      same_bytes t
        (Printf.sprintf "%s at %d" what position)
        (Model.read c position len) (bytes_of d ~position len);
      go (position + len))
  in
  go 0

(* Compares one name with [model], but not its contents or the names below it. *)
let difference t model names =
  let path = path_of t names in
  match (Model.find model names, Fs.lstat path) with
  | None, { kind; size; _ } ->
      let what = match kind with Fs.File -> "file" | Directory -> "directory" | _ -> "link" in
      Some (Printf.sprintf "there is a %s %s of %d bytes" what (shorten path) size)
  | exception Soil.Error { code = Not_found | Not_directory; _ } ->
      if Model.find model names = None then None else Some (shorten path ^ " is missing")
  | Some (File number), { kind = File; size; links; _ } ->
      let { Model.contents = c; names = count } = Model.Numbers.find number model.files in
      if size <> c.size then Some (Printf.sprintf "%s has %d bytes, not %d" path size c.size)
      else if (not t.volume.fat) && links <> count then
        Some (Printf.sprintf "%s has %d names, not %d" path links count)
      else None
  | Some (Directory _), { kind = Directory; _ } -> None
  | Some (Symlink target), { kind = Symlink; size; _ } ->
      if size = String.length target && Fs.readlink path = target then None
      else Some (path ^ " leads elsewhere")
  | Some _, _ -> Some (path ^ " is of another kind")

let check_name t names = Option.iter (fun text -> mismatch t "%s" text) (difference t t.model names)

let check_file t names number =
  Fs.with_file (path_of t names) (fun d -> check_descriptor t (path_of t names) d number)

let check_listing t names =
  let kind = function
    | Model.File _ -> Fs.File
    | Directory _ -> Fs.Directory
    | Symlink _ -> Fs.Symlink
  in
  let wanted = Names.bindings (Names.map kind (Model.entries t.model names)) in
  let found = Fs.list (path_of t names) in
  if found <> wanted then
    let missing = List.filter (fun e -> not (List.mem e found)) wanted in
    let extra = List.filter (fun e -> not (List.mem e wanted)) found in
    let show l = String.concat ", " (List.filteri (fun i _ -> i < 3) (List.map fst l)) in
    mismatch t "listing of %s: %d names, should be %d; missing: %s; not wanted: %s"
      (path_of t names) (List.length found) (List.length wanted) (show missing) (show extra)

let rec check_all t names =
  check_listing t names;
  Names.iter
    (fun name node ->
      let inside = names @ [ name ] in
      check_name t inside;
      match node with
      | Model.File number -> check_file t inside number
      | Directory _ -> check_all t inside
      | Symlink _ -> ())
    (Model.entries t.model names)

(* The model of what a run before this one left. *)
let load t =
  let model = ref Model.empty and known = Hashtbl.create 64 in
  let rec directory names =
    List.iter
      (fun (name, kind) ->
        let inside = names @ [ name ] in
        let path = path_of t inside in
        match kind with
        | Fs.Directory ->
            model := Model.set !model inside (Some (Directory Names.empty));
            directory inside
        | Symlink -> model := Model.set !model inside (Some (Symlink (Fs.readlink path)))
        | File -> (
            let { Fs.inode; _ } = Fs.stat path in
            match Hashtbl.find_opt known inode with
            | Some number when inode <> 0 ->
                model := Model.link !model ~is_open:(fun _ -> false) number inside
            | _ ->
                let number = !model.next in
                Hashtbl.replace known inode number;
                model := Model.create !model inside;
                let data = Fs.read_file path in
                model := Model.set_contents !model number (Model.write Model.nothing 0 data)))
      (Fs.list (path_of t names))
  in
  directory [];
  t.model <- !model
