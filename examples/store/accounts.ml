type t = { id : int; name : string; generation : int }
type credentials = { user : string; password : string }

let is_name_character = function
  | 'a' .. 'z' | 'A' .. 'Z' | '0' .. '9' | '-' | '_' | '.' -> true
  | _ -> false

let credentials ~name ~password =
  let length = String.length name and bytes = String.length password in
  if length < 1 || length > 40 || not (String.for_all is_name_character name) then
    Error "name: not 1 to 40 letters, digits, hyphens, underscores and dots"
  else if bytes < 8 || bytes > 200 then Error "password: not 8 to 200 bytes"
  else Ok { user = name; password }

let account id name generation =
  { id = int_of_string id; name; generation = int_of_string generation }

let insert =
  Database.statement
    "insert into accounts (name, password) values ($1, $2) on conflict (name) do nothing returning \
     id, generation"

let register db { user; password } =
  match Database.query db insert [ user; Soil_password.hash password ] with
  | [ [ id; generation ] ] -> Ok (account id user generation)
  | _ -> Error `Name_taken

let by_name = Database.statement "select id, generation, password from accounts where name = $1"

let log_in db { user; password } =
  let found =
    match Database.query db by_name [ user ] with
    | [ [ id; generation; hash ] ] -> Some (account id user generation, hash)
    | _ -> None
  in
  if Soil_password.verify_opt ~hash:(Option.map snd found) password then Option.map fst found
  else None

let session { id; generation; _ } = Printf.sprintf "%d %d" id generation
let by_generation = Database.statement "select name from accounts where id = $1 and generation = $2"

let of_session db session =
  match String.split_on_char ' ' session with
  | [ id; generation ] -> (
      match Database.query db by_generation [ id; generation ] with
      | [ [ name ] ] -> Some (account id name generation)
      | _ -> None)
  | _ -> None

let next_generation =
  Database.statement "update accounts set generation = generation + 1 where id = $1"

let log_out db { id; _ } = ignore (Database.query db next_generation [ string_of_int id ])
