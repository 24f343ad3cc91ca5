(* Serves the files of the disk `www` over HTTP/1.1, on port 80 or the port given as argument. *)

let () =
  let run = Site.run ~scheme:"http" ~default:80 in
  match Sys.argv with
  | [| _ |] -> run 80
  | [| _; port |] -> run (Site.port port)
  | _ ->
      prerr_endline "usage: website [PORT]";
      exit 2
