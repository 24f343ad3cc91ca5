type t = {
  name : string;
  compress : string -> string;
  decompress : max:int -> string -> (string, [ `Malformed | `Too_large ]) result;
}

let is_name_char = function 'a' .. 'z' | '0' .. '9' | '-' -> true | _ -> false

let v name ~compress ~decompress =
  if name = "" || name = "identity" || not (String.for_all is_name_char name) then
    invalid_arg (Printf.sprintf "Soil_grpc.Encoding.v: not a name: %S" name);
  { name; compress; decompress }

let name t = t.name
let compress t = t.compress
let decompress t = t.decompress
let find l name = List.find_opt (fun t -> t.name = name) l

let preferred l accepted =
  let accepted = String.split_on_char ',' (Option.value accepted ~default:"") in
  let accepted = List.map (fun s -> String.lowercase_ascii (String.trim s)) accepted in
  List.find_opt (fun t -> List.mem t.name accepted) l
