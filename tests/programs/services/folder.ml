(* ocsigenserver with a folder: PORT FOLDER STATE. *)

let () =
  Ocsigen_server.start
    ~ports:[ (`All, int_of_string Sys.argv.(1)) ]
    ~datadir:Sys.argv.(3) ~logdir:Sys.argv.(3)
    ~command_pipe:(Filename.concat Sys.argv.(3) "commands")
    [ Ocsigen_server.host ~regexp:".*" [ Staticmod.run ~dir:Sys.argv.(2) () ] ]
