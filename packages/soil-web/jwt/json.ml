type t = (string * Yojson.Safe.t) list

let max_depth = 16

let parse ~max_values s =
  match Soil_http_yojson.parse ~max_depth ~max_values s with
  | Ok (`Assoc o) -> Ok o
  | Ok _ -> Error "it isn't an object"
  | Error _ as e -> e

let string o name =
  match List.assoc_opt name o with
  | None -> Ok None
  | Some (`String s) -> Ok (Some s)
  | Some _ -> Error (name ^ " isn't a string")
