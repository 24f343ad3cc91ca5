(* One task writes and flushes while another says that it still runs, every 50 ms. *)

let () =
  Soil.run @@ fun () ->
  Soil.Task.scope @@ fun scope ->
  let rec tick n =
    Soil.Clock.sleep 0.05;
    Printf.printf "tick %d\n%!" n;
    tick (n + 1)
  in
  ignore (Soil.Task.spawn scope (fun () -> tick 1));
  Soil.Block.with_disk "data" @@ fun disk ->
  let length = 1 lsl 17 in
  let buffer = Soil.Block.buffer length in
  for n = 1 to max_int do
    Soil.Block.write disk ~first_sector:(n mod 64 * 256) buffer 0 length;
    Soil.Block.flush disk;
    if n mod 20 = 1 then Printf.printf "flushed %d\n%!" n
  done
