(* Output as the argument says: both (lines of both streams, in turns), large (a line of 100 KB),
   domains (lines of four at once), abort, fault (in the middle of a line), exit. *)

let write descriptor text =
  let rec go at =
    if at < String.length text then
      go (at + Unix.write_substring descriptor text at (String.length text - at))
  in
  go 0

let both () =
  for i = 1 to 100 do
    write Unix.stdout (Printf.sprintf "out %d \016\n" i);
    write Unix.stderr (Printf.sprintf "err %d \016\016\n" i)
  done

let large () =
  write Unix.stdout (String.init 100_000 (fun i -> Char.chr (32 + (i * 7 mod 90))) ^ "\n");
  write Unix.stderr "after it\n"

let domains () =
  let work number () =
    let stream = if number mod 2 = 0 then Unix.stdout else Unix.stderr in
    for i = 1 to 50 do
      write stream (Printf.sprintf "domain %d, line %d of many\n" number i)
    done
  in
  List.iter Domain.join (List.init 4 (fun number -> Domain.spawn (work number)))

let () =
  match Sys.argv.(1) with
  | "both" -> both ()
  | "large" -> large ()
  | "domains" -> domains ()
  | "abort" ->
      write Unix.stdout "in the middle";
      Unix.kill (Unix.getpid ()) Sys.sigabrt
  | "fault" ->
      write Unix.stdout "before\n";
      write Unix.stderr "in the middle";
      ignore (Obj.field (Obj.add_offset (Obj.repr "") 0x10000000l) 0)
  | "exit" ->
      write Unix.stdout "without a newline";
      exit 5
  | mode -> failwith mode
