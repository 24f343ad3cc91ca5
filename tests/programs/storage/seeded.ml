(* Uses the data partition of its disk, and prints random numbers; for tests/cases/boot_disks.py. *)
let () =
  Soil.run @@ fun () ->
  Soil.Fs.mount "data" "/data";
  Soil.Fs.write_file "/data/file" "contents";
  let numbers = Soil.Random.string 16 in
  let hex c = Printf.sprintf "%02x" (Char.code c) in
  Printf.printf "numbers: %s\n%!"
    (String.concat "" (List.map hex (List.of_seq (String.to_seq numbers))))
