type t = {
  get : string -> string option;
  set : string -> string -> unit;
  create : string -> string -> bool;
  remove : string -> unit;
}

let max_bytes = 256 * 1024

let unless code f default =
  match f () with v -> v | exception Soil.Error.Error e when e.code = code -> default

let directory path =
  let file key = path ^ "/" ^ key in
  (* A crash may leave the file behind; it has a name of its own, which nothing reads. *)
  let write key value rename =
    Soil.Fs.mkdir_p path;
    let temporary = Printf.sprintf "%s/.%s-%x" path key (Soil.Random.int max_int) in
    let undo () = try Soil.Fs.unlink temporary with Soil.Error.Error _ -> () in
    let write () =
      Soil.Fs.with_file ~mode:Create temporary @@ fun d ->
      Soil.File_descriptor.write_string d value;
      Soil.Fs.sync d
    in
    let place () =
      write ();
      rename temporary (file key)
    in
    Soil.Private.undoing undo place;
    Soil.Fs.sync_volume path
  in
  {
    get =
      (fun key ->
        let read () = Some (Soil.Fs.read_file ~max:max_bytes (file key)) in
        unless Not_found read None);
    set = (fun key value -> write key value (fun a b -> Soil.Fs.rename a b));
    create =
      (fun key value ->
        let create () =
          write key value (fun a b -> Soil.Fs.rename ~how:`No_replace a b);
          true
        in
        unless Exists create false);
    remove =
      (fun key ->
        let remove () =
          Soil.Fs.unlink (file key);
          Soil.Fs.sync_volume path
        in
        unless Not_found remove ());
  }

(* [create] is atomic among the tasks of the program. *)
let exclusive get set remove =
  let mutex = Soil.Task.Mutex.create () in
  let create key value =
    Soil.Task.Mutex.protect mutex @@ fun () ->
    let is_free = get key = None in
    if is_free then set key value;
    is_free
  in
  { get; set; create; remove }

let kv t root =
  let module Kv = Soil.Kv in
  let fail operation key error =
    match error with
    | `Failed e -> raise (Soil.Error.Error e)
    | error -> Soil.Error.fail ~subject:key ~detail:(Kv.error_to_string error) Io operation
  in
  let get key =
    match Kv.get t Kv.Key.(root / key) with
    | Ok value -> Some value
    | Error (`Not_found _) -> None
    | Error e -> fail "acme store get" key e
  in
  let set key value =
    match Kv.set t Kv.Key.(root / key) value with
    | Ok () -> ()
    | Error e -> fail "acme store set" key e
  in
  let remove key =
    match Kv.remove t Kv.Key.(root / key) with
    | Ok () | Error (`Not_found _) -> ()
    | Error e -> fail "acme store remove" key e
  in
  exclusive get set remove

let memory () =
  let values = Hashtbl.create 8 in
  exclusive (Hashtbl.find_opt values) (Hashtbl.replace values) (Hashtbl.remove values)
