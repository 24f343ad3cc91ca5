type t = (string * Yojson.Safe.t) list

let max_depth = 16

let rec has_duplicate : Yojson.Safe.t -> bool = function
  | `Assoc l ->
      let names = List.map fst l in
      List.compare_lengths (List.sort_uniq String.compare names) names < 0
      || List.exists (fun (_, v) -> has_duplicate v) l
  | `List l -> List.exists has_duplicate l
  | _ -> false

let parse ~max_values s =
  match Soil_http_yojson.parse ~max_depth ~max_values s with
  | Ok json when has_duplicate json -> Error "a name occurs twice in an object"
  | Ok (`Assoc o) -> Ok o
  | Ok _ -> Error "it isn't an object"
  | Error _ as e -> e

let string o name =
  match List.assoc_opt name o with
  | None -> Ok None
  | Some (`String s) -> Ok (Some s)
  | Some _ -> Error (name ^ " isn't a string")
