(* One task writes and syncs while another says that it still runs, every 50 ms. *)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let rec tick n =
    Soil.Clock.sleep 0.05;
    Printf.printf "tick %d\n%!" n;
    tick (n + 1)
  in
  ignore (Soil.Task.spawn scope (fun () -> tick 1));
  for n = 1 to max_int do
    Soil.Fs.write_file "/data/file" (String.make 100_000 'x');
    Soil.Fs.sync_all ();
    if n mod 100 = 1 then Printf.printf "synced %d\n%!" n
  done
