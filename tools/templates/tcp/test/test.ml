(* Client and server are two tasks of one program, so that the test needs no network. *)
module D = Soil.File_descriptor

let () =
  Soil.run @@ fun () ->
  let client, server = Soil.Flow.pair () in
  let ask () =
    D.write_string client "hello\n";
    D.shutdown client `Send;
    D.read_all client
  in
  let (), answer = Soil.Task.both (fun () -> Echo.serve server) ask in
  if not (String.equal answer "hello\n") then failwith ("the answer is " ^ String.escaped answer)
