(* What is done to a tree of files so that another system can check it: all operations that change
   names or contents. Whatever does them, the outcome is the same. *)

type files = {
  mkdir : string -> unit;
  rmdir : string -> unit;
  write : string -> string -> unit;  (** Creates or replaces. *)
  append : string -> string -> unit;
  patch : string -> int -> string -> unit;  (** Writes at a position, possibly past the end. *)
  truncate : string -> int -> unit;
  rename : string -> string -> unit;
  unlink : string -> unit;
}

let contents = Tree.contents

(* [previous] is who changed the tree before, [tag] who does it now, for the [nth] time of at most
   four. *)

let change fs ~previous ~tag ~nth root =
  let path = Printf.sprintf "%s/%s %s" root tag in
  let inside name = path ("files/" ^ name) in
  fs.mkdir (path "files");
  fs.mkdir (inside "a directory with a long name");
  for n = 1 to 60 do
    let name = inside (Printf.sprintf "file %d.data" n) in
    fs.write name (contents n);
    if n mod 4 = 0 then fs.append name (contents (n + 1));
    if n mod 6 = 0 then fs.patch name 1000 (contents (n + 2));
    if n mod 7 = 0 then fs.truncate name 777;
    if n mod 10 = 0 then fs.patch name 250_000 "beyond the end";
    if n mod 15 = 0 then fs.truncate name 300_000;
    if n mod 5 = 0 then fs.unlink name
    else if n mod 3 = 0 then
      fs.rename name (inside (Printf.sprintf "a directory with a long name/moved %d" n))
  done;
  fs.rename (inside "file 1.data") (inside "file 2.data");
  fs.write (inside "empty") "";
  fs.mkdir (path "gone");
  fs.rmdir (path "gone");
  (* What the tree had before. *)
  let below name = root ^ "/" ^ name in
  fs.append (below "UPPER.TXT") tag;
  fs.patch (below "d/nested.bin") 5000 tag;
  fs.truncate (below "lower.txt") 1234;
  let deep who = below ("d/Deep " ^ who) in
  fs.rename (deep previous) (deep tag);
  for n = 0 to 19 do
    fs.unlink (below (Printf.sprintf "d/many/number %d of many" (nth + (n * 4))))
  done

(* Arguments: steps with '+' between them, done one after the other; then the directories for which
   each is done. *)
let main fs ~list ~read arguments =
  let step roots words =
    let each f = List.iter f roots in
    match String.split_on_char ':' words with
    | [ "make" ] -> each (Tree.make ~mkdir:fs.mkdir ~write:fs.write)
    | [ "change"; previous; tag; nth ] -> each (change fs ~previous ~tag ~nth:(int_of_string nth))
    | [ "sums" ] ->
        print_endline "sums";
        each (Tree.sums ~list ~read)
    | _ -> failwith ("unknown step: " ^ words)
  in
  match Array.to_list arguments with
  | _ :: steps :: roots -> List.iter (step roots) (String.split_on_char '+' steps)
  | _ -> failwith "steps and directories, please"
