(* A program that changes a store of [Soil.Kv] and says what is durable, by [set KEY VALUE]. At its
   start it says what it finds, by [found KEY VALUE]. *)

let ok = function Ok v -> v | Error e -> failwith (Soil.Kv.error_to_string e)
let keys = [ "a"; "b"; "dictionary/c"; "dictionary/large" ]

let value key n =
  let text = string_of_int n in
  if Filename.basename key = "large" then text ^ String.make 6000 'x' else text

let number text =
  match String.index_opt text 'x' with Some i -> String.sub text 0 i | None -> text

let () =
  Soil.run @@ fun () ->
  let store = ok (Soil.Kv.connect "/data/store") in
  let find key =
    match Soil.Kv.get store (Soil.Kv.Key.v key) with
    | Ok text ->
        Printf.printf "found %s %s\n%!" key (number text);
        int_of_string (number text)
    | Error (`Not_found _) ->
        Printf.printf "found %s 0\n%!" key;
        0
    | Error e -> failwith (Soil.Kv.error_to_string e)
  in
  let last = List.fold_left (fun last key -> max last (find key)) 0 keys in
  let rec change n =
    let key = List.nth keys (n mod List.length keys) in
    ok (Soil.Kv.set store (Soil.Kv.Key.v key) (value key n));
    Printf.printf "set %s %d\n%!" key n;
    Soil.Clock.sleep 0.01;
    change (n + 1)
  in
  change (last + 1)
