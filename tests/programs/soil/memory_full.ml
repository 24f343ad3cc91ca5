(* Takes almost all memory, keeps running, and lets peers fill its queues: connections to port 7,
   which are not accepted, datagrams to port 8, which are not read. Port 9 answers: "free"
   gives the memory back and "accept" serves one connection first, and "bind" says whether a socket
   can be made. *)
let rec take kept size =
  match Bytes.create size with
  | block -> take (block :: kept) size
  | exception Out_of_memory -> if size > 0x10000 then take kept (size / 2) else kept

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~backlog:10_000 ~port:7 () in
  let _hoard = Soil.Udp.bind ~port:8 () in
  let control = Soil.Udp.bind ~port:9 () in
  (* A reserve for OCaml's runtime itself. *)
  let spare = ref (Bytes.create 0x200000) in
  let kept = ref (take [] 0x100000) in
  Printf.printf "out of memory: %b\n%!" (List.length !kept > 10);
  spare := Bytes.empty;
  Gc.full_major ();
  print_endline "full";
  let buffer = Bytes.create 64 in
  while true do
    let n, peer = Soil.Udp.receive control buffer 0 64 in
    let word = Bytes.sub_string buffer 0 n in
    let answer = ref word in
    (if String.starts_with ~prefix:"free" word then (
       kept := [];
       Gc.full_major ())
     else if String.starts_with ~prefix:"accept" word then
       (* The connection may have been reset meanwhile, or there may be none. *)
       try
         let connection = Soil.Tcp.accept ~timeout:0.5 listener in
         Fun.protect
           (fun () -> Soil.File_descriptor.write_string connection "served\n")
           ~finally:(fun () -> Soil.File_descriptor.close connection)
       with Soil.Error _ -> ()
     else if String.starts_with ~prefix:"bind" word then
       match Soil.Udp.bind ~port:0 () with
       | socket -> Soil.File_descriptor.close socket
       | exception Soil.Error { code = Soil.Error.Out_of_memory; _ } -> answer := "refused");
    (* Without a reader the memory would be garbage before. *)
    ignore (Sys.opaque_identity !kept);
    Soil.Udp.send_string control peer !answer
  done
