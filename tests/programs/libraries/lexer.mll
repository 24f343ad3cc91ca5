{
open Grammar
exception Unexpected of char
}

rule token = parse
  | [' ' '\t'] { token lexbuf }
  | ['0'-'9']+ as digits { NUMBER (int_of_string digits) }
  | '+' { PLUS }
  | '-' { MINUS }
  | '*' { TIMES }
  | '/' { DIVIDE }
  | '(' { OPEN }
  | ')' { CLOSE }
  | eof { END }
  | _ as other { raise (Unexpected other) }
