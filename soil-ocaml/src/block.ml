type t = {
  descriptor : Descriptor.t;
  sector_size : int;
  sectors : int;
  read_only : bool;
  request : int;  (** The most bytes in one request. *)
}

let io = Descriptor.no_io (fun d -> "disk " ^ d.path)

let names () =
  let rec go i =
    let check result =
      if result >= 0 then result
      else if Failure.code result = Not_found then raise_notrace Exit
      else Failure.fail ~operation:"disks" ~subject:"" result
    in
    match Text.fetch check (fun b off len -> Soil_raw_blocks.block_name i b off len) with
    | name -> name :: go (i + 1)
    | exception Exit -> []
  in
  go 0

let of_descriptor (d : Descriptor.t) =
  let info = Scheduler.create_ints 4 in
  let result = Soil_raw_blocks.block_info d.handle info in
  if result < 0 then Descriptor.fail d "info" result;
  let sector_size = info.{0} in
  {
    descriptor = d;
    sector_size;
    sectors = info.{1};
    read_only = info.{2} <> 0;
    request = max 1 info.{3} * sector_size;
  }

let open_ name =
  let submit token = Soil_raw_blocks.block_open name token in
  let handle = Scheduler.operation ~operation:"open" ~subject:("disk " ^ name) submit in
  let d = Descriptor.make ~path:name io Block handle in
  match of_descriptor d with
  | disk -> disk
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      Descriptor.close d;
      Failure.raise_with_backtrace e backtrace

let close disk = Descriptor.close disk.descriptor

let with_disk name f =
  let disk = open_ name in
  Descriptor.closing disk.descriptor (fun _ -> f disk)

let name disk = disk.descriptor.path
let sector_size disk = disk.sector_size
let sectors disk = disk.sectors
let read_only disk = disk.read_only
let alignment = 4096

external sub : Pool.buffer -> int -> int -> Pool.buffer = "caml_ba_sub"

let buffer n =
  if n < 0 then invalid_arg "Soil.Block.buffer: negative size";
  let whole = Pool.create (n + alignment) in
  sub whole (Soil_raw_blocks.block_skew whole alignment) n

let check disk operation first_sector b off len =
  Descriptor.check_buffer operation b off len;
  if len mod disk.sector_size <> 0 then
    invalid_arg ("Soil." ^ operation ^ ": length is not a multiple of the sector size");
  if first_sector < 0 || first_sector > disk.sectors - (len / disk.sector_size) then
    invalid_arg ("Soil." ^ operation ^ ": sectors beyond the end of the disk")

let in_flight = 8 (* requests that one call has under way at a time *)

(* [one sector off len] for each piece of at most a request, several at once. *)
let in_pieces disk first_sector off len one =
  let step = disk.request in
  if len <= step then (if len > 0 then one first_sector off len)
  else
    let pieces = (len + step - 1) / step in
    let piece i =
      let at = i * step in
      one (first_sector + (at / disk.sector_size)) (off + at) (min step (len - at))
    in
    Task.iter ~max:in_flight piece (List.init pieces (fun i -> i))

let transfer disk name raw ~first_sector b off len =
  check disk ("Block." ^ name) first_sector b off len;
  let d = disk.descriptor in
  let subject = d.io.describe d in
  in_pieces disk first_sector off len @@ fun sector off len ->
  let submit token = raw d.handle sector b off len token in
  ignore (Scheduler.operation ~operation:name ~subject submit)

let read disk =
  transfer disk "read" (fun handle sector b off len token ->
      Soil_raw_blocks.block_read handle sector b off len token)

let write disk =
  transfer disk "write" (fun handle sector b off len token ->
      Soil_raw_blocks.block_write handle sector b off len token)

let flush disk =
  let d = disk.descriptor in
  let submit token = Soil_raw_blocks.block_flush d.handle token in
  ignore (Scheduler.operation ~operation:"flush" ~subject:(d.io.describe d) submit)
