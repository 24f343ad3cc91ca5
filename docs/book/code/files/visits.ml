let key = Soil.Kv.Key.v "visits"
let ok = function Ok value -> value | Error e -> failwith (Soil.Kv.error_to_string e)

let so_far store =
  match Soil.Kv.get store key with
  | Ok count -> int_of_string count
  | Error (`Not_found _) -> 0
  | Error e -> failwith (Soil.Kv.error_to_string e)

let () =
  Soil.run @@ fun () ->
  let store = ok (Soil.Kv.connect "/data") in
  let counts = Soil.Task.Mutex.create () in
  let listener = Soil.Tcp.listen ~port:7010 () in
  print_endline "listening";
  Soil.Tcp.serve listener @@ fun connection ->
  let visit =
    Soil.Task.Mutex.protect counts @@ fun () ->
    let visit = so_far store + 1 in
    ok (Soil.Kv.set store key (string_of_int visit));
    visit
  in
  Soil.File_descriptor.write_string connection ("visit " ^ string_of_int visit ^ "\n")
