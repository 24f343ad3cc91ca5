(* The public cases of HPACK (github.com/http2jp/hpack-test-case) in the folder that HPACK_CASES
   names: each implementation's blocks, and the same fields by this encoder. Nothing without it. *)
open Yojson.Safe.Util

let field json =
  match to_assoc json with
  | [ (name, value) ] -> (name, to_string value)
  | _ -> failwith "a field with one name"

let bytes hex =
  Bytes.init
    (String.length hex / 2)
    (fun i -> Char.chr (int_of_string ("0x" ^ String.sub hex (2 * i) 2)))

let decode d block =
  Hpack.decode d block 0 (Bytes.length block) ~max_bytes:max_int ~max_fields:max_int

let same what wanted found = Alcotest.(check (list (pair string string))) what wanted found

(* A story is the blocks of one connection; the number of them. *)
let story path =
  let cases = member "cases" (Yojson.Safe.from_file path) |> to_list in
  let table_bytes =
    List.fold_left
      (fun n case ->
        max n (Option.value (to_int_option (member "header_table_size" case)) ~default:0))
      4096 cases
  in
  let theirs = Hpack.decoder ~table_bytes and ours = Hpack.decoder ~table_bytes:4096 in
  let encoder = Hpack.encoder () in
  List.iteri
    (fun i case ->
      let what = Printf.sprintf "%s, block %d" path i in
      let fields = List.map field (to_list (member "headers" case)) in
      (match member "wire" case with
      | `String wire -> same what fields (decode theirs (bytes wire))
      | _ -> ());
      Option.iter (Hpack.set_table_size encoder) (to_int_option (member "header_table_size" case));
      let out = Buffer.create 1000 in
      Hpack.encode encoder out fields;
      same (what ^ ", by this encoder") fields (decode ours (Buffer.to_bytes out)))
    cases;
  List.length cases

let folder path () =
  let blocks =
    Sys.readdir path |> Array.to_list
    |> List.filter (fun name -> Filename.check_suffix name ".json")
    |> List.map (fun name -> story (Filename.concat path name))
  in
  Printf.printf "%d stories, %d blocks\n" (List.length blocks) (List.fold_left ( + ) 0 blocks);
  if blocks = [] then Alcotest.fail (path ^ ": no stories")

let () =
  match Sys.getenv_opt "HPACK_CASES" with
  | None | Some "" -> ()
  | Some cases ->
      let is_stories name =
        let path = Filename.concat cases name in
        Sys.is_directory path
        && Array.exists (String.starts_with ~prefix:"story_") (Sys.readdir path)
      in
      let names = List.filter is_stories (List.sort compare (Array.to_list (Sys.readdir cases))) in
      let test name = Alcotest.test_case name `Quick (folder (Filename.concat cases name)) in
      Alcotest.run "HPACK cases" [ ("folders", List.map test names) ]
