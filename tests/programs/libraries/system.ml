(* extunix: calls of Linux that OCaml's Unix lacks. *)
module E = ExtUnix.Specific

let () =
  let path = Filename.temp_file "extunix" ".txt" in
  let fd = Unix.openfile path [ Unix.O_RDWR ] 0 in
  Printf.printf "pwrite %d\n" (E.pwrite fd 4 "soil" 0 4);
  let text = Bytes.make 8 '.' in
  let count = E.all_pread fd 0 text 0 8 in
  Printf.printf "all_pread %d %S\n" count (Bytes.to_string text);
  E.fallocate fd 0 10_000;
  Printf.printf "size %d\n" (Unix.fstat fd).Unix.st_size;
  E.fadvise fd 0 0 E.POSIX_FADV_SEQUENTIAL;
  Printf.printf "regular %b\n" ((Unix.fstat fd).Unix.st_kind = Unix.S_REG);
  Printf.printf "blocks %b\n" ((E.fstatvfs fd).E.f_bsize > 0);
  Unix.close fd;
  Printf.printf "realpath %b\n"
    (E.realpath
       (Filename.concat (Filename.dirname path)
          ("../" ^ Filename.basename (Filename.dirname path) ^ "/" ^ Filename.basename path))
    = E.realpath path);
  Sys.remove path

let () =
  E.setenv "SOIL_TEST" "one" true;
  Printf.printf "%s\n" (Sys.getenv "SOIL_TEST");
  E.unsetenv "SOIL_TEST";
  Printf.printf "unset %b\n" (Sys.getenv_opt "SOIL_TEST" = None);
  Printf.printf "%s\n" (E.uname ()).E.Uname.sysname;
  Printf.printf "thread %b\n" (E.gettid () > 0);
  Printf.printf "page %b\n" (E.sysconf E.PAGESIZE = 4096L);
  match E.mkdtemp (Filename.concat (Filename.get_temp_dir_name ()) "extunixXXXXXX") with
  | directory ->
      Unix.rmdir directory;
      print_endline "made and removed"
