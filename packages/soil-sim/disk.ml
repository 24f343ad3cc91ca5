type image = Blank of int | File of string | Ext4 of int | Fat of int
type trouble = { mutable slow : int; mutable errors : float; mutable full : bool }
type contents = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t

external get64 : contents -> int -> int64 = "%caml_bigstring_get64"

type t = {
  name : string;
  base : contents option;  (** Sectors that were never written. *)
  sectors : int;
  current : (int, string) Hashtbl.t;  (** Written sectors. *)
  unflushed : (int, string list) Hashtbl.t;
      (** The earlier states of a sector since its last flush, the last one first. *)
  trouble : trouble;
}

let sector_size = 512

let command ~program ~package arguments file =
  let words = Array.of_list ((program :: arguments) @ [ file ]) in
  let null = Unix.openfile "/dev/null" [ O_RDWR; O_CLOEXEC ] 0 in
  let path = "PATH=" ^ Option.value (Sys.getenv_opt "PATH") ~default:"" ^ ":/usr/sbin:/sbin" in
  let environment = [| path; "E2FSPROGS_FAKE_TIME=1735689600"; "SOURCE_DATE_EPOCH=1735689600" |] in
  let failed why = failwith (Printf.sprintf "%s %s: install the package %s" program why package) in
  let path =
    let folders = String.split_on_char ':' (String.sub path 5 (String.length path - 5)) in
    let files = List.map (fun folder -> Filename.concat folder program) folders in
    match List.find_opt Sys.file_exists files with Some path -> path | None -> failed "is missing"
  in
  let pid = Unix.create_process_env path words environment null null null in
  Unix.close null;
  match Unix.waitpid [] pid with _, WEXITED 0 -> () | _ -> failed "failed"

(* The same bytes in each run. *)
let uuid = "50696c53-6c69-4d69-8561-736f696c0001"

let formatted bytes make =
  let file = Filename.temp_file "soil-sim-" ".img" in
  Fun.protect ~finally:(fun () -> Sys.remove file) @@ fun () ->
  let fd = Unix.openfile file [ O_RDWR; O_CLOEXEC ] 0o600 in
  Unix.ftruncate fd bytes;
  make file;
  fd

(* Of whole sectors; the pages come as they are read. *)
let map fd : contents =
  let bytes = Unix.lseek fd 0 SEEK_END in
  let bytes = bytes - (bytes mod sector_size) in
  Fun.protect ~finally:(fun () -> Unix.close fd) @@ fun () ->
  if bytes = 0 then Bigarray.(Array1.create char c_layout 0)
  else Bigarray.(array1_of_genarray (Unix.map_file fd char c_layout false [| bytes |]))

(* Equal disks of a run begin with the same bytes. *)
let formats : (image, contents) Hashtbl.t = Hashtbl.create 4

let format image bytes make =
  match Hashtbl.find_opt formats image with
  | Some contents -> contents
  | None ->
      let contents = map (formatted bytes make) in
      Hashtbl.add formats image contents;
      contents

let mkfs_ext4 =
  command ~program:"mkfs.ext4" ~package:"e2fsprogs"
    [ "-q"; "-F"; "-U"; uuid; "-E"; "hash_seed=" ^ uuid ^ ",lazy_itable_init=1,nodiscard" ]

let mkfs_fat = command ~program:"mkfs.fat" ~package:"dosfstools" [ "-i"; "50696c53"; "--invariant" ]

let base = function
  | Blank _ -> None
  | File path -> (
      match Unix.openfile path [ O_RDONLY; O_CLOEXEC ] 0 with
      | fd -> Some (map fd)
      | exception Unix.Unix_error (error, _, _) ->
          failwith (Printf.sprintf "disk %s: %s" path (Unix.error_message error)))
  | Ext4 bytes as image -> Some (format image bytes mkfs_ext4)
  | Fat bytes as image -> Some (format image bytes mkfs_fat)

let create ~name image =
  let base = base image in
  let bytes =
    match (image, base) with
    | (Blank bytes | Ext4 bytes | Fat bytes), _ -> bytes
    | File _, Some contents -> Bigarray.Array1.dim contents
    | File _, None -> 0
  in
  if bytes < sector_size then failwith (Printf.sprintf "disk %s: has no sectors" name);
  {
    name;
    base;
    sectors = bytes / sector_size;
    current = Hashtbl.create 1024;
    unflushed = Hashtbl.create 64;
    trouble = { slow = 1; errors = 0.; full = false };
  }

let describe d : Wire.disk = { name = d.name; sectors = d.sectors; sector_size; read_only = false }
let trouble d = d.trouble

let duration d rng (operation : Wire.operation) ~count =
  let base =
    match operation with
    | Read -> 60_000
    | Write | Discard | Zero -> 30_000
    | Flush | Write_durably -> 400_000
  in
  (* Flash memory erases blocks now and then. *)
  let is_long = operation = Flush && Generate.int rng 8 = 0 in
  let base = if is_long then 20 * base else base in
  (base + Generate.int rng base + (count * 300)) * d.trouble.slow

let zeros = String.make sector_size '\000'

let read (contents : contents) first =
  let bytes = Bytes.create sector_size in
  for word = 0 to (sector_size / 8) - 1 do
    Bytes.set_int64_ne bytes (8 * word) (get64 contents (first + (8 * word)))
  done;
  Bytes.unsafe_to_string bytes

let sector d i =
  match (Hashtbl.find_opt d.current i, d.base) with
  | Some data, _ -> data
  | None, None -> zeros
  | None, Some contents -> read contents (i * sector_size)

let write d i data =
  let earlier = Option.value (Hashtbl.find_opt d.unflushed i) ~default:[] in
  Hashtbl.replace d.unflushed i (sector d i :: earlier);
  Hashtbl.replace d.current i data

let fine = 0
let io_error = 1
let no_space = 2

let execute d rng (operation : Wire.operation) ~sector:first ~count ~data =
  let within = first >= 0 && count >= 0 && first + count <= d.sectors in
  let is_write = match operation with Read | Flush -> false | _ -> true in
  if (not within) || (d.trouble.errors > 0. && Generate.float rng 1. < d.trouble.errors) then
    (io_error, "")
  else if d.trouble.full && is_write then (no_space, "")
  else
    match operation with
    | Read -> (fine, String.concat "" (List.init count (fun i -> sector d (first + i))))
    | Flush ->
        Hashtbl.reset d.unflushed;
        (fine, "")
    | (Write | Write_durably) when String.length data <> count * sector_size -> (io_error, "")
    | Write | Write_durably ->
        for i = 0 to count - 1 do
          write d (first + i) (String.sub data (i * sector_size) sector_size);
          if operation = Write_durably then Hashtbl.remove d.unflushed (first + i)
        done;
        (fine, "")
    | Discard | Zero ->
        for i = first to first + count - 1 do
          write d i zeros
        done;
        (fine, "")

(* In the order of the sectors: that of a table differs between versions of OCaml. *)
let sorted table =
  List.sort compare (Hashtbl.fold (fun key value rest -> (key, value) :: rest) table [])

let torn rng a b =
  let at = 1 + Generate.int rng (sector_size - 1) in
  String.sub a 0 at ^ String.sub b at (sector_size - at)

let lose_power d rng ~torn:may_tear =
  let lose (i, earlier) =
    let states = Array.of_list (sector d i :: earlier) in
    let pick () = states.(Generate.int rng (Array.length states)) in
    let kept =
      if may_tear && Generate.int rng 4 = 0 then torn rng (pick ()) (pick ()) else pick ()
    in
    Hashtbl.replace d.current i kept
  in
  List.iter lose (sorted d.unflushed);
  Hashtbl.reset d.unflushed

let rot d rng =
  match sorted d.current with
  | [] -> "nothing was written"
  | written ->
      let i, data = List.nth written (Generate.int rng (List.length written)) in
      let bit = Generate.int rng (8 * sector_size) in
      let data = Bytes.of_string data in
      Bytes.set_uint8 data (bit / 8) (Bytes.get_uint8 data (bit / 8) lxor (1 lsl (bit mod 8)));
      Hashtbl.replace d.current i (Bytes.to_string data);
      Printf.sprintf "bit %d of sector %d" bit i
