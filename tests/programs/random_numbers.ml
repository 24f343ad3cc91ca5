(* Self-initialised generators differ; seeded ones don't. *)
let () =
  Random.self_init ();
  let first = List.init 4 (fun _ -> Random.bits ()) in
  Random.self_init ();
  let second = List.init 4 (fun _ -> Random.bits ()) in
  Printf.printf "self_init differs: %b\n" (first <> second);
  Random.init 42;
  Printf.printf "seeded: %d %d\n" (Random.int 1000) (Random.int 1000);
  Printf.printf "hashes: %d\n" (Hashtbl.hash "soil" land 0xff)
