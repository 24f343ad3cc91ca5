(* menhir and ocamllex: a parser that they generate. *)
let value text =
  match Grammar.line Lexer.token (Lexing.from_string text) with
  | number -> string_of_int number
  | exception Grammar.Error -> "syntax error"
  | exception Lexer.Unexpected other -> Printf.sprintf "unexpected %C" other
  | exception Division_by_zero -> "division by zero"

let () =
  List.iter
    (fun text -> Printf.printf "%s = %s\n" text (value text))
    [
      "1 + 2 * 3";
      "(1 + 2) * 3";
      "-4 - -5";
      "100 / 7 / 2";
      "1 +";
      "2 ? 3";
      "1 / (2 - 2)";
      "((((7))))";
    ]
