type t = { name : string; parameters : (string * string) list }

let of_string s =
  match Parameters.parse s with
  | Some (name, parameters) -> (
      match String.split_on_char '/' name with
      | [ kind; subtype ] when Grammar.is_token kind && Grammar.is_token subtype ->
          Some { name = String.lowercase_ascii name; parameters }
      | _ -> None)
  | None -> None

let of_request request =
  match Cohttp.Header.get_multi (Server.head request).headers "content-type" with
  | [ value ] -> of_string value
  | _ -> None
