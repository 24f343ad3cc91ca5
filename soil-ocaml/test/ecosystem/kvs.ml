let test name f =
  Alcotest.test_case name `Quick (fun () -> Soil_lwt.run (fun () -> Soil_lwt.run_promise f))

let ( let* ) = Lwt.bind

module Memory = Kv_laws.Write (Mirage_kv_mem)
module Rw = Kv_laws.Write (Soil_mirage_kv.Rw)
module Ro = Kv_laws.Read (Soil_mirage_kv.Ro)

let string = Alcotest.(check string)
let memory () = Lwt.bind (Mirage_kv_mem.connect ()) Memory.laws

let connect path =
  let* t = Soil_mirage_kv.Rw.connect path in
  match t with
  | Ok t -> Lwt.return t
  | Error e -> Alcotest.failf "%a" Soil_mirage_kv.Rw.pp_write_error e

let rw () = Lwt.bind (connect "/memory/rw") Rw.laws

let ro () =
  Soil.Fs.mkdir_p "/memory/ro/d/e";
  Soil.Fs.write_file "/memory/ro/a" "1";
  Soil.Fs.write_file "/memory/ro/d/e/b" "two";
  Lwt.bind (Soil_mirage_kv.Ro.connect "/memory/ro") Ro.laws

(* Names that no key of a store may have, and what isn't in the directory. *)
let bounds () =
  let* t = Soil_mirage_kv.Ro.connect "/memory/ro" in
  Soil.Fs.write_file "/memory/secret" "secret";
  Soil.Fs.symlink ~target:"../secret" "/memory/ro/link";
  Soil.Fs.symlink ~target:".." "/memory/ro/up";
  let absent k = Lwt.map (string k ("error: Cannot find the key " ^ k)) (Ro.get t k) in
  let* () = Lwt_list.iter_s absent [ "/../secret"; "/./a"; "/link"; "/up/secret" ] in
  let* () = Lwt.map (string "list" "/a value,\n/d dictionary") (Ro.list t "/") in
  let* t = connect "/memory/rw" in
  let* () = Lwt.map (string "reserved" "nothing") (Rw.R.exists t "/.soil-kv/1") in
  let* answer = Rw.set t "/.soil-kv/1" "x" in
  string "set" "error: mirage-kv /.soil-kv/1: invalid name" answer;
  Lwt.catch
    (fun () ->
      Lwt.map (fun _ -> Alcotest.fail "connected") (Soil_mirage_kv.Ro.connect "/memory/secret"))
    (function Soil.Error { code = Not_directory; _ } -> Lwt.return_unit | e -> Lwt.fail e)

let full () =
  let* t = connect "/small/store" in
  Lwt.map
    (string "no space" "error: No space left on device")
    (Rw.set t "/large" (String.make 2_000_000 'x'))

let cancelled () =
  let* t = connect "/memory/rw" in
  let p = Soil_mirage_kv.Rw.set t (Mirage_kv.Key.v "/c") "c" in
  Lwt.cancel p;
  let* () =
    Lwt.catch
      (fun () -> Lwt.map ignore p)
      (fun e ->
        string "its promise" "Lwt.Resolution_loop.Canceled" (Printexc.to_string e);
        Lwt.return_unit)
  in
  Lwt.map (string "not set" "nothing") (Rw.R.exists t "/c")

let () =
  Alcotest.run "mirage-kv"
    [
      ("laws", [ test "mirage-kv-mem" memory; test "a store" rw; test "a directory" ro ]);
      ("here", [ test "bounds" bounds; test "full" full; test "cancelled" cancelled ]);
    ]
