(* Channels, Sys, Filename and the files of Unix below each directory that is named: one line for
   the answer of each call. *)

(* The C libraries have their own words for two errors. *)
let words = function
  | "Filename too long" -> "File name too long"
  | "Symbolic link loop" -> "Too many levels of symbolic links"
  | text -> text

let error = function
  | Unix.Unix_error (e, _, _) -> words (Unix.error_message e)
  | Sys_error text ->
      (* The path before the colon is the directory's. *)
      let colon = try String.rindex text ':' + 2 with Not_found -> 0 in
      "Sys_error " ^ words (String.sub text colon (String.length text - colon))
  | End_of_file -> "End_of_file"
  | e -> Printexc.to_string e

let root = ref ""
let label = ref ""

(* One line for each check: a name and what came of it. *)
let check name f =
  let result = try f () with e -> error e in
  Printf.printf "%s %s: %s\n%!" !label name result

let int name f = check name (fun () -> string_of_int (f ()))
let bool name f = check name (fun () -> string_of_bool (f ()))

let unit name f =
  check name (fun () ->
      f ();
      "done")

let path name = Filename.concat !root name

let with_fd name flags f =
  let fd = Unix.openfile (path name) flags 0o644 in
  Fun.protect ~finally:(fun () -> Unix.close fd) (fun () -> f fd)

let write_all fd text = ignore (Unix.write_substring fd text 0 (String.length text))
let contents name = In_channel.with_open_bin (path name) In_channel.input_all

let put name text =
  Out_channel.with_open_bin (path name) (fun c -> Out_channel.output_string c text)

let sorted directory =
  let names = Sys.readdir directory in
  Array.sort compare names;
  String.concat " " (Array.to_list names)

let channels () =
  let file = path "lines.txt" in
  unit "open_out" (fun () ->
      let c = open_out file in
      for i = 1 to 1000 do
        Printf.fprintf c "line %d\n" i
      done;
      close_out c);
  int "lines read" (fun () ->
      let c = open_in file in
      let rec count n = match input_line c with _ -> count (n + 1) | exception End_of_file -> n in
      let n = count 0 in
      close_in c;
      n);
  int "in_channel_length" (fun () -> In_channel.with_open_bin file in_channel_length);
  check "seek_in" (fun () ->
      In_channel.with_open_bin file (fun c ->
          seek_in c 7;
          Printf.sprintf "%s at %d" (input_line c) (pos_in c)));
  unit "append" (fun () ->
      let c = open_out_gen [ Open_append; Open_wronly ] 0o644 file in
      output_string c "last\n";
      close_out c);
  check "its end" (fun () ->
      let text = contents "lines.txt" in
      String.escaped (String.sub text (String.length text - 10) 10));
  int "seek_out" (fun () ->
      let c = open_out_gen [ Open_wronly ] 0o644 file in
      seek_out c 5;
      output_string c "#";
      let n = out_channel_length c in
      close_out c;
      n);
  check "its start" (fun () -> String.escaped (String.sub (contents "lines.txt") 0 8));
  unit "open_in of nothing" (fun () -> close_in (open_in (path "nothing")));
  unit "open_in of a directory" (fun () -> ignore (input_char (open_in !root)));
  unit "open_out of a directory" (fun () -> close_out (open_out !root));
  unit "Open_excl of a file" (fun () ->
      close_out (open_out_gen [ Open_wronly; Open_creat; Open_excl ] 0o644 file));
  unit "truncated" (fun () -> close_out (open_out file));
  int "its length" (fun () -> (Unix.stat file).st_size);
  unit "a large file" (fun () ->
      let c = open_out_bin (path "large") in
      let line = String.init 4096 (fun i -> Char.chr (i land 255)) in
      for _ = 1 to 700 do
        output_string c line
      done;
      close_out c);
  check "its digest" (fun () -> Digest.to_hex (Digest.file (path "large")));
  unit "marshalled" (fun () ->
      Out_channel.with_open_bin (path "value") (fun c ->
          Marshal.to_channel c (List.init 5000 (fun i -> (i, string_of_int i))) []));
  int "unmarshalled" (fun () ->
      List.length
        (In_channel.with_open_bin (path "value") (fun c ->
             (Marshal.from_channel c : (int * string) list))))

let sys () =
  bool "file_exists" (fun () -> Sys.file_exists (path "large"));
  bool "file_exists of nothing" (fun () -> Sys.file_exists (path "nothing"));
  bool "is_directory" (fun () -> Sys.is_directory !root);
  bool "is_directory of a file" (fun () -> Sys.is_directory (path "large"));
  bool "is_directory of nothing" (fun () -> Sys.is_directory (path "nothing"));
  bool "is_regular_file" (fun () -> Sys.is_regular_file (path "large"));
  unit "mkdir" (fun () -> Sys.mkdir (path "dir") 0o755);
  unit "mkdir again" (fun () -> Sys.mkdir (path "dir") 0o755);
  unit "mkdir below nothing" (fun () -> Sys.mkdir (path "nothing/dir") 0o755);
  unit "mkdir below a file" (fun () -> Sys.mkdir (path "large/dir") 0o755);
  unit "a file in it" (fun () -> put "dir/file" "text");
  unit "rmdir of what isn't empty" (fun () -> Sys.rmdir (path "dir"));
  unit "remove of a directory" (fun () -> Sys.remove (path "dir"));
  unit "rmdir of a file" (fun () -> Sys.rmdir (path "large"));
  unit "rename" (fun () -> Sys.rename (path "dir/file") (path "dir/other"));
  unit "rename of nothing" (fun () -> Sys.rename (path "dir/file") (path "dir/other"));
  unit "rename a directory" (fun () -> Sys.rename (path "dir") (path "dir2"));
  unit "rename into itself" (fun () -> Sys.rename (path "dir2") (path "dir2/below"));
  unit "rename a file to a directory" (fun () -> Sys.rename (path "large") (path "dir2"));
  check "readdir" (fun () -> sorted (path "dir2"));
  check "readdir of nothing" (fun () -> sorted (path "nothing"));
  check "readdir of a file" (fun () -> sorted (path "large"));
  check "contents" (fun () -> contents "dir2/other");
  unit "remove" (fun () -> Sys.remove (path "dir2/other"));
  unit "remove again" (fun () -> Sys.remove (path "dir2/other"));
  unit "rmdir" (fun () -> Sys.rmdir (path "dir2"));
  check "a long name" (fun () ->
      put (String.make 255 'n') "x";
      Sys.remove (path (String.make 255 'n'));
      "done");
  check "too long a name" (fun () ->
      put (String.make 256 'n') "x";
      "done");
  check "temp_file" (fun () ->
      let name = Filename.temp_file ~temp_dir:!root "soil" ".tmp" in
      let there = Sys.file_exists name in
      Sys.remove name;
      Printf.sprintf "%b %b" there (Filename.check_suffix name ".tmp"));
  check "temp_dir" (fun () ->
      let name = Filename.temp_dir ~temp_dir:!root "soil" "" in
      let there = Sys.is_directory name in
      Sys.rmdir name;
      string_of_bool there);
  check "the current directory" (fun () ->
      let before = Sys.getcwd () in
      Sys.mkdir (path "here") 0o755;
      Sys.chdir (path "here");
      let there = Filename.basename (Sys.getcwd ()) in
      Out_channel.with_open_text "relative" (fun c -> output_string c "relative");
      let seen = Sys.file_exists (path "here/relative") && Sys.file_exists "../here/relative" in
      let listed = sorted "." in
      Sys.remove "relative";
      Sys.chdir "..";
      Sys.rmdir "here";
      let above = Filename.basename (Sys.getcwd ()) = Filename.basename !root in
      Sys.chdir before;
      Printf.sprintf "%s %b %s %b" there seen listed above);
  unit "chdir to nothing" (fun () -> Sys.chdir (path "nothing"));
  unit "chdir to a file" (fun () -> Sys.chdir (path "large"));
  unit "an empty path" (fun () -> close_in (open_in ""))

let kind = function
  | Unix.S_REG -> "file"
  | S_DIR -> "directory"
  | S_CHR -> "character device"
  | S_LNK -> "link"
  | S_FIFO -> "pipe"
  | _ -> "other"

let descriptors () =
  int "write" (fun () ->
      with_fd "file" [ O_RDWR; O_CREAT; O_TRUNC ] (fun fd ->
          Unix.write_substring fd "0123456789" 0 10));
  let reading f = with_fd "file" [ O_RDONLY ] f in
  let buffer = Bytes.create 100 in
  let read fd n =
    let n = Unix.read fd buffer 0 n in
    Bytes.sub_string buffer 0 n
  in
  check "read" (fun () ->
      reading (fun fd ->
          let first = read fd 4 in
          let second = read fd 100 in
          let third = read fd 100 in
          Printf.sprintf "%S %S %S" first second third));
  check "lseek" (fun () ->
      reading (fun fd ->
          let a = Unix.lseek fd 3 SEEK_SET in
          let b = Unix.lseek fd 2 SEEK_CUR in
          let c = Unix.lseek fd (-1) SEEK_END in
          let last = read fd 5 in
          Printf.sprintf "%d %d %d %S" a b c last));
  int "lseek before the start" (fun () -> reading (fun fd -> Unix.lseek fd (-1) SEEK_SET));
  int "write to what is read" (fun () -> reading (fun fd -> Unix.write_substring fd "x" 0 1));
  check "read of what is written" (fun () -> with_fd "file" [ O_WRONLY ] (fun fd -> read fd 1));
  check "a hole" (fun () ->
      with_fd "hole" [ O_RDWR; O_CREAT ] (fun fd ->
          ignore (Unix.lseek fd 5 SEEK_SET);
          write_all fd "end";
          ignore (Unix.lseek fd 0 SEEK_SET);
          Printf.sprintf "%S %d" (read fd 100) (Unix.fstat fd).st_size));
  check "dup shares the position" (fun () ->
      reading (fun fd ->
          let other = Unix.dup fd in
          let first = read fd 3 in
          let second = read other 3 in
          Unix.close other;
          let third = read fd 3 in
          first ^ " " ^ second ^ " " ^ third));
  check "two openings have two positions" (fun () ->
      reading (fun a -> reading (fun b -> read a 3 ^ " " ^ read b 3)));
  check "dup2" (fun () ->
      reading (fun fd ->
          with_fd "hole" [ O_RDONLY ] (fun other ->
              Unix.dup2 fd other;
              read other 4)));
  check "numbers are the lowest" (fun () ->
      let number (fd : Unix.file_descr) : int = Obj.magic fd in
      let a = Unix.openfile (path "file") [ O_RDONLY ] 0 in
      let b = Unix.openfile (path "file") [ O_RDONLY ] 0 in
      Unix.close a;
      let c = Unix.openfile (path "file") [ O_RDONLY ] 0 in
      let again = number c = number a and next = number b = number a + 1 in
      Unix.close b;
      Unix.close c;
      Printf.sprintf "%b %b" again next);
  unit "close twice" (fun () ->
      let fd = Unix.openfile (path "file") [ O_RDONLY ] 0 in
      Unix.close fd;
      Unix.close fd);
  check "append goes to the end" (fun () ->
      with_fd "file" [ O_WRONLY; O_APPEND ] (fun fd ->
          ignore (Unix.lseek fd 0 SEEK_SET);
          write_all fd "!");
      contents "file");
  unit "O_EXCL" (fun () -> with_fd "file" [ O_WRONLY; O_CREAT; O_EXCL ] ignore);
  check "O_CREAT to read" (fun () ->
      with_fd "made" [ O_RDONLY; O_CREAT ] (fun fd -> Printf.sprintf "%S" (read fd 1)));
  unit "O_CREAT below nothing" (fun () -> with_fd "nothing/file" [ O_WRONLY; O_CREAT ] ignore);
  unit "below a file" (fun () -> with_fd "file/file" [ O_RDONLY ] ignore);
  unit "a file with a slash" (fun () -> with_fd "file/" [ O_RDONLY ] ignore);
  unit "a directory to write" (fun () -> with_fd "" [ O_WRONLY ] ignore);
  check "read of a directory" (fun () -> with_fd "" [ O_RDONLY ] (fun fd -> read fd 1));
  unit "ftruncate" (fun () -> with_fd "file" [ O_RDWR ] (fun fd -> Unix.ftruncate fd 4));
  check "what is left" (fun () -> contents "file");
  unit "ftruncate of what is read" (fun () -> reading (fun fd -> Unix.ftruncate fd 1));
  unit "truncate" (fun () -> Unix.truncate (path "file") 6);
  check "grown" (fun () -> String.escaped (contents "file"));
  unit "truncate of nothing" (fun () -> Unix.truncate (path "nothing") 6);
  unit "truncate of a directory" (fun () -> Unix.truncate !root 6);
  unit "truncate below 0" (fun () -> Unix.truncate (path "file") (-1));
  unit "fsync" (fun () -> with_fd "file" [ O_RDWR ] Unix.fsync);
  check "single_write" (fun () ->
      with_fd "file" [ O_WRONLY; O_TRUNC ] (fun fd ->
          string_of_int (Unix.single_write_substring fd "abc" 0 3)));
  check "mapped" (fun () ->
      reading (fun fd ->
          let map = Unix.map_file fd Bigarray.char Bigarray.c_layout false [| -1 |] in
          let map = Bigarray.array1_of_genarray map in
          map.{0} <- 'X';
          Printf.sprintf "%d %c%c %s" (Bigarray.Array1.dim map) map.{0} map.{1} (contents "file")));
  check "mapped and shared" (fun () ->
      with_fd "shared" [ O_RDWR; O_CREAT; O_TRUNC ] (fun fd ->
          let map = Unix.map_file fd Bigarray.char Bigarray.c_layout true [| 5000 |] in
          let map = Bigarray.array1_of_genarray map in
          map.{0} <- 'a';
          map.{4999} <- 'z';
          let text = contents "shared" in
          ignore (Unix.lseek fd 1 SEEK_SET);
          ignore (Unix.write_substring fd "bc" 0 2);
          (* Written by the program's end. *)
          map.{3} <- 'd';
          Printf.sprintf "%d %c%c %c%c" (String.length text) text.[0] text.[4999] map.{1} map.{2}));
  (* The mapping is brought up to date by a descriptor that can't read. *)
  check "mapped, and written without reading" (fun () ->
      with_fd "half" [ O_RDWR; O_CREAT; O_TRUNC ] (fun fd ->
          let map = Unix.map_file fd Bigarray.char Bigarray.c_layout true [| 4 |] in
          let map = Bigarray.array1_of_genarray map in
          let written = with_fd "half" [ O_WRONLY ] (fun fd -> Unix.write_substring fd "ab" 0 2) in
          Printf.sprintf "%d %c%c" written map.{0} map.{1}));
  check "isatty" (fun () -> reading (fun fd -> string_of_bool (Unix.isatty fd)));
  check "select" (fun () ->
      reading (fun fd ->
          let r, w, e = Unix.select [ fd ] [] [] (-1.) in
          Printf.sprintf "%d %d %d" (List.length r) (List.length w) (List.length e)));
  check "channels of a descriptor" (fun () ->
      let fd = Unix.openfile (path "file") [ O_RDWR ] 0 in
      let out = Unix.out_channel_of_descr fd and into = Unix.in_channel_of_descr fd in
      output_string out "from a channel";
      flush out;
      seek_in into 5;
      let text = input_line into in
      close_out out;
      text);
  check "a lock" (fun () ->
      with_fd "file" [ O_RDWR ] (fun fd ->
          Unix.lockf fd F_LOCK 0;
          Unix.lockf fd F_TEST 0;
          Unix.lockf fd F_ULOCK 0;
          "done"))

let attributes () =
  let stat name = Unix.stat (path name) in
  check "stat of a file" (fun () ->
      let s = stat "file" in
      Printf.sprintf "%s %d %o" (kind s.st_kind) s.st_size s.st_perm);
  check "stat of a directory" (fun () ->
      let s = stat "" in
      Printf.sprintf "%s %o" (kind s.st_kind) s.st_perm);
  check "stat of nothing" (fun () -> kind (stat "nothing").st_kind);
  check "stat below a file" (fun () -> kind (stat "file/below").st_kind);
  check "fstat" (fun () -> with_fd "file" [ O_RDONLY ] (fun fd -> kind (Unix.fstat fd).st_kind));
  bool "fstat and stat agree" (fun () ->
      with_fd "file" [ O_RDONLY ] (fun fd ->
          let a = Unix.fstat fd and b = stat "file" in
          (a.st_dev, a.st_ino, a.st_size) = (b.st_dev, b.st_ino, b.st_size)));
  bool "two files differ" (fun () -> (stat "file").st_ino <> (stat "hole").st_ino);
  unit "access" (fun () -> Unix.access (path "file") [ R_OK; W_OK; F_OK ]);
  unit "access to execute" (fun () -> Unix.access (path "file") [ X_OK ]);
  unit "access to nothing" (fun () -> Unix.access (path "nothing") [ F_OK ]);
  unit "access to a directory" (fun () -> Unix.access !root [ X_OK ]);
  check "utimes" (fun () ->
      Unix.utimes (path "file") 1_000_000_000. 1_100_000_002.;
      let s = stat "file" in
      Printf.sprintf "%.0f" s.st_mtime);
  bool "utimes of now" (fun () ->
      Unix.utimes (path "file") 0. 0.;
      abs_float ((stat "file").st_mtime -. Unix.time ()) < 10.);
  unit "utimes of nothing" (fun () -> Unix.utimes (path "nothing") 1. 1.);
  unit "chmod to what it is" (fun () -> Unix.chmod (path "file") 0o644);
  unit "chown to what it is" (fun () -> Unix.chown (path "file") (-1) (-1));
  check "umask" (fun () ->
      let old = Unix.umask 0o077 in
      let set = Unix.umask old in
      Printf.sprintf "%o" set)

let directories () =
  unit "entries" (fun () ->
      Unix.mkdir (path "many") 0o755;
      for i = 1 to 200 do
        put (Printf.sprintf "many/entry-%03d" i) ""
      done);
  check "opendir" (fun () ->
      let handle = Unix.opendir (path "many") in
      let rec all names =
        match Unix.readdir handle with
        | name -> all (name :: names)
        | exception End_of_file -> List.sort compare names
      in
      let first = all [] in
      Unix.rewinddir handle;
      let second = all [] in
      Unix.closedir handle;
      Printf.sprintf "%d %s %s %b" (List.length first) (List.hd first) (List.nth first 201)
        (first = second));
  check "opendir of a file" (fun () ->
      Unix.closedir (Unix.opendir (path "file"));
      "done");
  check "removed" (fun () ->
      Array.iter (fun name -> Sys.remove (path ("many/" ^ name))) (Sys.readdir (path "many"));
      Unix.rmdir (path "many");
      string_of_bool (Sys.file_exists (path "many")));
  unit "rmdir of nothing" (fun () -> Unix.rmdir (path "many"));
  unit "rmdir ." (fun () -> Unix.rmdir (path "."))

let links () =
  unit "link" (fun () -> Unix.link (path "file") (path "second"));
  int "its links" (fun () -> (Unix.stat (path "file")).st_nlink);
  unit "link to what is there" (fun () -> Unix.link (path "file") (path "second"));
  unit "link of a directory" (fun () -> Unix.link !root (path "third"));
  unit "symlink" (fun () -> Unix.symlink "file" (path "symbolic"));
  unit "symlink again" (fun () -> Unix.symlink "file" (path "symbolic"));
  check "readlink" (fun () -> Unix.readlink (path "symbolic"));
  check "readlink of a file" (fun () -> Unix.readlink (path "file"));
  check "readlink of nothing" (fun () -> Unix.readlink (path "nothing"));
  check "lstat" (fun () -> kind (Unix.lstat (path "symbolic")).st_kind);
  check "stat of a link" (fun () -> kind (Unix.stat (path "symbolic")).st_kind);
  check "through a link" (fun () -> contents "symbolic");
  check "realpath" (fun () -> Filename.basename (Unix.realpath (path "symbolic")));
  unit "a broken link" (fun () ->
      Unix.symlink "missing" (path "broken");
      with_fd "broken" [ O_RDONLY ] ignore);
  unit "a loop" (fun () ->
      Unix.symlink "loop" (path "loop");
      with_fd "loop" [ O_RDONLY ] ignore);
  unit "O_EXCL on a link" (fun () -> with_fd "broken" [ O_WRONLY; O_CREAT; O_EXCL ] ignore);
  unit "made through a link" (fun () -> with_fd "broken" [ O_WRONLY; O_CREAT ] ignore);
  bool "there" (fun () -> Sys.file_exists (path "missing"));
  check "removed while it is open" (fun () ->
      with_fd "missing" [ O_RDWR ] (fun fd ->
          Unix.unlink (path "missing");
          write_all fd "kept";
          ignore (Unix.lseek fd 0 SEEK_SET);
          let buffer = Bytes.create 4 in
          ignore (Unix.read fd buffer 0 4);
          Printf.sprintf "%s %b" (Bytes.to_string buffer) (Sys.file_exists (path "missing"))));
  (* A file is not the name by which it was opened: one that replaces another is another, and two
     names may be of one. *)
  check "mapped, replaced and linked" (fun () ->
      let put name text = with_fd name [ O_RDWR; O_CREAT ] (fun fd -> write_all fd text)
      and map name =
        with_fd name [ O_RDWR ] (fun fd ->
            Bigarray.array1_of_genarray
              (Unix.map_file fd Bigarray.char Bigarray.c_layout true [| -1 |]))
      in
      put "old" "AAA";
      let first = map "old" in
      put "new" "BBBBBB";
      Unix.rename (path "new") (path "old");
      let second = map "old" in
      second.{1} <- 'Z';
      first.{2} <- 'Y';
      let text = contents "old" in
      Unix.link (path "old") (path "other name");
      let third = map "other name" in
      third.{2} <- 'X';
      second.{3} <- 'W';
      Printf.sprintf "%d %c%c%c %s %c%c %s" (Bigarray.Array1.dim second) second.{0} second.{1}
        first.{2} text second.{2} third.{3} (contents "other name"));
  unit "unlink a link" (fun () -> Unix.unlink (path "symbolic"));
  bool "its target stays" (fun () -> Sys.file_exists (path "file"))

let devices () =
  label := "devices";
  let file name f = In_channel.with_open_bin name f in
  check "null" (fun () -> Printf.sprintf "%S" (file "/dev/null" In_channel.input_all));
  unit "write null" (fun () ->
      Out_channel.with_open_bin "/dev/null" (fun c -> output_string c (String.make 100_000 'x')));
  check "zero" (fun () -> file "/dev/zero" (fun c -> String.escaped (really_input_string c 3)));
  int "urandom" (fun () ->
      file "/dev/urandom" (fun c -> String.length (really_input_string c 5000)));
  check "kind" (fun () -> kind (Unix.stat "/dev/null").st_kind);
  unit "stdout" (fun () ->
      let append = [ Open_wronly; Open_append ] in
      Out_channel.with_open_gen append 0 "/dev/stdout" (fun c -> output_string c "to stdout\n"));
  bool "passwd" (fun () -> Sys.file_exists "/etc/passwd");
  check "root" (fun () -> (Unix.getpwnam "root").pw_name);
  int "its number" (fun () -> (Unix.getpwuid 0).pw_uid);
  check "group" (fun () -> (Unix.getgrgid 0).gr_name);
  bool "tmp" (fun () -> Sys.is_directory "/tmp");
  check "temporary" (fun () ->
      let name, c = Filename.open_temp_file "soil" ".txt" in
      output_string c "temporary";
      close_out c;
      let text = In_channel.with_open_text name In_channel.input_all in
      Sys.remove name;
      text);
  check "a pipe" (fun () ->
      let r, w = Unix.pipe () in
      write_all w "through a pipe";
      Unix.close w;
      let text = In_channel.input_all (Unix.in_channel_of_descr r) in
      Unix.close r;
      text);
  check "an empty pipe" (fun () ->
      let r, w = Unix.pipe ~cloexec:true () in
      Unix.set_nonblock r;
      Fun.protect
        ~finally:(fun () -> List.iter Unix.close [ r; w ])
        (fun () -> string_of_int (Unix.read r (Bytes.create 1) 0 1)));
  check "redirected" (fun () ->
      let name = Filename.temp_file "soil" ".out" in
      let saved = Unix.dup Unix.stdout in
      let fd = Unix.openfile name [ O_WRONLY; O_TRUNC ] 0 in
      Unix.dup2 fd Unix.stdout;
      Unix.close fd;
      print_string "into the file";
      flush stdout;
      Unix.dup2 saved Unix.stdout;
      Unix.close saved;
      let text = In_channel.with_open_text name In_channel.input_all in
      Sys.remove name;
      text)

(* What has another answer than in a directory of Linux's ext4. *)
let volumes fat other =
  label := "volumes";
  root := fat;
  put "a" "text";
  unit "link on FAT" (fun () -> Unix.link (path "a") (path "b"));
  unit "symlink on FAT" (fun () -> Unix.symlink "a" (path "b"));
  unit "unlink on FAT of what is open" (fun () ->
      with_fd "a" [ O_RDONLY ] (fun _ -> Unix.unlink (path "a")));
  unit "chmod" (fun () -> Unix.chmod (path "a") 0o600);
  unit "chown" (fun () -> Unix.chown (path "a") 1 1);
  unit "rename to another volume" (fun () -> Unix.rename (path "a") (Filename.concat other "a"));
  unit "link to another volume" (fun () -> Unix.link (path "a") (Filename.concat other "a"));
  bool "volumes have numbers" (fun () -> (Unix.stat fat).st_dev <> (Unix.stat other).st_dev);
  check "the root" (fun () -> sorted "/");
  check "devices" (fun () -> sorted "/dev");
  check "the current directory" Sys.getcwd;
  unit "fork" (fun () -> ignore (Unix.fork ()))

(* A signal ends it. *)
let leave paths =
  List.iter (fun path -> Out_channel.with_open_bin path (fun c -> output_string c path)) paths;
  print_endline "written";
  while true do
    Unix.sleep 1000
  done

let () =
  match List.tl (Array.to_list Sys.argv) with
  | [ "volumes"; fat; other ] -> volumes fat other
  | "leave" :: paths -> leave paths
  | roots ->
      devices ();
      List.iter
        (fun directory ->
          root := directory;
          label := Filename.basename directory;
          if not (Sys.file_exists directory) then Sys.mkdir directory 0o755;
          channels ();
          sys ();
          descriptors ();
          attributes ();
          directories ();
          if !label <> "fat" then links ())
        roots
