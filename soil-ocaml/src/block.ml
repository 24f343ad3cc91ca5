type t = {
  descriptor : Descriptor.t;
  subject : string;  (** Its name in messages, built once rather than for each request. *)
  sector_size : int;
  mutable largest : int;  (** The largest size seen so far, in sectors. *)
  read_only : bool;
  request : int;  (** The most bytes in one request. *)
  capabilities : int;
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

let info (d : Descriptor.t) =
  let record = Scheduler.create_ints Soil_raw.block_info_length in
  let result = Soil_raw_blocks.block_info d.handle record in
  if result < 0 then Descriptor.fail d "info" result;
  record

let of_descriptor d =
  let record = info d in
  let sector_size = Soil_raw.block_info record Sector_size in
  {
    descriptor = d;
    subject = d.io.describe d;
    sector_size;
    largest = Soil_raw.block_info record Sectors;
    read_only = Soil_raw.block_info record Read_only <> 0;
    request = max 1 (Soil_raw.block_info record Request_sectors) * sector_size;
    capabilities = Soil_raw.block_info record Capabilities;
  }

(* Submissions of operations that timed out, with all that they refer to: their devices may still
   use the buffers. *)
let retained : (int -> int) list ref = ref []
let guard = Guard.create ()

let rec keep submit =
  let before = !retained in
  let after = submit :: (if Soil_raw_blocks.block_given_up () = 0 then [] else before) in
  if not (Guard.replace guard retained before after) then keep submit

let operation disk name submit =
  match Scheduler.operation ~operation:name ~subject:disk.subject submit with
  | _ -> ()
  | exception e ->
      let backtrace = Failure.get_backtrace () in
      (match e with Error.Error { code = Timed_out; _ } -> keep submit | _ -> ());
      Soil_backtrace.reraise e backtrace

let open_ name =
  let submit token = Soil_raw_blocks.block_open name token in
  let handle = Scheduler.operation ~operation:"open" ~subject:("disk " ^ name) submit in
  let d = Descriptor.make ~path:name io handle in
  Descriptor.closed_on_failure d (fun () -> of_descriptor d)

let close disk = Descriptor.close disk.descriptor

let with_disk name f =
  let disk = open_ name in
  Descriptor.closing disk.descriptor (fun _ -> f disk)

let own scope disk =
  Descriptor.closed_on_failure disk.descriptor (fun () ->
      Task.on_release scope (fun () -> close disk));
  disk

let () =
  let find name =
    with_disk name @@ fun disk ->
    (Soil_raw.block_info (info disk.descriptor) Sectors * disk.sector_size, not disk.read_only)
  in
  Needed.disk := Some find

let name disk = disk.descriptor.path
let sector_size disk = disk.sector_size

let sectors disk =
  let sectors = Soil_raw.block_info (info disk.descriptor) Sectors in
  disk.largest <- max disk.largest sectors;
  sectors

let read_only disk = disk.read_only
let can_discard disk = disk.capabilities land 2 <> 0
let can_write_zeroes disk = disk.capabilities land 4 <> 0
let alignment = 4096

let buffer n =
  if n < 0 then invalid_arg "Soil.Block.buffer: negative size";
  let whole = Pool.create (n + alignment) in
  Pool.sub whole (Soil_raw_blocks.block_skew whole alignment) n

let check_sectors disk operation first count =
  let is_beyond () = first > disk.largest - count in
  if
    first < 0 || count < 0
    || is_beyond ()
       &&
       (* The disk may have grown. *)
       (ignore (sectors disk);
        is_beyond ())
  then invalid_arg ("Soil.Block." ^ operation ^ ": sectors beyond the end of the disk")

let check_buffer disk operation b off len =
  if off < 0 || len < 0 || off > Bigarray.Array1.dim b - len then
    Descriptor.check_buffer ("Block." ^ operation) b off len;
  if len mod disk.sector_size <> 0 then
    invalid_arg ("Soil.Block." ^ operation ^ ": length is not a multiple of the sector size")

let in_flight = 8 (* concurrent requests of one call *)

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
  check_buffer disk name b off len;
  check_sectors disk name first_sector (len / disk.sector_size);
  let handle = disk.descriptor.handle in
  in_pieces disk first_sector off len @@ fun sector off len ->
  operation disk name (fun token -> raw handle sector b off len token)

let read disk =
  transfer disk "read" (fun handle sector b off len token ->
      Soil_raw_blocks.block_read handle sector b off len token)

let flush disk =
  let handle = disk.descriptor.handle in
  operation disk "flush" (fun token -> Soil_raw_blocks.block_flush handle token)

(* Whether the disk has durable writes; otherwise a flush follows each durable write. *)
let writes_durably disk = disk.capabilities land 1 <> 0

let write_pieces disk =
  transfer disk "write" (fun handle sector b off len token ->
      Soil_raw_blocks.block_write handle sector b off len token)

type slice = Pool.buffer * int * int

(* QEMU 7.2 joins requests that are neighbours, and fails those that have 1024 slices together. *)
let max_slices = 500

(* Lists of at most [max_slices] slices and the bytes of a request each, with their bytes, in order.
   A slice may be cut at a multiple of the sector size. *)
let requests disk slices =
  let rec go all one count bytes = function
    | [] -> List.rev (if one = [] then all else (List.rev one, bytes) :: all)
    | (_, _, 0) :: rest -> go all one count bytes rest
    | slices when count = max_slices || bytes = disk.request ->
        go ((List.rev one, bytes) :: all) [] 0 0 slices
    | (b, off, len) :: rest ->
        let n = min len (disk.request - bytes) in
        go all ((b, off, n) :: one) (count + 1) (bytes + n) ((b, off + n, len - n) :: rest)
  in
  go [] [] 0 0 slices

let vector disk name raw ~first_sector (slices : slice list) =
  List.iter (fun (b, off, len) -> check_buffer disk name b off len) slices;
  let count = List.fold_left (fun sum (_, _, len) -> sum + (len / disk.sector_size)) 0 slices in
  check_sectors disk name first_sector count;
  let handle = disk.descriptor.handle in
  let one sector slices =
    let buffers = Array.of_list (List.map (fun (b, _, _) -> b) slices) in
    let ranges = Scheduler.create_ints (2 * Array.length buffers) in
    List.iteri
      (fun i (_, off, len) ->
        ranges.{2 * i} <- off;
        ranges.{(2 * i) + 1} <- len)
      slices;
    operation disk name (fun token -> raw handle sector buffers ranges token)
  in
  let place (placed, sector) (slices, bytes) =
    ((sector, slices) :: placed, sector + (bytes / disk.sector_size))
  in
  match fst (List.fold_left place ([], first_sector) (requests disk slices)) with
  | [] -> ()
  | [ (sector, slices) ] -> one sector slices
  | several -> Task.iter ~max:in_flight (fun (sector, slices) -> one sector slices) several

let readv disk =
  vector disk "readv" (fun handle sector buffers ranges token ->
      Soil_raw_blocks.block_readv handle sector buffers ranges token)

let writev ?(durable = false) disk ~first_sector slices =
  let at_once = durable && writes_durably disk in
  let raw handle sector buffers ranges token =
    Soil_raw_blocks.block_writev handle sector buffers ranges (Bool.to_int at_once) token
  in
  vector disk "writev" raw ~first_sector slices;
  if durable && not at_once then flush disk

let write ?(durable = false) disk ~first_sector b off len =
  if durable && writes_durably disk then writev ~durable disk ~first_sector [ (b, off, len) ]
  else (
    write_pieces disk ~first_sector b off len;
    if durable then flush disk)

let clear disk name how ~first_sector count =
  check_sectors disk name first_sector count;
  let handle = disk.descriptor.handle in
  operation disk name (fun token -> Soil_raw_blocks.block_clear handle first_sector count how token)

let discard disk = clear disk "discard" 0
let write_zeroes ?(unmap = false) disk = clear disk "write_zeroes" (if unmap then 2 else 1)
