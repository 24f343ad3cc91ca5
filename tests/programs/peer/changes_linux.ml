(* changes.ml on Linux's files. *)

let with_file path flags f =
  let fd = Unix.openfile path flags 0o644 in
  Fun.protect ~finally:(fun () -> Unix.close fd) (fun () -> f fd)

let write_all fd text = ignore (Unix.write_substring fd text 0 (String.length text))

let fs =
  Changes.
    {
      mkdir = (fun path -> Unix.mkdir path 0o755);
      rmdir = Unix.rmdir;
      write =
        (fun path text ->
          with_file path [ O_WRONLY; O_CREAT; O_TRUNC ] (fun fd -> write_all fd text));
      append =
        (fun path text -> with_file path [ O_WRONLY; O_APPEND ] (fun fd -> write_all fd text));
      patch =
        (fun path position text ->
          with_file path [ O_WRONLY ] (fun fd ->
              ignore (Unix.lseek fd position SEEK_SET);
              write_all fd text));
      truncate = Unix.truncate;
      rename = Unix.rename;
      unlink = Unix.unlink;
      link = (fun path name -> Unix.link path name);
      symlink = (fun target path -> Unix.symlink target path);
      kind =
        (fun path ->
          match Unix.lstat path with
          | { st_kind = S_DIR; _ } -> `Directory
          | { st_kind = S_LNK; _ } -> `Link (Unix.readlink path)
          | { st_nlink; _ } -> `File st_nlink);
    }

let read path = In_channel.with_open_bin path In_channel.input_all

let list path =
  Sys.readdir path |> Array.to_list
  |> List.filter (( <> ) "lost+found")
  |> List.map (fun name -> (name, (Unix.lstat (path ^ "/" ^ name)).st_kind = S_DIR))

let () = Changes.main fs ~list ~read Sys.argv
