module R = Soil.Reader

(* Messages of a length and as many bytes. A peer that sends one slowly may be closed; one that sends
   nothing goes after all of those. *)
let rec messages reader handle =
  if not (R.at_end reader) then (
    let message =
      Soil.Budget.receive @@ fun () ->
      let length = R.BE.uint16 reader in
      Soil.Budget.hold length;
      R.take reader length
    in
    handle message;
    Soil.Budget.give_back (String.length message);
    messages reader handle)

let () =
  Soil.run @@ fun () ->
  Soil.Tcp.serve (Soil.Tcp.listen ~port:7007 ()) @@ fun connection ->
  messages (R.create connection) (fun message ->
      Soil.File_descriptor.write_string connection (message ^ "\n"))
