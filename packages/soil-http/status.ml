(* Cohttp has the number in place of a phrase that it doesn't know, and notes behind others, such as
   "(since HTTP/1.1)". *)
let phrase n =
  let text = Cohttp.Code.reason_phrase_of_code n in
  match String.index_opt text '(' with
  | Some i -> String.sub text 0 (i - 1)
  | None -> if Grammar.is_digits text then "Status" else text

let to_string status =
  let n = Cohttp.Code.code_of_status status in
  string_of_int n ^ " " ^ phrase n
