(* The protocol without a network, on a volume in memory. *)
module D = Soil.File_descriptor

let ask store lines =
  let client, server = Soil.Flow.pair () in
  let ask () =
    D.write_string client (String.concat "" (List.map (fun line -> line ^ "\n") lines));
    D.shutdown client `Send;
    D.read_all client
  in
  let serve () =
    Protocol.serve store server;
    D.shutdown server `Send
  in
  let (), answers = Soil.Task.both serve ask in
  List.filter (fun line -> line <> "") (String.split_on_char '\n' answers)

let check name found wanted =
  if found <> wanted then failwith (name ^ ": " ^ String.concat "; " found)

let () =
  Soil.run @@ fun () ->
  Soil.Fs.mount "memory:1M" "/data";
  let store = Result.get_ok (Soil.Kv.connect "/data") in
  check "a value is kept" (ask store [ "set /a one two"; "get /a" ]) [ "ok "; "ok one two" ];
  check "it is there for the next client" (ask store [ "get /a" ]) [ "ok one two" ];
  let gone = ask store [ "del /a"; "get /a" ] in
  check "what was removed is gone" (List.map (fun a -> String.sub a 0 2) gone) [ "ok"; "er" ];
  check "other words are refused" (ask store [ "what" ]) [ "error not a command" ];
  check "so are other keys" (ask store [ "get /../a" ]) [ "error not a key" ]
