(* The one tree of several volumes: links, mount points, what crosses volumes. *)
module D = Soil.File_descriptor
module Fs = Soil.Fs

let bool = Check.bool
let int = Check.int
let string = Check.string
let fails_with = Check.fails_with

let links root () =
  let top = root ^ "/tree" in
  Fs.mkdir_p (top ^ "/a/b");
  Fs.write_file (top ^ "/a/b/file") "text";
  Fs.symlink ~target:"a/b" (top ^ "/short");
  string "through a link" "text" (Fs.read_file (top ^ "/short/file"));
  string "above its target" "text" (Fs.read_file (top ^ "/short/../b/file"));
  string "readlink" "a/b" (Fs.readlink (top ^ "/short"));
  string "realpath" (top ^ "/a/b/file") (Fs.realpath (top ^ "/short/./file"));
  bool "lstat" true ((Fs.lstat (top ^ "/short")).kind = Symlink);
  bool "stat" true ((Fs.stat (top ^ "/short")).kind = Directory);
  bool "a slash asks for more" true ((Fs.lstat (top ^ "/short/")).kind = Directory);
  fails_with "no link" Invalid (fun () -> Fs.readlink (top ^ "/a"));
  Fs.symlink ~target:"/memory/elsewhere" (top ^ "/away");
  Fs.write_file "/memory/elsewhere" "on another volume";
  string "to another volume" "on another volume" (Fs.read_file (top ^ "/away"));
  Fs.symlink ~target:"loop" (top ^ "/loop");
  fails_with "loop" Too_many_links (fun () -> Fs.read_file (top ^ "/loop"));
  fails_with "no link's place" Exists (fun () ->
      Fs.with_file ~flags:[ `Write; `Create; `Exclusive ] (top ^ "/short") ignore);
  Fs.symlink ~target:"new" (top ^ "/dangling");
  fails_with "dangling" Not_found (fun () -> Fs.read_file (top ^ "/dangling"));
  Fs.link (top ^ "/a/b/file") (top ^ "/second");
  int "two names" 2 (Fs.stat (top ^ "/second")).links;
  bool "one file" true ((Fs.stat (top ^ "/second")).inode = (Fs.stat (top ^ "/a/b/file")).inode);
  Fs.with_file (top ^ "/second") (fun d ->
      Fs.unlink (top ^ "/second");
      Fs.unlink (top ^ "/a/b/file");
      string "without a name" "text" (D.read_all d));
  Fs.unlink (top ^ "/short");
  bool "the target stays" true (Fs.exists (top ^ "/a/b"));
  List.iter (fun name -> Fs.unlink (top ^ "/" ^ name)) [ "away"; "loop"; "dangling" ];
  Fs.rmdir (top ^ "/a/b");
  Fs.rmdir (top ^ "/a");
  Fs.rmdir top

let mounted_for_a_function () =
  let at = "/for-a-function" in
  let use () =
    Fs.write_file (at ^ "/f") "text";
    Fs.read_file (at ^ "/f")
  in
  string "its result" "text" (Fs.with_mount "memory:1M" at use);
  fails_with "unmounted" Not_found (fun () -> Fs.list at);
  let endless () = Soil.Clock.sleep infinity in
  bool "cancelled" true
    (Soil.Task.timeout_opt 0.001 (fun () -> Fs.with_mount "memory:1M" at endless) = None);
  fails_with "unmounted then, too" Not_found (fun () -> Fs.list at);
  (* What [f] raises counts. *)
  let left = ref None in
  let leave () =
    left := Some (Fs.open_ ~mode:Truncate (at ^ "/open"));
    raise Exit
  in
  (match Fs.with_mount "memory:1M" at leave with
  | () -> Alcotest.fail "no exception"
  | exception Exit -> ());
  Option.iter D.close !left;
  Fs.unmount at

let volumes () =
  let names = List.map fst (Fs.list "/") in
  List.iter (fun name -> bool name true (List.mem name names)) [ "data"; "memory"; "host"; "ext4" ];
  Fs.write_file "/data/f" "1";
  fails_with "rename" Cross_volume (fun () -> Fs.rename "/data/f" "/memory/f");
  fails_with "link" Cross_volume (fun () -> Fs.link "/memory/f" "/data/g" |> ignore);
  fails_with "nothing" Not_found (fun () -> Fs.read_file "/none/f");
  fails_with "no links on FAT" Unsupported (fun () -> Fs.symlink ~target:"x" "/data/l");
  (* Mounted in a directory of another volume, and seen in its listing. *)
  Fs.mkdir_p "/memory/deep";
  Fs.write_file "/memory/deep/own" "";
  Fs.mount "memory:1M" "/memory/deep/more";
  Fs.write_file "/memory/deep/more/x" "inside";
  bool "listed" true (Fs.list "/memory/deep" = [ ("more", Fs.Directory); ("own", File) ]);
  fails_with "in use" Busy (fun () -> Fs.rename "/memory/deep" "/memory/other");
  fails_with "mounted twice" Exists (fun () -> Fs.mount "memory:1M" "/memory/deep/more");
  Fs.with_file "/memory/deep/more/x" (fun _ ->
      fails_with "open" Busy (fun () -> Fs.unmount "/memory/deep/more"));
  string "still there" "inside" (Fs.read_file "/memory/deep/more/x");
  Fs.unmount "/memory/deep/more";
  bool "gone" true (Fs.list "/memory/deep" = [ ("own", Fs.File) ]);
  fails_with "twice" Not_found (fun () -> Fs.unmount "/memory/deep/more");
  fails_with "full" No_space (fun () ->
      Fs.mount "memory:64K" "/small";
      Fs.write_file "/small/x" (String.make 100_000 'x'));
  Fs.unmount "/small";
  (* A disk is given up and taken again. *)
  Fs.write_file "/ext4/kept" "kept";
  Fs.unmount "/ext4";
  Fs.mount ~read_only:true "ext" "/ext4";
  string "kept" "kept" (Fs.read_file "/ext4/kept");
  fails_with "read-only" Read_only (fun () -> Fs.write_file "/ext4/kept" "x");
  bool "health" true ((Fs.volume "/ext4").health = Read_only);
  Fs.unmount "/ext4";
  Fs.mount "ext4:ext" "/ext4";
  string "source" "disk ext" (Fs.volume "/ext4/kept").source;
  fails_with "the same disk twice" Busy (fun () -> Fs.mount "ext" "/again");
  fails_with "no such disk" No_device (fun () -> Fs.mount "fat:none" "/again");
  fails_with "no such type" Bad_configuration (fun () -> Fs.mount "ext9:data" "/again");
  fails_with "no such folder" Not_found (fun () -> Fs.mount "host:/no/such" "/again");
  fails_with "not mounted after that" Not_found (fun () -> Fs.unmount "/again")

let host () =
  Fs.write_file "/host/from soil" "text";
  let from_outside = In_channel.with_open_bin "folder/from soil" In_channel.input_all in
  string "the host has it" "text" from_outside;
  Unix.symlink "/etc" "folder/etc";
  fails_with "absolute links stay in the tree" Not_found (fun () -> Fs.read_file "/host/etc/passwd");
  Unix.symlink "../../../../../../../../etc" "folder/up";
  fails_with "as do others" Not_found (fun () -> Fs.read_file "/host/up/passwd");
  Unix.unlink "folder/etc";
  Unix.unlink "folder/up"

let locks () =
  Fs.write_file "/memory/locked" "";
  Fs.symlink ~target:"locked" "/memory/alias";
  let inside = ref 0 in
  let work path () =
    Fs.with_lock path @@ fun () ->
    incr inside;
    int "alone" 1 !inside;
    Soil.Task.yield ();
    decr inside
  in
  let paths = [ "/memory/locked"; "/memory/alias"; "/memory/../memory/locked" ] in
  Soil.Task.iter (fun path -> work path ()) (paths @ paths);
  fails_with "of something" Not_found (fun () -> Fs.with_lock "/memory/none" ignore)

let entries () =
  Fs.mkdir "/memory/many";
  for i = 1 to 3000 do
    Fs.write_file (Printf.sprintf "/memory/many/%d" i) ""
  done;
  Fs.with_entries "/memory/many" (fun entries -> int "some" 10 (Seq.length (Seq.take 10 entries)));
  Fs.with_entries "/memory/many" (fun entries -> int "all" 3000 (Seq.length entries));
  int "listed" 3000 (List.length (Fs.list "/memory/many"))

let embedded () =
  Soil.Embedded.register ~at:"/built in"
    [|
      ("index.html", "<html>static</html>");
      ("sub/made", String.concat "" [ "made"; " at "; "run time" ]);
      ("empty/", "");
    |];
  string "static" "<html>static</html>" (Fs.read_file "/built in/index.html");
  bool "listed" true
    (Fs.list "/built in" = [ ("empty", Fs.Directory); ("index.html", File); ("sub", Directory) ]);
  (match Fs.contents "/built in/sub/made" with
  | None -> Alcotest.fail "no contents"
  | Some b ->
      Gc.compact ();
      string "without a copy" "made at run time"
        (String.init (Bigarray.Array1.dim b) (Bigarray.Array1.get b)));
  bool "others have none" true (Fs.contents "/memory/locked" = None);
  fails_with "read-only" Read_only (fun () -> Fs.write_file "/built in/x" "");
  fails_with "twice" Exists (fun () ->
      Soil.Embedded.register ~at:"/twice" [| ("a", ""); ("a", "") |])

let all =
  let test = Check.in_run in
  [
    test "links in memory" (links "/memory");
    test "links on the host" (links "/host");
    test "links on ext4" (links "/ext4");
    test "volumes" volumes;
    test "mounted for a function" mounted_for_a_function;
    test "a folder of the host" host;
    (* Locks belong to the first domain. *)
    Check.test "locks" (fun () -> Soil.run locks);
    test "entries" entries;
    test "embedded" embedded;
  ]
