(* One task says every 20 ms that it still runs, while others use a folder of the host that takes
   its time. *)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let rec tick n =
    Soil.Clock.sleep 0.02;
    Printf.printf "tick %d\n%!" n;
    tick (n + 1)
  in
  ignore (Soil.Task.spawn scope (fun () -> tick 1));
  let module D = Soil.File_descriptor in
  let read name =
    Soil.Fs.with_file "/data/file" @@ fun file ->
    let data = Bytes.create 100 in
    let n = D.read file data 0 100 in
    Printf.printf "%s: %s\n%!" name (Bytes.sub_string data 0 n)
  in
  read "read";
  Soil.Fs.with_file ~mode:Write "/data/file" (fun file ->
      D.write file (Bytes.of_string "changed") 0 7;
      Printf.printf "written\n%!";
      let sync () =
        Soil.Fs.sync file;
        Printf.printf "synced\n%!"
      in
      Soil.Task.iter (fun work -> work ()) [ sync; (fun () -> read "read meanwhile") ]);
  Soil.Fs.sync_all ();
  Printf.printf "done\n%!";
  exit 0
