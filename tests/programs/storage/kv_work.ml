(* Changes of a key-value store on /data whose disk's writes are recorded: for each n a value is
   replaced, and another one by a rename. Each value repeats its own number throughout, so that the
   contents of a recorded write tell how far the program had come. [set N] makes N changes; [get]
   prints a line for each key. *)
module Kv = Soil.Kv

let value kind n =
  let stamp = Printf.sprintf "%s %010d\n" kind n in
  String.concat "" (List.init (1 + (n * 977 mod 700)) (fun _ -> stamp))

let ok = function Ok v -> v | Error e -> failwith (Kv.error_to_string e)

let () =
  Soil.run @@ fun () ->
  let store = ok (Kv.connect "/data/store") in
  let key = Kv.Key.v in
  match Sys.argv with
  | [| _; "set"; last |] ->
      for n = 1 to int_of_string last do
        ok (Kv.set store (key "value") (value "set" n));
        ok (Kv.set store (key "above/next") (value "moved" n));
        ok (Kv.rename store ~source:(key "above/next") ~dest:(key "moved"))
      done;
      print_endline "done"
  | [| _; "get" |] ->
      let show name =
        match Kv.get store (key name) with
        | Ok v -> Printf.printf "%s %s\n%!" name (Digest.to_hex (Digest.string v))
        | Error e -> Printf.printf "%s: %s\n%!" name (Kv.error_to_string e)
      in
      List.iter show [ "value"; "moved" ]
  | _ -> failwith "set N, or get"
