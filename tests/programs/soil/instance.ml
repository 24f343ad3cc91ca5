(* Prints the machine's metadata, its arguments, and the variables that the arguments name; then,
   with the argument [serve], echoes on TCP port 7, and with [list] lists the mounts. *)

let show name value = print_endline (name ^ ": " ^ value)

let metadata () =
  match Soil.Instance.get () with
  | None -> print_endline "no metadata"
  | Some instance ->
      show "source" (Soil.Instance.source_to_string instance.source);
      show "id" instance.id;
      show "host name" instance.host_name;
      show "user data" (string_of_int (String.length instance.user_data) ^ " bytes");
      List.iter (show "argument") instance.arguments;
      List.iter (fun (name, value) -> show "variable" (name ^ "=" ^ value)) instance.environment;
      List.iter
        (fun (path, contents) -> show ("file " ^ path) (String.escaped contents))
        instance.files

let serve () =
  let listener = Soil.Tcp.listen ~port:7 () in
  print_endline "ready";
  Soil.Tcp.serve listener @@ fun connection ->
  let buffer = Bytes.create 100 in
  let rec echo () =
    match Soil.File_descriptor.read connection buffer 0 100 with
    | 0 -> ()
    | n ->
        Soil.File_descriptor.write connection buffer 0 n;
        echo ()
  in
  echo ()

let () =
  Soil.run @@ fun () ->
  (match metadata () with
  | () -> ()
  | exception Soil.Error e -> show "error" (Soil.Error.to_string e));
  let words = List.tl (Array.to_list Sys.argv) in
  List.iter (show "argv") words;
  List.iter
    (fun word -> Option.iter (fun value -> show ("env " ^ word) value) (Sys.getenv_opt word))
    words;
  (* Also for its own sake: a program that uses files reads metadata on FAT. *)
  if List.mem "list" words then List.iter (fun (name, _) -> show "mount" name) (Soil.Fs.list "/");
  if List.mem "serve" words then serve ()
