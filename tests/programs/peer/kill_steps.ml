(* Work on a file system whose machine is going to be killed, the same by whatever system. A line
   "durable N" means that the block of step N is safe, and its file if N is even; a line "synced N"
   that all of it is. Steps go on where those before a kill ended. *)

type files = {
  write : sync:bool -> string -> string -> unit;  (** Creates or replaces. *)
  append : string -> string -> unit;
  patch : string -> int -> string -> unit;  (** At a position, and made durable. *)
  rename : string -> string -> unit;
  unlink : string -> unit;
  mkdir : string -> unit;
  rmdir : string -> unit;
  exists : string -> bool;
  read : string -> string;
  list : string -> (string * bool) list;  (** Names, and whether they are directories; sorted. *)
  sync : string list -> unit;  (** These files, if not everything, and all names. *)
}

let say format = Printf.printf (format ^^ "\n%!")

(* Contents that a checker outside of the machine can compute as well. *)
let contents n = String.init (n * 977 mod 9000) (fun i -> Char.chr (((n * 31) + i) land 255))
let block = 4096
let blocks = 64

(* Every way to make something durable, and every kind of change before it. [again]: a kill may have
   left any part of the step, and its line of the log. *)
let step fs ~again root n =
  let path name = root ^ "/" ^ name in
  let numbered n = path (Printf.sprintf "files/%05d.bin" n) in
  let directory n = path (Printf.sprintf "directory %d" n) in
  fs.write ~sync:(n mod 2 = 0) (numbered n) (contents n);
  if not again then fs.append (path "log") (Printf.sprintf "line %d\n" n);
  fs.write ~sync:false (path "new") (contents n);
  fs.rename (path "new") (path "current");
  let is_there name = (not again) || fs.exists name in
  if n > 8 && is_there (numbered (n - 8)) then fs.unlink (numbered (n - 8));
  if n mod 10 = 0 && not (again && fs.exists (directory n)) then fs.mkdir (directory n);
  if n mod 10 = 5 && n > 10 && is_there (directory (n - 5)) then fs.rmdir (directory (n - 5));
  let stamp = Printf.sprintf "%015d\n" n in
  fs.patch (path "blocks") (n mod blocks * block) (String.init block (fun i -> stamp.[i land 15]));
  say "durable %d" n;
  fs.sync [ numbered n; path "log"; path "current" ];
  say "synced %d" n

let rec sums fs path =
  List.iter
    (fun (name, is_directory) ->
      let inside = path ^ "/" ^ name in
      if not is_directory then say "%s %s" (Digest.to_hex (Digest.string (fs.read inside))) inside
      else if name <> "lost+found" then sums fs inside)
    (fs.list path)

let until fs root last =
  let files = root ^ "/files" and log = root ^ "/log" in
  if not (fs.exists files) then fs.mkdir files;
  let lines =
    if fs.exists log then List.length (String.split_on_char '\n' (fs.read log)) - 1 else 0
  in
  if lines > 0 then step fs ~again:true root lines;
  for n = lines + 1 to last do
    step fs ~again:false root n
  done

(* [until N]: steps up to N; [sums]: the files with their digests; [both N]: these, then those. *)
let main fs root = function
  | [| _; "until"; last |] -> until fs root (int_of_string last)
  | [| _; "sums" |] -> sums fs root
  | [| _; "both"; last |] ->
      sums fs root;
      say "looked";
      until fs root (int_of_string last)
  | _ -> failwith "until N, sums, or both N"
