(* For each path of the arguments a file's text, a directory's names, or the error.
   `+PATH` writes a file first. *)

let names path =
  let names = Sys.readdir path in
  Array.sort compare names;
  String.concat " " (Array.to_list names)

let shown path =
  match
    if Sys.is_directory path then "[" ^ names path ^ "]"
    else Printf.sprintf "%S" (In_channel.with_open_bin path In_channel.input_all)
  with
  | text -> text
  | exception Sys_error text -> text

let () =
  let show argument =
    let path =
      match String.starts_with ~prefix:"+" argument with
      | false -> argument
      | true ->
          let path = String.sub argument 1 (String.length argument - 1) in
          Out_channel.with_open_bin path (fun file -> output_string file "written");
          path
    in
    Printf.printf "%s: %s\n%!" path (shown path)
  in
  List.iter show (List.tl (Array.to_list Sys.argv))
