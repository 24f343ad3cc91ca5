(* kill_steps.ml on the file system /data. *)

module D = Soil.File_descriptor
module Fs = Soil.Fs

let fs =
  Kill_steps.
    {
      write =
        (fun ~sync path text ->
          Fs.with_file ~mode:Truncate path (fun file ->
              D.write_string file text;
              if sync then Fs.sync file));
      append = Fs.append_file;
      patch =
        (fun path position text ->
          Fs.with_file ~mode:Write path (fun d ->
              Fs.pwrite d ~position (Bytes.of_string text) 0 (String.length text);
              Fs.sync d));
      rename = Fs.rename;
      unlink = Fs.unlink;
      mkdir = Fs.mkdir;
      rmdir = Fs.rmdir;
      exists = Fs.exists;
      read = (fun path -> Fs.read_file path);
      list = (fun path -> List.map (fun (name, kind) -> (name, kind = Fs.Directory)) (Fs.list path));
      sync = (fun _ -> Fs.sync_all ());
    }

let () = Soil.run (fun () -> Kill_steps.main fs "/data" Sys.argv)
