(* xmlm, xml-light, jsonm, markup, omd, uunf, uuseg, sedlex: texts and their languages. *)

let line = Printf.printf

let xml =
  {|<?xml version="1.0"?><list xmlns:x="urn:x"><item x:id="1">a &amp; b</item><item/></list>|}

let () =
  let input = Xmlm.make_input (`String (0, xml)) in
  let rec read depth =
    match Xmlm.input input with
    | `Dtd _ -> read depth
    | `El_start ((space, name), attributes) ->
        line "%s%s:%s %d\n" (String.make depth ' ') space name (List.length attributes);
        read (depth + 1)
    | `Data text ->
        line "%S\n" text;
        read depth
    | `El_end -> if depth > 1 then read (depth - 1)
  in
  read 0;
  (match
     let input = Xmlm.make_input (`String (0, "<a></b>")) in
     while not (Xmlm.eoi input) do
       ignore (Xmlm.input input)
     done
   with
  | () -> line "well-formed\n"
  | exception Xmlm.Error ((row, column), reason) ->
      line "xmlm: %d:%d %s\n" row column (Xmlm.error_message reason));
  let tree = Xml.parse_string "<a k='v'><b>text</b></a>" in
  line "%s, %s\n" (Xml.to_string tree) (Xml.attrib tree "k")

let () =
  let decoder = Jsonm.decoder (`String {|{"a": [1, 2.5e3, "\u00fc", null], "b": true}|}) in
  let encoded = Buffer.create 64 in
  let encoder = Jsonm.encoder ~minify:true (`Buffer encoded) in
  let rec copy () =
    match Jsonm.decode decoder with
    | `Lexeme lexeme ->
        ignore (Jsonm.encode encoder (`Lexeme lexeme));
        copy ()
    | `End -> ignore (Jsonm.encode encoder `End)
    | `Error error -> Format.printf "%a@." Jsonm.pp_error error
    | `Await -> assert false
  in
  copy ();
  line "%s\n" (Buffer.contents encoded);
  match Jsonm.decode (Jsonm.decoder (`String "[1,")) with
  | `Lexeme `As -> line "an array begins\n"
  | _ -> line "no array\n"

let () =
  let page = "<p><em>Emphatic</p><ul><li>one<li>two &uuml;</ul><img src=a.png>" in
  let report (row, column) error = line "%d:%d %s\n" row column (Markup.Error.to_string error) in
  Markup.(string page |> parse_html ~report |> signals |> write_html |> to_string) |> print_endline;
  line "%s\n"
    (Omd.to_html (Omd.of_string "# Title\n\nA *text* with `code` and [a link](u).\n\n1. x\n2. y\n"))

let normal form text =
  let b = Buffer.create 32 in
  let n = Uunf.create form in
  let rec add v =
    match Uunf.add n v with
    | `Uchar u ->
        Buffer.add_utf_8_uchar b u;
        add `Await
    | `Await | `End -> ()
  in
  let rec each i =
    if i < String.length text then (
      let d = String.get_utf_8_uchar text i in
      add (`Uchar (Uchar.utf_decode_uchar d));
      each (i + Uchar.utf_decode_length d))
  in
  each 0;
  add `End;
  Buffer.contents b

let () =
  let composed = normal `NFC "Zoe\u{308}" and plain = normal `NFKD "Ⅻ ﬁ" in
  line "%s: %d bytes, %s\n" composed (String.length composed) plain;
  let count kind text = Uuseg_string.fold_utf_8 kind (fun n _ -> n + 1) 0 text in
  line "graphemes: %d, words: %d, sentences: %d\n"
    (count `Grapheme_cluster "e\u{301}🇩🇪👩‍👩‍👧")
    (count `Word "Two words.")
    (count `Sentence "One. Two? Three!")

let tokens text =
  let lexer = Sedlexing.Utf8.from_string text in
  let rec next found =
    match%sedlex lexer with
    | Plus '0' .. '9' -> next (("number " ^ Sedlexing.Utf8.lexeme lexer) :: found)
    | Plus alphabetic -> next (("name " ^ Sedlexing.Utf8.lexeme lexer) :: found)
    | Plus white_space -> next found
    | eof -> List.rev found
    | any -> next ("other" :: found)
    | _ -> assert false
  in
  next []

let () = line "%s\n" (String.concat ", " (tokens "größe 42 = Ω7"))
