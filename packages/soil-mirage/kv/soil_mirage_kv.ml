module Key = Mirage_kv.Key

type failure = [ `Failed of Soil.Error.t ]
type error = [ Mirage_kv.error | failure ]
type write_error = [ Mirage_kv.write_error | failure ]

let pp_failure f (`Failed e : failure) = Soil.Error.pp f e

let pp_error f : error -> unit = function
  | #Mirage_kv.error as e -> Mirage_kv.pp_error f e
  | #failure as e -> pp_failure f e

let pp_write_error f : write_error -> unit = function
  | #Mirage_kv.write_error as e -> Mirage_kv.pp_write_error f e
  | #failure as e -> pp_failure f e

let int63 = Optint.Int63.of_int
let offset_of = Optint.Int63.to_int

module Ro = struct
  type nonrec error = error
  type key = Key.t
  type t = string

  let pp_error = pp_error

  exception Stop of error

  (* One operation, as a task. *)
  let operation key f =
    Soil_lwt.task @@ fun () ->
    match f () with
    | v -> Ok v
    | exception Stop e -> Error e
    | exception Soil.Error { code = Not_found | Invalid_name | Name_too_long; _ } ->
        Error (`Not_found key)
    | exception Soil.Error { code = Not_directory; _ } ->
        Error (`Dictionary_expected (Key.parent key))
    | exception Soil.Error e -> Error (`Failed e)

  let is_name name = name <> "." && name <> ".." && not (String.contains name '\000')

  (* The file's path; what leads there are directories, not links. *)
  let path root key =
    if not (List.for_all is_name (Key.segments key)) then raise_notrace (Stop (`Not_found key));
    let path = if Key.equal key Key.empty && root <> "" then root else root ^ Key.to_string key in
    if Soil.Fs.realpath path <> path then raise_notrace (Stop (`Not_found key));
    path

  let find root key =
    let path = path root key in
    match Soil.Fs.lstat path with
    | { kind = File; _ } as stat -> (path, `Value, stat)
    | { kind = Directory; _ } as stat -> (path, `Dictionary, stat)
    | { kind = Symlink; _ } -> raise_notrace (Stop (`Not_found key))

  let value root key =
    match find root key with
    | path, `Value, stat -> (path, stat)
    | _, `Dictionary, _ -> raise_notrace (Stop (`Value_expected key))

  let connect path =
    Soil_lwt.task @@ fun () ->
    let root = Soil.Fs.realpath path in
    ignore (Soil.Fs.with_entries root Seq.is_empty);
    if root = "/" then "" else root

  let disconnect _ = Lwt.return_unit

  let exists root key =
    let found =
      operation key @@ fun () ->
      let _, kind, _ = find root key in
      Some kind
    in
    let absent = function Error (`Not_found _ | `Dictionary_expected _) -> Ok None | r -> r in
    Lwt.map absent found

  let read path = Soil.Fs.read_file ~max:max_int path
  let get root key = operation key (fun () -> read (fst (value root key)))

  let get_partial root key ~offset ~length =
    operation key @@ fun () ->
    let path, { Soil.Fs.size; _ } = value root key in
    let offset = offset_of offset in
    if offset < 0 then invalid_arg "Soil_mirage_kv.Ro.get_partial: negative offset";
    let b = Bytes.create (max 0 (min length (size - offset))) in
    let length = Bytes.length b in
    if length = 0 then ""
    else
      Soil.Fs.with_file path @@ fun d ->
      let n = Soil.Fs.pread d ~position:offset b 0 length in
      Bytes.sub_string b 0 n

  let entries path key =
    let entry (name, (kind : Soil.Fs.kind)) =
      match kind with
      | File -> Some (Key.add key name, `Value)
      | Directory -> Some (Key.add key name, `Dictionary)
      | Symlink -> None
    in
    List.filter_map entry (Soil.Fs.list path)

  let list root key =
    operation key @@ fun () ->
    match find root key with
    | path, `Dictionary, _ -> entries path key
    | _, `Value, _ -> raise_notrace (Stop (`Dictionary_expected key))

  let last_modified root key =
    operation key @@ fun () ->
    let _, _, stat = find root key in
    Soil_ptime.of_float stat.modified

  let digest root key = operation key (fun () -> Digest.string (read (fst (value root key))))
  let size root key = operation key (fun () -> int63 (snd (value root key)).size)
end

module Rw = struct
  type nonrec error = error
  type nonrec write_error = write_error
  type key = Key.t
  type t = Soil.Kv.t

  let pp_error = pp_error
  let pp_write_error = pp_write_error
  let of_key key = Soil.Kv.Key.v (Key.to_string key)
  let to_key key = Key.v (Soil.Kv.Key.to_string key)

  let to_write_error : Soil.Kv.error -> write_error = function
    | `Not_found key -> `Not_found (to_key key)
    | `Dictionary_expected key -> `Dictionary_expected (to_key key)
    | `Value_expected key -> `Value_expected (to_key key)
    | `Already_present key -> `Already_present (to_key key)
    | `No_space -> `No_space
    | `Rename_source_prefix (source, dest) -> `Rename_source_prefix (to_key source, to_key dest)
    | `Failed e -> `Failed e

  (* Reading meets none of those that are of writing alone. *)
  let to_error (e : Soil.Kv.error) : error =
    match to_write_error e with
    | (#Mirage_kv.error | #failure) as e -> e
    | other ->
        `Failed
          {
            code = Unknown 0;
            operation = "read";
            subject = "";
            detail = Fmt.to_to_string pp_write_error other;
          }

  let reading key f =
    Soil_lwt.task @@ fun () ->
    match of_key key with
    | key -> Result.map_error to_error (f key)
    | exception Invalid_argument _ -> Error (`Not_found key)

  let invalid_name key : write_error =
    `Failed
      { code = Invalid_name; operation = "mirage-kv"; subject = Key.to_string key; detail = "" }

  let writing key f =
    Soil_lwt.task @@ fun () ->
    match of_key key with
    | kv_key -> f kv_key
    | exception Invalid_argument _ -> Error (invalid_name key)

  let connect path =
    Soil_lwt.task (fun () -> Result.map_error to_write_error (Soil.Kv.connect path))

  let disconnect _ = Lwt.return_unit

  let exists t key =
    Lwt.map (function Error (`Not_found _) -> Ok None | r -> r) (reading key (Soil.Kv.exists t))

  let get t key = reading key (Soil.Kv.get t)

  let get_partial t key ~offset ~length =
    let length = max 0 length in
    reading key (fun key -> Soil.Kv.get_partial t key ~offset:(offset_of offset) ~length)

  let list t key =
    let entry (key, kind) = (to_key key, kind) in
    reading key (fun key -> Result.map (List.map entry) (Soil.Kv.list t key))

  let last_modified t key =
    reading key (fun key -> Result.map Soil_ptime.of_float (Soil.Kv.last_modified t key))

  let digest t key = reading key (Soil.Kv.digest t)
  let size t key = reading key (fun key -> Result.map int63 (Soil.Kv.size t key))
  let ( let* ) = Result.bind
  let checked result = Result.map_error to_write_error result
  let set t key value = writing key (fun key -> checked (Soil.Kv.set t key value))

  (* The signature's: behind the end it appends, and creates a missing one. *)
  let set_partial t key ~offset part =
    writing key @@ fun key ->
    checked
      (match Soil.Kv.exists t key with
      | Ok (Some `Value) ->
          let* size = Soil.Kv.size t key in
          Soil.Kv.set_partial t key ~offset:(min size (offset_of offset)) part
      | Ok (Some `Dictionary) -> Error (`Value_expected key)
      | Ok None -> Soil.Kv.set t key part
      | Error e -> Error e)

  let allocate t key ?last_modified:_ size =
    writing key @@ fun key ->
    checked
      (match Soil.Kv.exists t key with
      | Ok (Some _) -> Error (`Already_present key)
      | Ok None -> Soil.Kv.set t key (String.make (offset_of size) '\000')
      | Error e -> Error e)

  let remove t key =
    writing key @@ fun key ->
    match Soil.Kv.remove t key with
    | Error (`Not_found _ | `Dictionary_expected _) -> Ok ()
    | result -> checked result

  let rename t ~source ~dest =
    writing source @@ fun source_key ->
    match of_key dest with
    | exception Invalid_argument _ -> Error (invalid_name dest)
    | dest_key ->
        let into =
          match (Soil.Kv.exists t source_key, Soil.Kv.exists t dest_key) with
          | Ok (Some _), Ok (Some `Dictionary) ->
              Ok (Soil.Kv.Key.add dest_key (Soil.Kv.Key.basename source_key))
          | Ok (Some `Dictionary), Ok (Some `Value) -> Error (`Value_expected source_key)
          | Error e, _ | _, Error e -> Error e
          | _ -> Ok dest_key
        in
        let renamed = Result.bind into (fun dest -> Soil.Kv.rename t ~source:source_key ~dest) in
        Result.map_error
          (function
            | `Rename_source_prefix _ -> `Rename_source_prefix (source, dest)
            | e -> to_write_error e)
          renamed
end
