(* A calculator, which menhir turns into OCaml. *)
%token <int> NUMBER
%token PLUS MINUS TIMES DIVIDE OPEN CLOSE END
%left PLUS MINUS
%left TIMES DIVIDE
%start <int> line
%type <int> expression
%%

line: e = expression END { e }

expression:
  | n = NUMBER { n }
  | OPEN e = expression CLOSE { e }
  | a = expression PLUS b = expression { a + b }
  | a = expression MINUS b = expression { a - b }
  | a = expression TIMES b = expression { a * b }
  | a = expression DIVIDE b = expression { a / b }
  | MINUS e = expression { -e }
