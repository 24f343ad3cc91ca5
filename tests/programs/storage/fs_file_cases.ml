(* Cases for a file system that are about one file: see Fs_cases. *)

open Fs_case

let one_file_at_random p =
  let path = p.root // "file" in
  let model = ref (Bytes.create 0) in
  let resize n =
    let b = Bytes.make n '\000' in
    Bytes.blit !model 0 b 0 (min n (Bytes.length !model));
    model := b
  in
  let a = ref (Fs.open_ ~mode:Create path) in
  let b = Fs.open_ ~flags:[ `Read; `Write ] path in
  let most = 200_000 in
  for n = 1 to 150 * p.scale do
    let d = if below 2 = 0 then !a else b in
    let size = Bytes.length !model in
    match below 8 with
    | 0 ->
        let n = below most in
        Fs.truncate d n;
        resize n
    | 1 | 2 | 3 ->
        let at = below most in
        let data = pattern n (1 + below (min 60_000 (most - at))) in
        pwrite d at data;
        if at + String.length data > size then resize (at + String.length data);
        Bytes.blit_string data 0 !model at (String.length data)
    | 4 -> Fs.sync d
    | 5 ->
        D.close !a;
        a := Fs.open_ ~flags:[ `Read; `Write ] path
    | _ ->
        let at = below most and len = below 60_000 in
        let n = max 0 (min len (size - at)) in
        same
          (Printf.sprintf "step %d: %d bytes at %d" n len at)
          (if n = 0 then "" else Bytes.sub_string !model at n)
          (pread d at len)
  done;
  D.close !a;
  D.close b;
  same "the whole file" (Bytes.to_string !model) (Fs.read_file path)

let gaps_of_single_blocks_are_cut p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "gaps" in
  let count = if p.fat then 100 else 700 in
  Fs.with_file ~mode:Create path (fun d ->
      for n = 0 to count - 1 do
        pwrite d (2 * n * block) (pattern n block)
      done;
      Fs.sync d;
      let check_up_to last =
        for n = 0 to last - 1 do
          same "a block" (pattern n block) (pread d (2 * n * block) block);
          if n < last - 1 then
            same "a gap" (String.make block '\000') (pread d (((2 * n) + 1) * block) block)
        done
      in
      check_up_to count;
      List.iter
        (fun n ->
          Fs.truncate d (2 * n * block);
          number "size" (2 * n * block) (Fs.size d);
          check_up_to n;
          Fs.sync d)
        [ count * 3 / 4; count / 2; 5; 1; 0 ];
      pwrite d 0 "again");
  same "at last" "again" (Fs.read_file path)

let written_backwards p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "backwards" in
  let count = if p.fat then 100 else 700 in
  Fs.with_file ~mode:Create path (fun d ->
      (* Every other block, so that none is part of its neighbour's extent; then those between. *)
      List.iter
        (fun odd ->
          for n = count - 1 downto 0 do
            pwrite d (((2 * n) + odd) * block) (pattern ((2 * n) + odd) block)
          done;
          Fs.sync d)
        [ 1; 0 ]);
  Fs.with_file path (fun d ->
      for n = 0 to (2 * count) - 1 do
        same "a block" (pattern n block) (pread d (n * block) block)
      done)

let holes_are_zeros p =
  let path = p.root // "holes" in
  Fs.write_file path (pattern 1 5000);
  Fs.with_file ~mode:Write path (fun d ->
      Fs.truncate d 1000;
      Fs.truncate d 300_000;
      same "what was cut comes back as zeros" (String.make 4000 '\000') (pread d 1000 4000);
      pwrite d 200_001 "x";
      same "before the byte" (String.make 100 '\000') (pread d 199_901 100);
      same "behind it" (String.make 100 '\000') (pread d 200_002 100);
      number "size" 300_000 (Fs.size d))

let holes_are_found_and_made p =
  let { Fs.unit_size = block; _ } = Fs.volume p.root in
  let path = p.root // "found" in
  Fs.with_file ~mode:Create path (fun d ->
      pwrite d (10 * block) (pattern 5 block);
      pwrite d (20 * block) (pattern 6 block);
      let place = function None -> -1 | Some n -> n / block in
      let data from = place (Soil.File.next_data d (from * block)) in
      let hole from = place (Soil.File.next_hole d (from * block)) in
      let places l = String.concat " " (List.map string_of_int l) in
      let seen () = places [ data 0; hole 10; data 11; hole 20; data 21 ] in
      if p.fat then (
        same "all is data" "0 21 11 21 -1" (seen ());
        fails "a hole" Unsupported (fun () -> Soil.File.punch_hole d ~position:0 block))
      else (
        same "data and holes" "10 11 20 21 -1" (seen ());
        Fs.sync d;
        same "once they are on the disk" "10 11 20 21 -1" (seen ());
        Soil.File.punch_hole d ~position:((10 * block) + 5) ((10 * block) - 5);
        same "of what was punched, the bytes before"
          (String.sub (pattern 5 block) 0 5)
          (pread d (10 * block) 5);
        same "the bytes behind"
          (String.make (block - 5) '\000')
          (pread d ((10 * block) + 5) (block - 5));
        Soil.File.punch_hole d ~position:(10 * block) block;
        same "one hole" "20 10 20 21 -1" (seen ());
        number "size" (21 * block) (Fs.size d)))

(* Allocated ranges can be written on a full volume. *)
let room_taken_ahead p =
  let name n = p.root // n in
  let block = pattern 7 50_000 in
  Fs.with_file ~mode:Create (name "ahead") (fun d ->
      Soil.File.allocate d ~position:0 400_000;
      number "size" 400_000 (Fs.size d);
      same "zeros" (String.make 50_000 '\000') (pread d 100_000 50_000);
      let rec fill n =
        match Fs.write_file (name (string_of_int n)) block with
        | () -> fill (n + 1)
        | exception Soil.Error { code = No_space; _ } -> n
      in
      let last = fill 1 in
      for n = 0 to 7 do
        pwrite d (n * 50_000) block
      done;
      Fs.sync d;
      for n = 0 to 7 do
        same "what was written" block (pread d (n * 50_000) 50_000)
      done;
      for n = 1 to last do
        let path = name (string_of_int n) in
        if Fs.exists path then Fs.unlink path
      done)

let cut_while_it_is_read p =
  let path = p.root // "cut" in
  let data = pattern 2 150_000 in
  Fs.write_file path data;
  let reader = Fs.open_ path and writer = Fs.open_ ~mode:Write path in
  same "before" (String.sub data 100_000 100) (pread reader 100_000 100);
  Fs.truncate writer 50_000;
  same "behind the end" "" (pread reader 100_000 100);
  number "size by the other descriptor" 50_000 (Fs.size reader);
  pwrite writer 120_000 "end";
  same "between" (String.make 70_000 '\000') (pread reader 50_000 70_000);
  same "the end" "end" (pread reader 120_000 100);
  Task.both
    (fun () ->
      for n = 1 to 40 do
        Fs.truncate writer (n * 1000);
        Task.yield ();
        pwrite writer (n * 1000) (String.make 2000 'w')
      done)
    (fun () ->
      for _ = 1 to 80 do
        let found = pread reader 0 130_000 in
        String.iteri
          (fun i c ->
            if not (c = data.[i] || c = 'w' || c = '\000') then wrong "a foreign byte at %d" i)
          (String.sub found 0 (min 50_000 (String.length found)));
        Task.yield ()
      done)
  |> ignore;
  number "at last" 42_000 (Fs.size reader);
  D.close reader;
  D.close writer

(* Appends of eight tasks to one file, the first [own] of them each with a descriptor of its own, the
   others with a shared one; [large] bytes are the most in a call. Each record is whole. *)
let appends p path ~own ~large =
  let writers = 8 and each = 10 * p.scale in
  let record w n =
    let len =
      20 + (((w * 7919) + (n * 104_729)) mod if n mod 10 = 0 then large / p.scale else 3000)
    in
    Printf.sprintf "[%d %d %d]" w n len ^ String.make len (Char.chr (97 + w))
  in
  create path;
  let work d w =
    for n = 1 to each do
      D.write_string d (record w n);
      if n mod 7 = 0 then Fs.sync d
    done
  in
  Fs.with_file ~mode:Append path (fun shared ->
      Task.iter
        (fun w ->
          if w < own then Fs.with_file ~mode:Append path (fun d -> work d w) else work shared w)
        (List.init writers Fun.id));
  let all = Fs.read_file ~max:max_int path in
  let next = Array.make writers 1 in
  let rec go at =
    if at < String.length all then
      match
        Scanf.sscanf_opt
          (String.sub all at (min 40 (String.length all - at)))
          "[%d %d %d]"
          (fun w n _ -> (w, n))
      with
      | Some (w, n) when w < writers && n = next.(w) ->
          let wanted = record w n in
          let len = String.length wanted in
          is "a record is cut off" (at + len <= String.length all);
          same (Printf.sprintf "record %d of task %d" n w) wanted (String.sub all at len);
          next.(w) <- n + 1;
          go (at + len)
      | _ -> wrong "no record at %d" at
  in
  go 0;
  Array.iteri (fun w n -> number (Printf.sprintf "records of task %d" w) each (n - 1)) next

(* Between several descriptors calls of up to 64 KiB are whole; on one descriptor all are. *)
let appends_of_several_tasks p =
  appends p (p.root // "log") ~own:4 ~large:60_000;
  appends p (p.root // "shared") ~own:0 ~large:200_000
