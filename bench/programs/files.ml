(* Files by `Unix`: files.exe DIRECTORY read MIB TIMES | create COUNT. The host times what lies
   between the lines. *)

let piece = 65536
let write fd data = ignore (Unix.write fd data 0 (Bytes.length data))

let read_all path buffer =
  let fd = Unix.openfile path [ O_RDONLY; O_CLOEXEC ] 0 in
  let rec go total = match Unix.read fd buffer 0 piece with 0 -> total | n -> go (total + n) in
  let total = go 0 in
  Unix.close fd;
  total

let between f =
  print_endline "begin";
  f ();
  print_endline "end"

let read folder mib times =
  let path = Filename.concat folder "large" and buffer = Bytes.make piece 'x' in
  let fd = Unix.openfile path [ O_WRONLY; O_CREAT; O_TRUNC; O_CLOEXEC ] 0o644 in
  for _ = 1 to mib * 16 do
    write fd buffer
  done;
  Unix.close fd;
  let whole () = if read_all path buffer <> mib lsl 20 then failwith "short file" in
  whole ();
  between (fun () ->
      for _ = 1 to times do
        whole ()
      done)

let sync path =
  let fd = Unix.openfile path [ O_RDONLY; O_CLOEXEC ] 0 in
  Unix.fsync fd;
  Unix.close fd

let create folder count =
  let contents = Bytes.make 100 'x' in
  let path i = Filename.concat folder (Printf.sprintf "a-file-with-number-%05d" i) in
  let make i =
    let fd = Unix.openfile (path i) [ O_WRONLY; O_CREAT; O_EXCL; O_CLOEXEC ] 0o644 in
    write fd contents;
    Unix.close fd
  in
  make 0;
  sync folder;
  between (fun () ->
      for i = 1 to count do
        make i
      done;
      sync (path count);
      sync folder)

let () =
  let number i = int_of_string Sys.argv.(i) in
  match Sys.argv.(2) with
  | "read" -> read Sys.argv.(1) (number 3) (number 4)
  | _ -> create Sys.argv.(1) (number 3)
