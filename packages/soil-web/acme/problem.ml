type t = {
  kind : string;
  detail : string;
  status : int;
  identifier : string option;
  subproblems : t list;
}

let max_text = 500
let max_subproblems = 20
let prefix = "urn:ietf:params:acme:error:"

(* The text goes to logs and terminals. *)
let clean s =
  let s = if String.length s > max_text then String.sub s 0 max_text ^ "..." else s in
  String.map (fun c -> if c < ' ' || c > '~' then '?' else c) s

let member name = function
  | `Assoc fields -> Option.value (List.assoc_opt name fields) ~default:`Null
  | _ -> `Null

let text name json = match member name json with `String s -> Some (clean s) | _ -> None

let kind json =
  match text "type" json with
  | None -> "about:blank"
  | Some uri when String.starts_with ~prefix uri ->
      let n = String.length prefix in
      String.sub uri n (String.length uri - n)
  | Some uri -> uri

let rec parse ~depth json =
  let subproblems =
    match member "subproblems" json with
    | `List l when depth = 0 ->
        List.map (parse ~depth:1) (List.filteri (fun i _ -> i < max_subproblems) l)
    | _ -> []
  in
  {
    kind = kind json;
    detail = Option.value (text "detail" json) ~default:"";
    status = (match member "status" json with `Int n -> n | _ -> 0);
    identifier = text "value" (member "identifier" json);
    subproblems;
  }

let of_json json = parse ~depth:0 json

let rec to_string p =
  let subject = Option.fold ~none:"" ~some:(fun name -> name ^ ": ") p.identifier in
  let status = if p.status = 0 then "" else Printf.sprintf " (%d)" p.status in
  let detail = if p.detail = "" then "" else ": " ^ p.detail in
  let subproblems =
    match p.subproblems with
    | [] -> ""
    | l -> " [" ^ String.concat "; " (List.map to_string l) ^ "]"
  in
  subject ^ p.kind ^ status ^ detail ^ subproblems
