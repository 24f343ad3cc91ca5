(* A tree of files for two file systems to agree on: written by one, read by the other. What reads
   and writes is given, so that the same code runs on Soil and on Linux. *)

let contents n = String.init (n * 7919 mod 200_000) (fun i -> Char.chr (((n * 131) + i) land 255))

let files =
  [
    "UPPER.TXT";
    "lower.txt";
    "A long name with spaces.html";
    "gr\xc3\xbc\xc3\x9fe \xe2\x98\x83.txt";
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e";
    "d/nested.bin";
    "d/Deep Down/below.bin";
    String.make 200 'n';
  ]

let make ~mkdir ~write root =
  List.iter (fun name -> mkdir (root ^ "/" ^ name)) [ "d"; "d/Deep Down"; "d/many" ];
  List.iteri (fun n name -> write (root ^ "/" ^ name) (contents (n + 1))) files;
  for n = 1 to 120 do
    write (Printf.sprintf "%s/d/many/number %d of many" root n) (contents (n + 20))
  done

(* A line for each file and directory: digest, size, path. *)
let rec sums ~list ~read path =
  List.iter
    (fun (name, is_directory) ->
      let inside = path ^ "/" ^ name in
      if is_directory then (
        Printf.printf "directory %s\n" inside;
        sums ~list ~read inside)
      else
        let text = read inside in
        Printf.printf "%s %d %s\n" (Digest.to_hex (Digest.string text)) (String.length text) inside)
    (List.sort compare (list path));
  flush stdout
