(* Pipes between tasks: bounded, typed as descriptors, with an end. *)
module D = Soil.File_descriptor

let () =
  Soil.run @@ fun () ->
  let reader, writer = Soil.pipe ~capacity:1000 () in
  let total = 100_000 in
  let produce () =
    for i = 0 to (total / 100) - 1 do
      D.write writer (Bytes.make 100 (Char.chr (i land 255))) 0 100
    done;
    D.close writer
  in
  let consume () =
    let chunk = Bytes.create 777 in
    let rec loop position =
      match D.read reader chunk 0 777 with
      | 0 -> position
      | n ->
          for i = 0 to n - 1 do
            let expected = Char.chr ((position + i) / 100 land 255) in
            if Bytes.get chunk i <> expected then failwith "wrong byte"
          done;
          loop (position + n)
    in
    loop 0
  in
  let (), read = Soil.Task.both produce consume in
  Printf.printf "%d bytes through a pipe of 1000\n" read;
  Printf.printf "after the end: %d\n" (D.read reader (Bytes.create 1) 0 1);
  D.close reader;
  D.close reader;
  (match D.read reader (Bytes.create 1) 0 1 with
  | _ -> print_endline "read after close"
  | exception Soil.Error { code = Closed; _ } -> print_endline "closed is closed");
  let reader, writer = Soil.pipe () in
  D.close reader;
  (match D.write_string writer "lost" with
  | () -> print_endline "written to nobody"
  | exception Soil.Error { code = Broken_pipe; _ } -> print_endline "broken pipe");
  let reader, writer = Soil.pipe () in
  D.writev writer [ "one\n"; ""; "two\r\nthr"; "ee" ];
  D.shutdown writer `Send;
  let lines = Soil.Reader.create reader in
  let rec all () =
    match Soil.Reader.line_opt lines with
    | Some line ->
        Printf.printf "[%s]\n" line;
        all ()
    | None -> ()
  in
  all ();
  let reader, writer = Soil.pipe () in
  let (), () =
    Soil.Task.both
      (fun () ->
        match D.read reader (Bytes.create 1) 0 1 with
        | _ -> print_endline "read"
        | exception Soil.Error { code = Closed; _ } -> print_endline "closed while waiting")
      (fun () ->
        Soil.Task.yield ();
        D.close reader)
  in
  D.close writer;
  match D.write writer (Bytes.create 4) 3 2 with
  | () -> print_endline "written out of range"
  | exception Invalid_argument _ -> print_endline "out of range"
  | exception Soil.Error e -> print_endline (Soil.Error.to_string e)
