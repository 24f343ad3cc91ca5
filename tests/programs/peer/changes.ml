(* Changes to a tree of files that another system can check: all operations on names and contents.
   The outcome is the same on every system. *)

type files = {
  mkdir : string -> unit;
  rmdir : string -> unit;
  write : string -> string -> unit;  (** Creates or replaces. *)
  append : string -> string -> unit;
  patch : string -> int -> string -> unit;  (** Writes at a position, possibly past the end. *)
  truncate : string -> int -> unit;
  rename : string -> string -> unit;
  unlink : string -> unit;
  link : string -> string -> unit;  (** A second name for a file. *)
  symlink : string -> string -> unit;  (** The link's target, and its path. *)
  kind : string -> [ `Directory | `File of int | `Link of string ];
      (** With the number of hard links of a file, and the target of a symbolic link. *)
}

let contents = Tree.contents

(* [previous] names the system that changed the tree before, [tag] the one that changes it now, for
   the [nth] time of at most four. *)

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
  (* Changes to files that the tree had before. *)
  let below name = root ^ "/" ^ name in
  fs.append (below "UPPER.TXT") tag;
  fs.patch (below "d/nested.bin") 5000 tag;
  fs.truncate (below "lower.txt") 1234;
  let deep who = below ("d/Deep " ^ who) in
  fs.rename (deep previous) (deep tag);
  for n = 0 to 19 do
    fs.unlink (below (Printf.sprintf "d/many/number %d of many" (nth + (n * 4))))
  done

(* Hard and symbolic links, where the file system has them. The long one doesn't fit an inode. *)

let links_of tag root = Printf.sprintf "%s/%s links" root tag

let link fs ~tag root =
  let path name = links_of tag root ^ "/" ^ name in
  fs.mkdir (links_of tag root);
  fs.mkdir (path "below");
  fs.write (path "file") (contents 3);
  fs.write (path "below/inside") (contents 4);
  fs.link (path "file") (path "second");
  fs.link (path "file") (path "below/third");
  fs.symlink "file" (path "short");
  fs.symlink (String.concat "" (List.init 100 (fun _ -> "./")) ^ "file") (path "long");
  fs.symlink "below" (path "to a directory");
  fs.symlink "nothing/there" (path "dangling");
  fs.append (path "short") "written over a link"

let relink fs ~previous root =
  let path name = links_of previous root ^ "/" ^ name in
  fs.append (path "second") previous;
  fs.unlink (path "file");
  fs.rename (path "below/third") (path "fourth");
  fs.unlink (path "short");
  fs.symlink "fourth" (path "short");
  fs.append (path "short") previous;
  fs.unlink (path "long");
  fs.write (path "to a directory/new") (contents 5);
  fs.rename (path "dangling") (path "below/dangling");
  for n = 1 to 20 do
    fs.link (path "second") (path (Printf.sprintf "name %d" n))
  done

(* As [Tree.sums] prints, for the directories of links: contents and number of names, and what
   symbolic links say. *)
let show_links fs ~list ~read root =
  let rec show path =
    List.iter
      (fun (name, _) ->
        let inside = path ^ "/" ^ name in
        let line text number =
          Printf.printf "%s %d %s\n" (Digest.to_hex (Digest.string text)) number inside
        in
        match fs.kind inside with
        | `Directory ->
            Printf.printf "directory %s\n" inside;
            show inside
        | `File names -> line (read inside) names
        | `Link text -> line ("link to " ^ text) (String.length text))
      (List.sort compare (list path))
  in
  List.iter
    (fun (name, _) -> if String.ends_with ~suffix:" links" name then show (root ^ "/" ^ name))
    (List.sort compare (list root));
  flush stdout

(* Arguments: steps with '+' between them, done one after the other; then the directories for which
   each is done. *)
let main fs ~list ~read arguments =
  let step roots words =
    let each f = List.iter f roots in
    match String.split_on_char ':' words with
    | [ "make" ] -> each (Tree.make ~mkdir:fs.mkdir ~write:fs.write)
    | [ "change"; previous; tag; nth ] -> each (change fs ~previous ~tag ~nth:(int_of_string nth))
    | [ "link"; tag ] -> each (link fs ~tag)
    | [ "relink"; previous ] -> each (relink fs ~previous)
    | [ "links" ] ->
        print_endline "sums";
        each (show_links fs ~list ~read)
    | [ "sums" ] ->
        print_endline "sums";
        each (Tree.sums ~list ~read)
    | _ -> failwith ("unknown step: " ^ words)
  in
  match Array.to_list arguments with
  | _ :: steps :: roots -> List.iter (step roots) (String.split_on_char '+' steps)
  | _ -> failwith "steps and directories, please"
