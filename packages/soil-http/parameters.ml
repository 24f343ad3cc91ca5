(* Each is compared with all before it. *)
let max_parameters = 32

(* [parse_quoted s i b] is the index after the quote that ends the string from [i] on. *)
let rec parse_quoted s i b =
  if i >= String.length s then None
  else
    match s.[i] with
    | '"' -> Some (i + 1)
    | '\\' when i + 1 < String.length s && (s.[i + 1] = '"' || s.[i + 1] = '\\') ->
        Buffer.add_char b s.[i + 1];
        parse_quoted s (i + 2) b
    | c ->
        Buffer.add_char b c;
        parse_quoted s (i + 1) b

let skip set s i = Grammar.end_of set s i (String.length s)

(* RFC 2046 §5.1.1 without the space. Some clients (React Native's) don't quote a boundary with
   characters that no token has; none of them ends a parameter. *)
let boundary_chars =
  Grammar.set (fun c ->
      Grammar.(is_in token_chars) c
      || match c with '(' | ')' | ',' | '/' | ':' | '=' | '?' -> true | _ -> false)

let parse_value ~name s i =
  if i < String.length s && s.[i] = '"' then
    let b = Buffer.create 32 in
    Option.map (fun i -> (Buffer.contents b, i)) (parse_quoted s (i + 1) b)
  else
    let stop = skip (if name = "boundary" then boundary_chars else Grammar.token_chars) s i in
    if stop = i then None else Some (String.sub s i (stop - i), stop)

(* The parameters from the semicolon at [i] on, or from the end. *)
let rec parse_from s i parsed =
  let i = skip Grammar.space_chars s i in
  if i = String.length s then Some (List.rev parsed)
  else if s.[i] <> ';' then None
  else
    let i = skip Grammar.space_chars s (i + 1) in
    let stop = skip Grammar.token_chars s i in
    if stop = i && (i = String.length s || s.[i] = ';') then parse_from s i parsed
    else if stop = i || stop = String.length s || s.[stop] <> '=' then None
    else
      let name = String.lowercase_ascii (String.sub s i (stop - i)) in
      match parse_value ~name s (stop + 1) with
      | Some (value, i)
        when List.compare_length_with parsed max_parameters < 0 && not (List.mem_assoc name parsed)
        ->
          parse_from s i ((name, value) :: parsed)
      | Some _ | None -> None

let parse s =
  let stop = match String.index_opt s ';' with Some i -> i | None -> String.length s in
  let first = String.trim (String.sub s 0 stop) in
  Option.map (fun parameters -> (first, parameters)) (parse_from s stop [])
