(* tyxml, csv, angstrom and uucp: pages, tables, a parser by combinators, letters. *)

let page rows =
  let open Tyxml.Html in
  let row cells = tr (List.map (fun cell -> td [ txt cell ]) cells) in
  html
    (head (title (txt "Prices & more")) [ meta ~a:[ a_charset "utf-8" ] () ])
    (body [ h1 [ txt "<Prices>" ]; table (List.map row rows) ])

let sum =
  let open Angstrom in
  let blank = skip_while (fun c -> c = ' ') in
  let number = take_while1 (fun c -> c >= '0' && c <= '9') >>| int_of_string <* blank in
  let symbol c = char c <* blank in
  fix (fun sum ->
      let factor = number <|> (symbol '(' *> sum <* symbol ')') in
      let product = sep_by1 (symbol '*') factor >>| List.fold_left ( * ) 1 in
      sep_by1 (symbol '+') product >>| List.fold_left ( + ) 0)

let calculate text =
  match Angstrom.parse_string ~consume:All sum text with
  | Ok n -> Printf.printf "%s = %d\n" text n
  | Error reason -> Printf.printf "%s: %s\n" text reason

let upper text =
  let b = Buffer.create 16 in
  let add () _ = function
    | `Malformed _ -> Uutf.Buffer.add_utf_8 b Uutf.u_rep
    | `Uchar u -> (
        match Uucp.Case.Map.to_upper u with
        | `Self -> Uutf.Buffer.add_utf_8 b u
        | `Uchars us -> List.iter (Uutf.Buffer.add_utf_8 b) us)
  in
  Uutf.String.fold_utf_8 add () text;
  Buffer.contents b

let () =
  let rows = Csv.input_all (Csv.of_string "tea,\"1,20\"\n\"a \"\"big\"\" pot\",3\n") in
  Format.printf "%a@." (Tyxml.Html.pp ~indent:true ()) (page rows);
  let b = Buffer.create 64 in
  Csv.output_all (Csv.to_buffer b) (Csv.transpose rows);
  print_string (Buffer.contents b);
  List.iter calculate [ "1 + 2 * (3 + 4)"; "2 *"; "(1" ];
  print_endline (upper "straße, ǆ, éa\xff")
