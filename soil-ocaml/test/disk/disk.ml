module D = Soil.File_descriptor
module Fs = Soil.Fs
module T = Soil.Task

let bool = Check.bool
let int = Check.int
let string = Check.string
let test = Check.in_run
let fails_with = Check.fails_with
let is_invalid = Check.is_invalid

(* A folder for each test. *)
let folder =
  let n = ref 0 in
  fun () ->
    incr n;
    let path = "/data/folder " ^ string_of_int !n in
    Fs.mkdir path;
    path

let whole_files () =
  let f = folder () ^ "/file.txt" in
  fails_with "missing" Not_found (fun () -> Fs.read_file f);
  Fs.write_file f "one";
  string "written" "one" (Fs.read_file f);
  Fs.write_file f "tw";
  string "replaced" "tw" (Fs.read_file f);
  Fs.append_file f "o";
  string "appended" "two" (Fs.read_file f);
  fails_with "max" Too_large (fun () -> Fs.read_file ~max:2 f);
  let large = String.init 200_001 (fun i -> Char.chr (i * 11 / 7 land 255)) in
  Fs.write_file f large;
  bool "large" true (Fs.read_file f = large);
  int "size" 200_001 (Fs.stat f).size

let modes () =
  let f = folder () ^ "/file" in
  fails_with "Read" Not_found (fun () -> Fs.open_ f);
  Fs.with_file ~mode:Create f (fun d -> D.write_string d "abc");
  fails_with "Create" Exists (fun () -> Fs.open_ ~mode:Create f);
  Fs.with_file ~mode:Write f (fun d -> D.write_string d "X");
  string "Write" "Xbc" (Fs.read_file f);
  Fs.with_file ~mode:Append f (fun d ->
      Fs.seek d 0;
      D.write_string d "Y");
  string "Append" "XbcY" (Fs.read_file f);
  Fs.with_file f (fun d -> fails_with "Read" Read_only (fun () -> D.write_string d "no"));
  let byte d = D.read d (Bytes.create 1) 0 1 in
  Fs.with_file ~flags:[ `Write ] f (fun d ->
      fails_with "write only" Permission_denied (fun () -> byte d));
  fails_with "not UTF-8" Invalid_name (fun () -> Fs.stat "/data/\xff");
  fails_with "long" Name_too_long (fun () -> Fs.stat ("/data/" ^ String.make 256 'n'));
  Fs.with_file ~mode:Truncate f (fun d -> int "Truncate" 0 (Fs.size d))

let positions () =
  let f = folder () ^ "/file" in
  Fs.with_file ~mode:Create f @@ fun d ->
  D.write_string d "0123456789";
  int "after writing" 10 (Fs.position d);
  Fs.seek d 4;
  let b = Bytes.create 3 in
  D.really_read d b 0 3;
  string "from there" "456" (Bytes.to_string b);
  int "pread" 2 (Fs.pread d ~position:8 b 0 3);
  int "unmoved" 7 (Fs.position d);
  int "past the end" 0 (Fs.pread d ~position:10 b 0 3);
  Fs.pwrite d ~position:12 (Bytes.of_string "xyz") 1 2;
  string "a hole of zeros" "0123456789\000\000yz" (Fs.read_file f);
  Fs.truncate d 5;
  string "cut" "01234" (Fs.read_file f);
  Fs.truncate d 7;
  string "longer" "01234\000\000" (Fs.read_file f);
  Fs.sync d;
  is_invalid "seek" (fun () -> Fs.seek d (-1));
  is_invalid "pread" (fun () -> Fs.pread d ~position:(-1) b 0 1);
  is_invalid "truncate" (fun () -> Fs.truncate d (-1))

let bigarrays () =
  let f = folder () ^ "/file" in
  Fs.with_file ~mode:Create f @@ fun d ->
  let n = 150_000 in
  let b = Bigarray.Array1.create Char C_layout n in
  for i = 0 to n - 1 do
    b.{i} <- Char.chr (i * 5 land 255)
  done;
  D.write_from d b 0 n;
  let c = Bigarray.Array1.create Char C_layout n in
  Fs.seek d 0;
  let rec read off = match D.read_into d c off (n - off) with 0 -> off | k -> read (off + k) in
  int "read" n (read 0);
  bool "same" true (b = c);
  int "pread_into" 100 (Fs.pread_into d ~position:(n - 100) c 7 1000);
  Fs.pwrite_from d ~position:1 b 0 3;
  let r, w = Soil.pipe () in
  let copied, got =
    T.both
      (fun () ->
        Fs.seek d 0;
        let n = D.copy ~src:d ~dst:w () in
        D.close w;
        n)
      (fun () -> D.read_all r)
  in
  int "copied" n copied;
  int "got" n (String.length got)

let directories () =
  let top = folder () in
  Fs.mkdir_p (top ^ "/a/b/c");
  Fs.mkdir_p (top ^ "/a/b/c");
  Fs.write_file (top ^ "/a/A long name.text") "";
  bool "list" true (Fs.list (top ^ "/a") = [ ("A long name.text", Fs.File); ("b", Directory) ]);
  fails_with "mkdir" Exists (fun () -> Fs.mkdir (top ^ "/a"));
  fails_with "rmdir" Not_empty (fun () -> Fs.rmdir (top ^ "/a"));
  fails_with "not a directory" Not_directory (fun () -> Fs.list (top ^ "/a/A long name.text"));
  fails_with "is a directory" Is_directory (fun () -> Fs.open_ (top ^ "/a"));
  fails_with "missing" Not_found (fun () -> Fs.list (top ^ "/x"));
  Fs.rename (top ^ "/a/A long name.text") (top ^ "/moved");
  Fs.write_file (top ^ "/other") "other";
  Fs.rename (top ^ "/other") (top ^ "/moved");
  string "replaced" "other" (Fs.read_file (top ^ "/moved"));
  Fs.unlink (top ^ "/moved");
  bool "gone" false (Fs.exists (top ^ "/moved"));
  fails_with "unlink" Not_found (fun () -> Fs.unlink (top ^ "/moved"));
  Fs.rmdir (top ^ "/a/b/c");
  bool "empty" true (Fs.list (top ^ "/a/b") = []);
  bool "directory" true ((Fs.stat (top ^ "/a")).kind = Directory);
  let many = List.init 300 (fun i -> "a name that takes several entries " ^ string_of_int i) in
  List.iter (fun name -> Fs.write_file (top ^ "/a/b/" ^ name) name) many;
  int "many" 300 (List.length (Fs.list (top ^ "/a/b")));
  let space = Fs.space "/data" in
  bool "space" true (space.free > 0 && space.free < space.total)

let names () =
  let top = folder () in
  fails_with "no such mount" Not_found (fun () -> Fs.read_file "/nowhere/x");
  fails_with "too long" Name_too_long (fun () -> Fs.write_file (top ^ "/" ^ String.make 300 'n') "");
  fails_with "not for FAT" Invalid_name (fun () -> Fs.write_file (top ^ "/a:b") "");
  Fs.write_file (top ^ "/grüße ☃") "ü";
  string "Unicode" "ü" (Fs.read_file (top ^ "/grüße ☃"))

(* Many tasks, each with files of its own, and one that reads what they write. *)
let together () =
  let top = folder () in
  let text i = String.make (1 + (i * 3001)) (Char.chr (97 + i)) in
  let file i = top ^ "/" ^ string_of_int i in
  let work i =
    for _ = 1 to 5 do
      Fs.write_file (file i) (text i);
      bool "own file" true (Fs.read_file (file i) = text i)
    done
  in
  T.iter work (List.init 10 Fun.id);
  int "all there" 10 (List.length (Fs.list top))

(* Files that never make a task wait don't keep other tasks from running. *)
let fairness () =
  let f = "/memory/fair" in
  Fs.write_file f "always there";
  let others = ref 0 in
  T.scope (fun s ->
      ignore
        (T.spawn s (fun () ->
             for _ = 1 to 100 do
               incr others;
               T.yield ()
             done));
      let reads = ref 0 in
      while !others < 100 && !reads < 1_000_000 do
        string "read" "always there" (Fs.read_file f);
        incr reads
      done;
      int "turns of the other" 100 !others);
  Fs.unlink f

(* A cancelled transfer leaves its buffer alone from then on. *)
let cancelled () =
  let f = folder () ^ "/file" in
  Fs.write_file f (String.make 1_000_000 'f');
  Fs.with_file f @@ fun d ->
  let b = Bigarray.Array1.create Char C_layout 1_000_000 in
  for turns = 0 to 20 do
    T.scope (fun s ->
        let t = T.spawn s (fun () -> ignore (Fs.pread_into d ~position:0 b 0 1_000_000)) in
        for _ = 1 to turns do
          T.yield ()
        done;
        T.cancel t);
    Bigarray.Array1.fill b 'm';
    Soil.Clock.sleep 0.001;
    bool "untouched" true (String.for_all (( = ) 'm') (String.init 1_000_000 (fun i -> b.{i})))
  done

let sectors () =
  fails_with "missing" No_device (fun () -> Soil.Block.open_ "none");
  bool "names" true (List.mem "raw" (Soil.Block.names ()));
  Soil.Block.with_disk "raw" @@ fun disk ->
  let size = Soil.Block.sector_size disk in
  int "size" (1 lsl 20) (size * Soil.Block.sectors disk);
  let n = 1 lsl 20 in
  let b = Bigarray.Array1.create Char C_layout n in
  for i = 0 to n - 1 do
    b.{i} <- Char.chr (i * 13 / 9 land 255)
  done;
  Soil.Block.write disk ~first_sector:0 b 0 n;
  Soil.Block.flush disk;
  let c = Bigarray.Array1.create Char C_layout n in
  Soil.Block.read disk ~first_sector:0 c 0 n;
  bool "same" true (b = c);
  Soil.Block.read disk ~first_sector:3 c size size;
  bool "one sector" true (Bigarray.Array1.sub c size size = Bigarray.Array1.sub b (3 * size) size);
  fails_with "in use" Busy (fun () -> Soil.Block.open_ "raw");
  Soil.Block.close disk;
  T.scope (fun scope ->
      ignore (Soil.Block.own scope (Soil.Block.open_ "raw"));
      fails_with "owned" Busy (fun () -> Soil.Block.open_ "raw"));
  Soil.Block.with_disk "raw" @@ fun disk ->
  is_invalid "not whole sectors" (fun () -> Soil.Block.read disk ~first_sector:0 c 0 (size - 1));
  is_invalid "past the end" (fun () ->
      Soil.Block.read disk ~first_sector:(Soil.Block.sectors disk) c 0 size);
  is_invalid "before the start" (fun () -> Soil.Block.read disk ~first_sector:(-1) c 0 size)

(* Slices, durable writes, sectors without data. *)
let slices () =
  let module B = Soil.Block in
  B.with_disk "raw" @@ fun disk ->
  let size = B.sector_size disk in
  let pieces counts =
    List.mapi
      (fun i n ->
        if i mod 2 = 0 then (B.buffer (n * size), 0, n * size)
        else (Bigarray.Array1.create Char C_layout ((n * size) + 24), 24, n * size))
      counts
  in
  let each f pieces =
    let one at (b, off, len) =
      for i = 0 to len - 1 do
        f b (off + i) (Char.chr ((at + i) * 13 / 9 land 255))
      done;
      at + len
    in
    ignore (List.fold_left one 0 pieces)
  in
  let counts = [ 1; 0; 7; 2; 30; 1 ] in
  List.iter
    (fun durable ->
      let written = pieces counts and read = pieces (List.rev counts) in
      each (fun b i c -> b.{i} <- c) written;
      B.writev ~durable disk ~first_sector:9 written;
      B.readv disk ~first_sector:9 read;
      each (fun b i c -> if b.{i} <> c then Alcotest.fail "not what was written") read)
    [ false; true ];
  let b = B.buffer (20 * size) in
  B.write_zeroes disk ~first_sector:10 2;
  B.write_zeroes ~unmap:true disk ~first_sector:12 3;
  B.discard disk ~first_sector:15 1;
  B.read disk ~first_sector:0 b 0 (20 * size);
  let zeros from n =
    Seq.for_all (fun i -> b.{i} = '\000') (Seq.init (n * size) (( + ) (from * size)))
  in
  bool "zeros" true (zeros 10 5);
  bool "the rest" false (zeros 9 1 || zeros 16 1);
  fails_with "closed" Closed (fun () ->
      let closed = B.open_ "small" in
      B.close closed;
      B.write_zeroes closed ~first_sector:0 1);
  is_invalid "zeros beyond the end" (fun () ->
      B.write_zeroes disk ~first_sector:(B.sectors disk - 1) 2);
  is_invalid "a piece of a sector" (fun () ->
      B.writev disk ~first_sector:0 [ (b, 0, size); (b, 0, 1) ]);
  is_invalid "outside of the buffer" (fun () ->
      B.readv disk ~first_sector:0 [ (b, 0, size); (b, 20 * size, size) ])

let large_sectors () =
  let module B = Soil.Block in
  B.with_disk "large" @@ fun disk ->
  int "sector" 4096 (B.sector_size disk);
  int "sectors" 16 (B.sectors disk);
  let b = B.buffer 8192 in
  Bigarray.Array1.fill b 'l';
  B.write ~durable:true disk ~first_sector:14 b 0 8192;
  Bigarray.Array1.fill b 'm';
  B.read disk ~first_sector:15 b 0 4096;
  bool "read" true (b.{4095} = 'l' && b.{4096} = 'm');
  is_invalid "512 bytes" (fun () -> B.read disk ~first_sector:0 b 0 512)

let sizes_that_change () =
  let module B = Soil.Block in
  B.with_disk "small" @@ fun disk ->
  int "size" 8 (B.sectors disk);
  let b = B.buffer 512 in
  Unix.truncate "small.img" 8192;
  B.write disk ~first_sector:15 b 0 512;
  Unix.truncate "small.img" 2048;
  fails_with "read" Io (fun () -> B.read disk ~first_sector:15 b 0 512);
  fails_with "write" Io (fun () -> B.write disk ~first_sector:15 b 0 512);
  fails_with "slices" Io (fun () ->
      B.writev ~durable:true disk ~first_sector:3 [ (b, 0, 512); (b, 0, 512) ]);
  fails_with "zeros" Io (fun () -> B.write_zeroes disk ~first_sector:4 1);
  int "shrunk" 4 (B.sectors disk);
  int "not longer again" 2048 (Unix.stat "small.img").st_size;
  is_invalid "never there" (fun () -> B.read disk ~first_sector:16 b 0 512)

(* One file against bytes in memory. *)
type step =
  | Write of int * int  (** Position and number of bytes. *)
  | Append of int
  | Cut of int
  | Read of int * int
  | Reopen

let gen_steps =
  let open QCheck2.Gen in
  let place = int_bound 20_000 and amount = int_bound 9_000 in
  let step =
    frequency
      [
        (4, map2 (fun p n -> Write (p, n)) place amount);
        (2, map (fun n -> Append n) amount);
        (2, map (fun n -> Cut n) place);
        (4, map2 (fun p n -> Read (p, n)) place amount);
        (1, return Reopen);
      ]
  in
  list_size (int_bound 25) step

let against_model steps =
  let path = "/data/model" in
  if Fs.exists path then Fs.unlink path;
  let model = ref "" and stamp = ref 0 in
  let fill n =
    incr stamp;
    String.init n (fun i -> Char.chr ((!stamp + i) land 255))
  in
  let sized n = String.sub (!model ^ String.make (max 0 (n - String.length !model)) '\000') 0 n in
  let put at s =
    if s <> "" then
      let after = at + String.length s in
      let rest =
        if after < String.length !model then String.sub !model after (String.length !model - after)
        else ""
      in
      model := sized at ^ s ^ rest
  in
  let d = ref (Fs.open_ ~mode:Write path) in
  let ok =
    List.for_all
      (fun step ->
        (match step with
        | Write (at, n) ->
            let s = fill n in
            put at s;
            Fs.pwrite !d ~position:at (Bytes.of_string s) 0 n
        | Append n ->
            let s = fill n in
            put (String.length !model) s;
            Fs.seek !d (Fs.size !d);
            D.write_string !d s
        | Cut n ->
            model := sized n;
            Fs.truncate !d n
        | Reopen ->
            D.close !d;
            d := Fs.open_ ~mode:Write path
        | Read (at, n) ->
            let b = Bytes.create n in
            let got = Fs.pread !d ~position:at b 0 n in
            let expected = max 0 (min n (String.length !model - at)) in
            if got <> expected || (got > 0 && Bytes.sub_string b 0 got <> String.sub !model at got)
            then failwith "read something else");
        Fs.size !d = String.length !model)
      steps
  in
  D.close !d;
  ok && Fs.read_file path = !model

let caches () =
  let f = folder () ^ "/cached" in
  let text = String.make 100_000 'c' in
  Fs.write_file f text;
  let written = Soil.Cache.volume f in
  bool "something waits" true (written.dirty > 0);
  bool "in the total" true ((Soil.Cache.total ()).dirty >= written.dirty);
  Fs.sync_volume f;
  int "nothing waits" 0 (Soil.Cache.volume f).dirty;
  string "read" text (Fs.read_file f);
  let once = Soil.Cache.volume f and all = Soil.Cache.total () in
  string "read again" text (Fs.read_file f);
  let twice = Soil.Cache.volume f in
  bool "hits" true (twice.hits > once.hits);
  int "no misses" once.misses twice.misses;
  int "the total counts the same" (twice.hits - once.hits) ((Soil.Cache.total ()).hits - all.hits);
  let { Soil.Cache.used; limit } = Soil.Cache.memory () in
  bool "kept" true (used >= 100_000 && used <= limit);
  Fs.write_file "/memory/cached" text;
  bool "no disk, no cache" true
    (Soil.Cache.volume "/memory" = { hits = 0; misses = 0; dirty = 0; read_ahead = 0 })

let property =
  Check.property_in_run ~count:100 "a file is what a model says" gen_steps against_model

(* Whichever calls are cancelled, the position ends behind the bytes that the others returned. *)
let nothing_lost () =
  let text = String.init 300_000 (fun i -> Char.chr (((i * 7) + (i / 251)) land 255)) in
  let random = Stdlib.Random.State.make [| 5 |] in
  let below n = Stdlib.Random.State.int random n in
  let of_file f =
    Fs.write_file f text;
    Fs.sync_all ();
    Fs.with_file f @@ fun d ->
    let got = Buffer.create 300_000 and ended = ref false in
    let big = Bigarray.Array1.create Bigarray.char Bigarray.c_layout 9000 in
    let step () =
      let n = 1 + below 9000 in
      let b = Bytes.create n in
      match below 5 with
      | 0 ->
          let k = D.read d b 0 n in
          if k = 0 then ended := true else Buffer.add_subbytes got b 0 k
      | 1 -> (
          match D.really_read d b 0 n with
          | () -> Buffer.add_bytes got b
          | exception End_of_file -> Buffer.add_string got (D.read_all d))
      | 2 -> (
          match D.read_all ~max:n d with
          | s ->
              Buffer.add_string got s;
              ended := true
          | exception Soil.Error { code = Too_large; _ } -> ())
      | 3 ->
          for i = 0 to D.read_into d big 0 n - 1 do
            Buffer.add_char got big.{i}
          done
      | _ ->
          (* Copies through a pipe until the copy is cancelled. *)
          let r, w = Soil.pipe ~capacity:500 () in
          T.protect (fun () ->
              T.scope (fun s ->
                  let copy () =
                    ignore (D.copy ~buffer:n ~src:d ~dst:w ());
                    D.close w
                  in
                  let copying = T.spawn s copy in
                  let k = D.read r b 0 n in
                  Buffer.add_subbytes got b 0 k;
                  T.cancel copying);
              D.close w;
              Buffer.add_string got (D.read_all r);
              D.close r)
    in
    while not !ended do
      let turns = below 4 in
      T.scope (fun s ->
          let work () =
            while not !ended do
              step ()
            done
          in
          let t = T.spawn s work in
          for _ = 0 to turns do
            T.yield ()
          done;
          T.cancel t;
          match T.await t with () -> () | exception T.Cancelled -> ());
      int "position" (Buffer.length got) (Fs.position d)
    done;
    bool f true (Buffer.contents got = text)
  in
  List.iter of_file
    [ folder () ^ "/f"; "/memory/nothing lost"; "/host/nothing lost"; "/ext4/nothing lost" ]

exception Interrupted

(* A handler's exception leaves the call, and the buffer stays until the device is through with
   it. *)
let pinned () =
  Soil.Block.with_disk "raw" @@ fun disk ->
  let before = Sys.signal Sys.sigalrm (Signal_handle (fun _ -> raise Interrupted)) in
  let under_way () = Soil.Machine.counter "operations" <> Some 0 in
  let writes = ref 0 in
  for i = 1 to 30 do
    let freed = ref false and begun = ref false in
    let write it_value =
      ignore (Unix.setitimer ITIMER_REAL { it_value; it_interval = 0. });
      let b = Soil.Block.buffer 65536 in
      Bigarray.Array1.fill b 'x';
      Gc.finalise (fun _ -> freed := true) b;
      begun := true;
      while true do
        Soil.Block.write ~durable:true disk ~first_sector:0 b 0 65536
      done
    in
    (match write (0.001 +. (Float.of_int i *. 0.0001)) with
    | () -> ()
    | exception Interrupted -> ());
    Gc.full_major ();
    if under_way () && !freed then Alcotest.fail "freed under the device's hands";
    while under_way () do
      Soil.Clock.sleep 0.001
    done;
    (* Where this process had to wait for its turn, the handler may have raised before. *)
    if !begun then (
      incr writes;
      (* The next wait handles the operations that had completed when the handler raised. *)
      let rec freed_after waits =
        !freed
        || waits > 0
           &&
           (Soil.Clock.sleep 0.001;
            Gc.full_major ();
            freed_after (waits - 1))
      in
      bool "freed in the end" true (freed_after 100))
  done;
  bool "written" true (!writes > 0);
  Sys.set_signal Sys.sigalrm before

(* A handler may raise at any moment of a read, also before its operation begins: its buffer is free
   in the end. *)
let interrupted_reads () =
  Soil.Block.with_disk "raw" @@ fun disk ->
  let before = Sys.signal Sys.sigalrm (Signal_handle (fun _ -> raise Interrupted)) in
  let held = ref 0 in
  let free _ = decr held in
  let read it_value =
    ignore (Unix.setitimer ITIMER_REAL { it_value; it_interval = 0. });
    while true do
      let b = Soil.Block.buffer 512 in
      Gc.finalise free b;
      incr held;
      Soil.Block.read disk ~first_sector:0 b 0 512
    done
  in
  for i = 1 to 1000 do
    try read (0.0003 +. (Float.of_int (i mod 97) *. 0.000003)) with Interrupted -> ()
  done;
  Sys.set_signal Sys.sigalrm before;
  while Soil.Machine.counter "operations" <> Some 0 do
    Soil.Clock.sleep 0.001
  done;
  let rec held_after waits =
    Soil.Clock.sleep 0.001;
    Gc.full_major ();
    if !held = 0 || waits = 1 then !held else held_after (waits - 1)
  in
  int "buffers in use" 0 (held_after 100)

let () =
  Alcotest.run "disk"
    [
      ( "files",
        [
          test "whole files" whole_files;
          test "modes" modes;
          test "positions" positions;
          test "bigarrays" bigarrays;
          test "directories" directories;
          test "names" names;
          test "many tasks" together;
          test "turns" fairness;
          test "cancelled" cancelled;
          test "nothing is lost" nothing_lost;
          test "caches" caches;
          property;
        ] );
      ( "sectors",
        [
          test "sectors" sectors;
          test "slices" slices;
          Alcotest.test_case "buffers under way" `Quick pinned;
          Alcotest.test_case "interrupted reads" `Quick interrupted_reads;
          test "sectors of 4096 bytes" large_sectors;
          test "sizes that change" sizes_that_change;
        ] );
      ("tree", Tree.all);
      ("keys and values", Kv.all);
      ("files of values", Kv_files.all);
    ]
