(* fpath, bos, rresult, astring, fileutils, ptime, mtime, duration: files and times. *)

let line = Printf.printf
let folder = Filename.temp_dir "soil" "folders"

let () =
  let open Bos in
  let root = Fpath.v folder in
  let written =
    let ( let* ) = Result.bind in
    let* made = OS.Dir.create Fpath.(root / "a" / "b") in
    let* () = OS.File.write Fpath.(root / "a" / "one.txt") "first\nsecond\n" in
    let* () = OS.File.write_lines Fpath.(root / "a" / "b" / "two.txt") [ "x"; "y" ] in
    let* lines = OS.File.read_lines Fpath.(root / "a" / "one.txt") in
    let* files = OS.Dir.fold_contents ~elements:`Files (fun path found -> path :: found) [] root in
    Ok (made, lines, List.sort Fpath.compare files)
  in
  match written with
  | Error (`Msg reason) -> line "bos: %s\n" reason
  | Ok (made, lines, files) -> (
      line "made: %b, %s\n" made (String.concat "|" lines);
      List.iter
        (fun path -> line "%s\n" (Fpath.to_string (Option.get (Fpath.relativize ~root path))))
        files;
      line "%s\n" (Fpath.to_string (Fpath.normalize (Fpath.v "/a/./b/../c//d.tar.gz")));
      line "%s\n" (Fpath.get_ext ~multi:true (Fpath.v "d.tar.gz"));
      match OS.File.read Fpath.(root / "absent") with
      | Ok _ -> line "read\n"
      | Error (`Msg reason) ->
          line "absent: %b\n" (Astring.String.is_infix ~affix:"No such file" reason))

let () =
  let path = Filename.concat folder in
  FileUtil.mkdir ~parent:true (path "c/d");
  FileUtil.cp [ path "a/one.txt" ] (path "c/d/copy.txt");
  FileUtil.mv (path "a/b/two.txt") (path "c/moved.txt");
  let names =
    FileUtil.find (FileUtil.Has_extension "txt") folder
      (fun found name -> FilePath.basename name :: found)
      []
  in
  line "%s\n" (String.concat " " (List.sort compare names));
  line "the same: %b\n" (FileUtil.cmp (path "a/one.txt") (path "c/d/copy.txt") = None);
  FileUtil.rm ~recurse:true [ path "c" ];
  line "removed: %b\n" (not (FileUtil.test FileUtil.Exists (path "c")));
  line "%s\n" (FilePath.reduce "/a/b/../c/./d")

let () =
  let open Astring in
  line "%s\n" (String.concat ~sep:"|" (String.cuts ~empty:false ~sep:"," ",a,,b,c"));
  line "%s\n"
    (String.Sub.to_string (String.Sub.take ~sat:Char.Ascii.is_digit (String.sub "123abc")));
  line "%s\n" (String.Ascii.escape "tab\t\xff");
  let open Rresult in
  line "%s\n" (R.ignore_error ~use:(fun () -> "") (R.ok "ok" >>| String.Ascii.uppercase));
  match R.trap_exn int_of_string "x" with
  | Ok n -> line "%d\n" n
  | Error (`Exn_trap (exn, _)) -> line "trapped %s\n" (Printexc.to_string exn)

let () =
  let time, _, _ =
    Result.get_ok (Ptime.of_rfc3339 "2024-02-29T23:59:60+01:00" |> Result.map_error ignore)
  in
  line "%s\n" (Ptime.to_rfc3339 ~frac_s:3 time);
  let later = Option.get (Ptime.add_span time (Ptime.Span.of_int_s 86_400)) in
  line "%s, weekday %b\n" (Ptime.to_rfc3339 ~tz_offset_s:3600 later) (Ptime.weekday later = `Fri);
  line "a date: %b\n" (Ptime.of_date (2023, 2, 29) <> None);
  line "now is after 2024: %b\n" (Ptime.is_later (Ptime_clock.now ()) ~than:time);
  let count = Mtime_clock.counter () in
  Unix.sleepf 0.02;
  line "slept: %b\n" (Mtime.Span.compare (Mtime_clock.count count) Mtime.Span.(20 * ms) >= 0);
  line "%s\n" (Format.asprintf "%a" Mtime.Span.pp Mtime.Span.(90 * s));
  line "%s\n" (Format.asprintf "%a" Duration.pp (Duration.of_sec 3_725));
  line "%d\n" (Duration.to_ms (Duration.of_min 2))

let () = FileUtil.rm ~recurse:true [ folder ]
