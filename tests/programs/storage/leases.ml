(* Files read where they lie, the same on every kind of volume: /fat and /ext4 on disks, /tmp in
   memory, /embedded in the program. *)

module D = Soil.File_descriptor
module Fs = Soil.Fs
module In_place = Soil.In_place

let say format = Printf.printf (format ^^ "\n%!")
let byte i = Char.chr (((i * 7) + (i / 251)) land 255)
let dim = Bigarray.Array1.dim

(* [b] is the file's contents from [position] on, which [at] gives. *)
let same at position b =
  let rec go i = i = dim b || (Bigarray.Array1.get b i = at (position + i) && go (i + 1)) in
  go 0

let write path size at = Fs.write_file path (String.init size at)

(* The whole file by [iter]: its bytes, and whether all are right. *)
let whole ?position ?len path at =
  Fs.with_file path @@ fun d ->
  let reached = ref (Option.value position ~default:0) and right = ref true in
  In_place.iter ?position ?len d (fun b ->
      right := !right && dim b > 0 && same at !reached b;
      reached := !reached + dim b);
  (!reached, !right)

let size = 300_001

let reads path at =
  let show (reached, right) = Printf.sprintf "%d %b" reached right in
  say "%s: cold %s" path (show (whole path at));
  say "%s: again %s" path (show (whole path at));
  say "%s: a part %s" path (show (whole ~position:70_001 ~len:100_000 path at));
  say "%s: past the end %s" path (show (whole ~position:(size + 5) path at));
  Fs.with_file path @@ fun d ->
  let one position len =
    match In_place.with_lease d ~position len (fun b -> (dim b > 0, same at position b)) with
    | None -> "nothing"
    | Some (some, right) -> Printf.sprintf "%b %b" some right
  in
  say "%s: lease %s, %s at the end, %s of 0 bytes" path (one 1234 500) (one size 10) (one 0 0);
  let lease = Option.get (In_place.lease d ~position:5 100) in
  let kept = Bigarray.Array1.sub (In_place.buffer lease) 10 20 in
  In_place.release lease;
  In_place.release lease;
  say "%s: released %d, kept %b, position %d" path
    (dim (In_place.buffer lease))
    (same at 15 kept) (Fs.position d);
  match In_place.iter d (fun _ -> raise Exit) with
  | () -> say "no exception"
  | exception Exit -> say "%s: given back" path

(* A system call takes lent bytes as any others. *)
let system_call path =
  Fs.write_file path "written from where it lies\n";
  Fs.sync_all ();
  Fs.with_file path @@ fun d ->
  let written b = Unix.write_bigarray Unix.stdout b 0 (dim b) in
  say "%s: wrote %d" path (Option.get (In_place.with_lease d ~position:0 100 written))

(* Lent slices keep the old contents; later reads return the new ones. *)
let changes path =
  let other i = byte (i + 1) in
  write path size byte;
  Fs.sync_all ();
  ignore (whole path byte);
  Fs.with_file ~mode:Write path @@ fun d ->
  let lease = Option.get (In_place.lease d ~position:0 4096) in
  let old () = same byte 0 (In_place.buffer lease) in
  Fs.pwrite d ~position:0 (Bytes.init 100_000 other) 0 100_000;
  say "%s: written, the lease is old: %b" path (old ());
  let now i = if i < 100_000 then other i else byte i in
  let reached, right = whole path now in
  say "%s: the file is new: %d %b" path reached right;
  Fs.sync d;
  let reached, right = whole path now in
  say "%s: and synced: %d %b" path reached right;
  Fs.truncate d 10;
  Fs.truncate d 5000;
  let reached, right = whole path (fun i -> if i < 10 then other i else '\000') in
  say "%s: cut and extended: %d %b, the lease is old: %b" path reached right (old ());
  In_place.release lease

(* Readers by copy and in place, and a writer of the same file, in turns. *)
let together path =
  write path 65_536 (fun _ -> 'a');
  Fs.sync_all ();
  let uniform b = dim b = 0 || same (fun _ -> Bigarray.Array1.get b 0) 0 b in
  let torn = ref 0 and seen = ref 0 and writing = ref true in
  let writer () =
    Fs.with_file ~mode:Write path (fun d ->
        for n = 1 to 25 do
          let letter = Char.chr (97 + (n mod 26)) in
          Fs.pwrite d ~position:0 (Bytes.make 4096 letter) 0 4096;
          if n mod 5 = 0 then Fs.sync d;
          Soil.Task.yield ()
        done);
    writing := false
  in
  let reader look () =
    Fs.with_file path @@ fun d ->
    while !writing do
      if not (look d) then incr torn;
      incr seen;
      Soil.Task.yield ()
    done
  in
  let copy d =
    let b = Bigarray.Array1.create Char C_layout 4096 in
    Fs.pread_into d ~position:0 b 0 4096 = 4096 && uniform b
  in
  let in_place d = Option.get (In_place.with_lease d ~position:0 4096 uniform) in
  Soil.Task.all [ writer; reader copy; reader in_place ] |> ignore;
  say "%s: %b, %d torn" path (!seen > 0) !torn

let bounds path =
  Fs.with_file path @@ fun d ->
  let rec take leases =
    match In_place.lease d ~position:0 1000 with
    | Some lease -> take (lease :: leases)
    | None -> assert false
    | exception Soil.Error e -> (leases, Soil.Error.message e.code)
  in
  let leases, why = take [] in
  say "%s: at last %s, a copy is %d" path why (Fs.pread d ~position:0 (Bytes.create 1000) 0 1000);
  List.iter In_place.release leases;
  say "%s: afterwards %b" path (Option.is_some (In_place.with_lease d ~position:0 10 ignore))

let refusals path =
  let error f =
    match f () with _ -> "no error" | exception Soil.Error e -> Soil.Error.message e.code
  in
  let closed = Fs.open_ path in
  D.close closed;
  say "closed: %s" (error (fun () -> In_place.lease closed ~position:0 1));
  Fs.with_file path (fun d ->
      match In_place.lease d ~position:(-1) 1 with
      | _ -> say "no error"
      | exception Invalid_argument line -> say "%s" line)

let () =
  Soil.Embedded.register ~at:"/embedded" [| ("file", String.init size byte) |];
  Soil.run @@ fun () ->
  Fs.mount "memory:8M" "/tmp";
  let volumes = [ "/fat"; "/ext4"; "/tmp" ] in
  List.iter (fun at -> write (at ^ "/file") size byte) volumes;
  Fs.sync_all ();
  List.iter (fun at -> reads (at ^ "/file") byte) (volumes @ [ "/embedded" ]);
  List.iter (fun at -> system_call (at ^ "/text")) volumes;
  List.iter (fun at -> changes (at ^ "/changed")) volumes;
  List.iter (fun at -> together (at ^ "/together")) volumes;
  List.iter (fun at -> bounds (at ^ "/file")) (volumes @ [ "/embedded" ]);
  refusals "/fat/file";
  say "hits: %b" ((Soil.Cache.volume "/fat").hits > 10)
