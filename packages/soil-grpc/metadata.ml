type t = (string * string) list

let find m name = List.assoc_opt name m
let find_all m name = List.filter_map (fun (n, v) -> if n = name then Some v else None) m

let is_reserved = function
  | "content-type" | "te" | "host" | "content-length" | "transfer-encoding" | "connection"
  | "trailer" | "keep-alive" | "upgrade" | "expect" | "date" | "accept-encoding"
  | "content-encoding" | "user-agent" ->
      true
  | name -> String.starts_with ~prefix:"grpc-" name

let is_name =
  String.for_all (function 'a' .. 'z' | '0' .. '9' | '_' | '-' | '.' -> true | _ -> false)

let is_binary name = String.ends_with ~suffix:"-bin" name

let is_value s =
  let n = String.length s in
  String.for_all (fun c -> c >= ' ' && c <= '~') s && (n = 0 || (s.[0] <> ' ' && s.[n - 1] <> ' '))

let to_field (name, value) =
  let refuse what = invalid_arg (Printf.sprintf "Soil_grpc.Metadata: %s: %S" what name) in
  if name = "" || not (is_name name) then refuse "not a name";
  if is_reserved name then refuse "a reserved name";
  if is_binary name then (name, Binary.encode value)
  else if is_value value then (name, value)
  else refuse "a value that isn't printable ASCII, of"

let to_fields m = List.map to_field m

(* Several values of one name may have been joined by commas, which base64 doesn't have. *)
let values name value =
  if not (is_binary name) then [ Some value ]
  else List.map (fun s -> Binary.decode (String.trim s)) (String.split_on_char ',' value)

let of_header h =
  let rec go found = function
    | [] -> Ok (List.rev found)
    | (name, value) :: rest -> (
        let name = String.lowercase_ascii name in
        if is_reserved name then go found rest
        else
          let add found = function Some v -> (name, v) :: found | None -> raise_notrace Exit in
          match List.fold_left add found (values name value) with
          | found -> go found rest
          | exception Exit -> Error (name ^ " isn't base64"))
  in
  go [] (Cohttp.Header.to_list h)
