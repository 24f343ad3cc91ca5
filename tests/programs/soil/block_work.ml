(* Disks as sectors, for tests/cases/block_devices.py; the first argument says what. *)
module B = Soil.Block
module T = Soil.Task

let say format = Printf.printf (format ^^ "\n%!")

let catch what f =
  match f () with
  | v -> Some v
  | exception Soil.Error e ->
      say "%s: %s: %s" what (Soil.Error.message e.code) (Soil.Error.to_string e);
      None

let attempt what f = match catch what f with Some () -> say "%s: done" what | None -> ()
let byte n = Char.unsafe_chr ((n * 7 mod 251) + 1)
let length = Bigarray.Array1.dim

let fill b seed =
  for i = 0 to length b - 1 do
    b.{i} <- byte (seed + i)
  done

let is_filled b off len seed =
  let rec go i = i = len || (b.{off + i} = byte (seed + i) && go (i + 1)) in
  go 0

let is_zero b off len =
  let rec go i = i = len || (b.{off + i} = '\000' && go (i + 1)) in
  go 0

(* Slices of these numbers of sectors, aligned or not, some of one buffer. *)
let slices size aligned counts =
  let room = List.fold_left ( + ) 0 counts in
  let shared =
    if aligned then B.buffer (room * size) else Bigarray.Array1.create Char C_layout (room * size)
  in
  let place = ref (room * size) in
  List.mapi
    (fun i count ->
      let len = count * size in
      if i mod 2 = 0 then (
        place := !place - len;
        (shared, !place, len))
      else
        ((if aligned then B.buffer len else Bigarray.Array1.create Char C_layout (len + 1)), 0, len))
    counts

let fill_slices slices seed =
  ignore
    (List.fold_left
       (fun seed (b, off, len) ->
         for i = 0 to len - 1 do
           b.{off + i} <- byte (seed + i)
         done;
         seed + len)
       seed slices)

let are_filled slices seed =
  let one (seed, good) (b, off, len) = (seed + len, good && is_filled b off len seed) in
  snd (List.fold_left one (seed, true) slices)

(* Without many slices if [few], for slow machines. *)
let vectors ~few disk =
  let size = B.sector_size disk in
  let total counts = List.fold_left ( + ) 0 counts in
  let one name aligned counts durable =
    let written = slices size aligned counts and read = slices size aligned (List.rev counts) in
    fill_slices written 3;
    B.writev ~durable disk ~first_sector:5 written;
    let plain = B.buffer (total counts * size) in
    B.read disk ~first_sector:5 plain 0 (length plain);
    B.readv disk ~first_sector:5 read;
    say "%s: %d slices, written %b, read %b" name (List.length counts)
      (is_filled plain 0 (length plain) 3)
      (are_filled read 3)
  in
  one "few" true [ 1; 8; 2; 0; 16; 1 ] false;
  one "durable" true [ 1; 8; 2 ] true;
  one "unaligned" false [ 1; 3; 2; 7 ] false;
  if not few then (
    one "many" true (List.init 300 (fun i -> 1 + (i mod 3))) false;
    one "too many for a request" true (List.init 1500 (fun _ -> 1)) false);
  let b = B.buffer size in
  fill b 9;
  B.write ~durable:true disk ~first_sector:0 b 0 size;
  let c = B.buffer size in
  B.read disk ~first_sector:0 c 0 size;
  say "durable write: %b" (b = c);
  (match B.readv disk ~first_sector:0 [ (b, 0, size - 1) ] with
  | () -> say "a piece of a sector was read"
  | exception Invalid_argument _ -> say "a piece of a sector is refused");
  match B.writev disk ~first_sector:(B.sectors disk - 1) [ (b, 0, size); (c, 0, size) ] with
  | () -> say "written beyond the end"
  | exception Invalid_argument _ -> say "beyond the end is refused"

let clearing disk =
  let size = B.sector_size disk in
  let sectors = (1 lsl 20) / size in
  let b = B.buffer (sectors * size) in
  fill b 1;
  B.write disk ~first_sector:0 b 0 (length b);
  say "offered: %b %b" (B.can_discard disk) (B.can_write_zeroes disk);
  attempt "zeroes" (fun () -> B.write_zeroes disk ~first_sector:3 10);
  attempt "unmap" (fun () -> B.write_zeroes ~unmap:true disk ~first_sector:20 (sectors - 40));
  attempt "discard" (fun () -> B.discard disk ~first_sector:0 1);
  B.flush disk;
  let c = B.buffer (sectors * size) in
  B.read disk ~first_sector:0 c 0 (length c);
  let at n = n * size in
  say "zeros %b %b, rest %b %b"
    (is_zero c (at 3) (at 10))
    (is_zero c (at 20) (at (sectors - 40)))
    (is_filled c (at 1) (at 2) (1 + at 1))
    (is_filled c (at 13) (at 7) (1 + at 13)
    && is_filled c (at (sectors - 20)) (at 20) (1 + at (sectors - 20)))

(* Says when the size changes, and how the last sector that ever was does. *)
let watch disk changes =
  let size = B.sector_size disk in
  let b = B.buffer size in
  let rec go seen largest left =
    let sectors = B.sectors disk in
    if sectors <> seen then (
      say "sectors %d" sectors;
      let largest = max largest sectors in
      attempt "read the last" (fun () -> B.read disk ~first_sector:(sectors - 1) b 0 size);
      attempt "read the last that was" (fun () -> B.read disk ~first_sector:(largest - 1) b 0 size);
      attempt "write the last that was" (fun () ->
          B.write disk ~first_sector:(largest - 1) b 0 size);
      if left > 0 then go sectors largest (left - 1))
    else (
      Soil.Clock.sleep 0.02;
      go seen largest left)
  in
  go 0 0 changes

(* So many reads at once. *)
let depth disk count =
  let size = B.sector_size disk in
  let ended = ref 0 in
  let one n =
    let b = B.buffer size in
    B.read disk ~first_sector:(n * 64) b 0 size;
    incr ended
  in
  T.scope @@ fun scope ->
  for n = 0 to count - 1 do
    ignore (T.spawn scope (fun () -> one n))
  done;
  T.yield ();
  say "started"

(* Reads and writes on a disk that stops answering, while another task ticks and another disk is
   used. *)
let stalls disk other =
  let size = B.sector_size disk in
  let ticks = ref 0 and others = ref 0 in
  T.scope @@ fun scope ->
  let rec tick () =
    Soil.Clock.sleep 0.02;
    incr ticks;
    tick ()
  in
  let ticking = T.spawn scope tick in
  let rec use () =
    let b = B.buffer size in
    (match
       B.write other ~first_sector:(!others mod 64) b 0 size;
       B.flush other
     with
    | () -> incr others
    (* On a slow host its deadline can pass, too. *)
    | exception Soil.Error _ -> ());
    Soil.Clock.sleep 0.02;
    use ()
  in
  let using = T.spawn scope use in
  (* When the last operation succeeded, and how far the others were then. *)
  let failures = ref 0 and good = ref 0 and last = ref (0, 0, 0) in
  let worker n =
    let rec go i =
      let b = B.buffer (8 * size) in
      let one () =
        match (n + i) mod 4 with
        | 0 -> B.write disk ~first_sector:(8 * n) b 0 (8 * size)
        | 1 -> B.readv disk ~first_sector:(8 * n) [ (b, 0, size); (b, size, 7 * size) ]
        | 2 -> B.flush disk
        | _ -> B.read disk ~first_sector:(8 * n) b 0 (8 * size)
      in
      match one () with
      | () ->
          incr good;
          last := (Soil.Clock.monotonic_ns (), !ticks, !others);
          if !good = 50 then say "under way";
          go (i + 1)
      | exception Soil.Error e ->
          incr failures;
          say "failed: %s" (Soil.Error.to_string e);
          (* Memory is made and collected; the device's must not be among it. *)
          Gc.full_major ()
    in
    go 0
  in
  T.iter worker (List.init 20 Fun.id);
  let since, ticks_before, others_before = !last in
  let took = (Soil.Clock.monotonic_ns () - since) / 1_000_000 in
  let ticked () = !ticks > ticks_before + 5 and used () = !others > others_before in
  (* They go on while the disk still doesn't answer; how fast is a matter of the host. *)
  Patience.await (fun () -> ticked () && used ());
  say "failures %d, ticks %b, others %b, after %d ms" !failures (ticked ()) (used ()) took;
  T.cancel ticking;
  T.cancel using;
  (* The disk answers the abandoned requests and works again. *)
  let rec again n =
    let b = B.buffer size in
    match B.read disk ~first_sector:0 b 0 size with
    | () -> say "works again"
    | exception Soil.Error e ->
        if n = 0 then say "still: %s" (Soil.Error.to_string e)
        else (
          Soil.Clock.sleep 0.1;
          again (n - 1))
  in
  again 600

(* Writes, reads and flushes of the other disk. *)
let use_other other =
  let size = B.sector_size other in
  let b = B.buffer (64 * size) and c = B.buffer (64 * size) in
  attempt "the other" (fun () ->
      for n = 1 to 20 do
        fill b n;
        B.write other ~first_sector:(64 * n) b 0 (length b);
        B.flush other;
        B.read other ~first_sector:(64 * n) c 0 (length c);
        if b <> c then failwith "it read something else"
      done)

(* Reads and writes on a disk until it is removed. *)
let removal disk other =
  let size = B.sector_size disk in
  let good = ref 0 in
  let worker n =
    let b = B.buffer (8 * size) in
    let rec go i =
      match
        if (n + i) mod 2 = 0 then B.write disk ~first_sector:(8 * n) b 0 (8 * size)
        else B.read disk ~first_sector:(8 * n) b 0 (8 * size)
      with
      | () ->
          incr good;
          if !good = 100 then say "under way";
          go (i + 1)
      | exception Soil.Error e -> Soil.Error.message e.code
    in
    go 0
  in
  let errors = T.map worker (List.init 20 Fun.id) in
  say "all %d failed: %s" (List.length errors) (String.concat ", " (List.sort_uniq compare errors));
  let b = B.buffer size in
  attempt "read again" (fun () -> B.read disk ~first_sector:0 b 0 size);
  attempt "flush again" (fun () -> B.flush disk);
  use_other other

(* So many reads of a slow disk at once, and meanwhile the other. *)
let beside disk other count =
  T.scope @@ fun scope ->
  let slow = T.spawn scope (fun () -> depth disk count) in
  T.yield ();
  use_other other;
  ignore (T.await slow);
  say "ended"

let part name mark =
  match catch ("open " ^ name) (fun () -> B.open_ name) with
  | None -> ()
  | Some disk ->
      let size = B.sector_size disk in
      let b = B.buffer size in
      fill b mark;
      B.write disk ~first_sector:0 b 0 size;
      B.write disk ~first_sector:(B.sectors disk - 1) b 0 size;
      (match B.write disk ~first_sector:(B.sectors disk) b 0 size with
      | () -> say "%s: written beyond its end" name
      | exception Invalid_argument _ -> ());
      attempt ("open " ^ name ^ " again") (fun () -> B.close (B.open_ name));
      B.flush disk;
      say "%s: %s, %d sectors" name (B.name disk) (B.sectors disk)

let () =
  Soil.run @@ fun () ->
  let with_data f = B.with_disk "data" f in
  match Array.to_list Sys.argv |> List.tl with
  | "vectors" :: words ->
      with_data @@ fun disk ->
      say "sectors of %d" (B.sector_size disk);
      vectors ~few:(words = [ "few" ]) disk
  | [ "clearing" ] -> with_data clearing
  | [ "watch"; changes ] -> with_data (fun disk -> watch disk (int_of_string changes))
  | [ "depth"; count ] -> (
      with_data @@ fun disk ->
      match depth disk (int_of_string count) with
      | () -> say "ended"
      | exception Soil.Error e -> say "failed: %s" (Soil.Error.to_string e))
  | [ "stalls" ] -> with_data (fun disk -> B.with_disk "other" (stalls disk))
  | [ "removal" ] -> with_data (fun disk -> B.with_disk "other" (removal disk))
  | "beside" :: count :: names ->
      let name = match names with [] -> "other" | name :: _ -> name in
      with_data (fun disk ->
          B.with_disk name (fun other -> beside disk other (int_of_string count)))
  | "partitions" :: names ->
      (* All are open at the same time. *)
      List.iteri (fun i name -> part name (i + 1)) names
  | [ "read" ] -> attempt "open" (fun () -> with_data (fun disk -> ignore (B.sectors disk)))
  | _ -> prerr_endline "unknown work"
