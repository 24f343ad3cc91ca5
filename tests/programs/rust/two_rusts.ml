(* A program that links Soil's Rust library and a second, independent one, which has the standard
   library, an allocator and panics of its own. *)

external remainders : (int[@untagged]) -> (int[@untagged]) = "unavailable" "second_remainders"
external panic : (int[@untagged]) -> (int[@untagged]) = "unavailable" "second_panic"
external allocations : (int[@untagged]) -> (int[@untagged]) = "unavailable" "second_allocations"

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:7 () in
  let sent, received =
    Soil.Task.both
      (fun () ->
        let connection = Soil.Tcp.connect (Soil.Net.endpoint Soil.Net.loopback 7) in
        let count = remainders 1000 in
        Soil.File_descriptor.write_string connection (string_of_int count);
        Soil.File_descriptor.close connection;
        count)
      (fun () ->
        let connection = Soil.Tcp.accept listener in
        let buffer = Bytes.create 100 in
        let count = Soil.File_descriptor.read connection buffer 0 100 in
        Bytes.sub_string buffer 0 count)
  in
  Printf.printf "remainders: %d, by TCP: %s\n" sent received;
  Printf.printf "allocations: %b\n" (allocations 0 > 0);
  (* Nothing unwinds in an image. *)
  if Array.mem "panic" Sys.argv then Printf.printf "a panic, caught: %d\n" (panic 12345)
