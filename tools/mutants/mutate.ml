(* One-line faults of an OCaml file, by its parse tree: `mutate FILE LINES…`, where LINES is 3 or
   3-7. Prints six fields for each fault that begins in one of these lines, each with a zero byte at
   its end: the line, the offsets in bytes of the text to replace, its replacement, and both for a
   reader.

   A condition or a statement stays in its replacement: otherwise what it uses would often be
   unused, which is an error of the compiler. *)

open Parsetree

(* Operators, and functions, in whose place others compile. *)
let operators =
  [
    ("+", "-");
    ("-", "+");
    ("*", "+");
    ("/", "*");
    ("mod", "/");
    ("+.", "-.");
    ("-.", "+.");
    ("*.", "+.");
    ("/.", "*.");
    ("&&", "||");
    ("||", "&&");
    ("=", "<>");
    ("<>", "=");
    ("==", "!=");
    ("!=", "==");
    ("<", "<=");
    ("<=", "<");
    (">", ">=");
    (">=", ">");
    ("land", "lor");
    ("lor", "land");
    ("lxor", "land");
    ("lsl", "lsr");
    ("lsr", "lsl");
    ("min", "max");
    ("max", "min");
    ("succ", "pred");
    ("pred", "succ");
    ("incr", "decr");
    ("decr", "incr");
  ]

(* The opposite of a comparison that [operators] shifts by one. *)
let opposites = [ ("<", ">="); ("<=", ">"); (">", "<="); (">=", "<") ]
let is_integer text = match text.[0] with '0' .. '9' | '-' -> int_of_string_opt text | _ -> None

let faults source add =
  let text { Location.loc_start; loc_end; _ } =
    String.sub source loc_start.pos_cnum (loc_end.pos_cnum - loc_start.pos_cnum)
  in
  let wrap loc prefix suffix short =
    let inner = text loc in
    add loc (prefix ^ inner ^ suffix) short
  in
  (* A condition that is constant, or the opposite; [false] alone where [true] never ends. *)
  let condition ?(ends = true) { pexp_loc = loc; _ } =
    wrap loc "((" ") && false)" "false";
    if ends then (
      wrap loc "((" ") || true)" "true";
      wrap loc "(not (" "))" ("not (" ^ text loc ^ ")"))
  in
  let statement { pexp_loc = loc; _ } = wrap loc "(ignore (fun () -> (" ")))" "()" in
  let expr self e =
    (match e.pexp_desc with
    | Pexp_apply ({ pexp_desc = Pexp_ident { txt; loc }; _ }, arguments) when not loc.loc_ghost -> (
        let name = text loc in
        let replace table =
          match List.assoc_opt name table with Some other -> add loc other other | None -> ()
        in
        match (txt, arguments) with
        | Lident "not", [ (_, argument) ] ->
            add e.pexp_loc ("(" ^ text argument.pexp_loc ^ ")") (text argument.pexp_loc)
        | Lident _, [ _; _ ] ->
            replace operators;
            replace opposites
        | Lident _, [ _ ] -> replace operators
        | _ -> ())
    | Pexp_ifthenelse (test, _, _) -> condition test
    | Pexp_while (test, _) -> condition ~ends:false test
    | Pexp_sequence (first, _) -> statement first
    | Pexp_let
        ( _,
          [
            {
              pvb_pat = { ppat_desc = Ppat_construct ({ txt = Lident "()"; _ }, _); _ };
              pvb_expr;
              _;
            };
          ],
          _ ) ->
        statement pvb_expr
    | Pexp_constant _ -> (
        match is_integer (text e.pexp_loc) with
        | Some 1 ->
            add e.pexp_loc "0" "0";
            add e.pexp_loc "2" "2"
        | Some number when number < max_int ->
            let next = Printf.sprintf "(%d)" (number + 1) in
            add e.pexp_loc next next
        | _ -> ())
    | _ -> ());
    Ast_iterator.default_iterator.expr self e
  in
  let case self case =
    Option.iter (fun { pexp_loc = loc; _ } -> wrap loc "((" ") || true)" "true") case.pc_guard;
    Ast_iterator.default_iterator.case self case
  in
  { Ast_iterator.default_iterator with expr; case }

let lines words =
  let range word = Scanf.sscanf word "%d-%d%!" (fun a b -> (a, b)) in
  let one word =
    let line = int_of_string word in
    (line, line)
  in
  let parse word = if String.contains word '-' then range word else one word in
  let ranges = List.map parse words in
  fun line -> List.exists (fun (a, b) -> a <= line && line <= b) ranges

let () =
  let path, words =
    match Array.to_list Sys.argv with
    | _ :: path :: words -> (path, words)
    | _ ->
        prerr_endline "usage: mutate FILE LINES…";
        exit 2
  in
  let source = In_channel.with_open_bin path In_channel.input_all in
  let is_wanted = lines words in
  let add { Location.loc_start; loc_end; _ } replacement shown =
    let first, last = (loc_start.pos_cnum, loc_end.pos_cnum) in
    if is_wanted loc_start.pos_lnum then
      let from = String.sub source first (last - first) in
      Printf.printf "%d\000%d\000%d\000%s\000%s\000%s\000" loc_start.pos_lnum first last replacement
        from shown
  in
  let lexbuf = Lexing.from_string source in
  Lexing.set_filename lexbuf path;
  match Parse.implementation lexbuf with
  | structure ->
      let iterator = faults source add in
      iterator.structure iterator structure
  | exception error ->
      Location.report_exception Format.err_formatter error;
      exit 1
