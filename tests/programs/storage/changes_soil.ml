(* peer/changes.ml on Soil's files. *)
module D = Soil.File_descriptor
module Fs = Soil.Fs

let patch path position text =
  Fs.with_file ~mode:Write path (fun d ->
      Fs.pwrite d ~position (Bytes.of_string text) 0 (String.length text))

let fs =
  Changes.
    {
      mkdir = Fs.mkdir;
      rmdir = Fs.rmdir;
      write = Fs.write_file;
      append = Fs.append_file;
      patch;
      truncate = (fun path size -> Fs.with_file ~mode:Write path (fun d -> Fs.truncate d size));
      rename = Fs.rename;
      unlink = Fs.unlink;
      link = Fs.link;
      symlink = (fun target path -> Fs.symlink ~target path);
      kind =
        (fun path ->
          match Fs.lstat path with
          | { kind = Directory; _ } -> `Directory
          | { kind = Symlink; _ } -> `Link (Fs.readlink path)
          | { kind = File; links; _ } -> `File links);
    }

let list path =
  Fs.list path
  |> List.filter (fun (name, _) -> name <> "lost+found")
  |> List.map (fun (name, kind) -> (name, kind = Fs.Directory))

let () = Soil.run @@ fun () -> Changes.main fs ~list ~read:Fs.read_file Sys.argv
