(* kill_steps.ml on Linux's files, of the first disk. *)

let with_file path flags f =
  let fd = Unix.openfile path flags 0o644 in
  Fun.protect ~finally:(fun () -> Unix.close fd) (fun () -> f fd)

let write_all fd text = ignore (Unix.write_substring fd text 0 (String.length text))
let sync path = with_file path [ O_RDONLY ] Unix.fsync

let fs =
  Kill_steps.
    {
      write =
        (fun ~sync path text ->
          with_file path [ O_WRONLY; O_CREAT; O_TRUNC ] (fun fd ->
              write_all fd text;
              if sync then Unix.fsync fd));
      (* At once: an append within a block may have its size before its bytes, as zeros. *)
      append =
        (fun path text ->
          with_file path [ O_WRONLY; O_CREAT; O_APPEND ] (fun fd ->
              write_all fd text;
              Unix.fsync fd));
      patch =
        (fun path position text ->
          with_file path [ O_WRONLY; O_CREAT ] (fun fd ->
              ignore (Unix.lseek fd position SEEK_SET);
              write_all fd text;
              Unix.fsync fd));
      rename =
        (fun a b ->
          sync a;
          Unix.rename a b);
      unlink = Unix.unlink;
      mkdir = (fun path -> Unix.mkdir path 0o755);
      rmdir = Unix.rmdir;
      exists = Sys.file_exists;
      read = (fun path -> In_channel.with_open_bin path In_channel.input_all);
      list =
        (fun path ->
          Sys.readdir path |> Array.to_list |> List.sort compare
          |> List.map (fun name -> (name, Sys.is_directory (path ^ "/" ^ name))));
      sync = List.iter sync;
    }

let () = Kill_steps.main fs "/mnt/vda" Sys.argv
