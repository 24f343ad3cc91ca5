type t = Valid | Invalid of string | Undecided of string

let all verdicts =
  let is_invalid = function Invalid _ -> true | Valid | Undecided _ -> false in
  let is_undecided = function Undecided _ -> true | Valid | Invalid _ -> false in
  match List.find_opt is_invalid verdicts with
  | Some verdict -> verdict
  | None -> Option.value ~default:Valid (List.find_opt is_undecided verdicts)

let to_string = function
  | Valid -> "valid"
  | Invalid why -> "invalid: " ^ why
  | Undecided why -> "undecided: " ^ why
