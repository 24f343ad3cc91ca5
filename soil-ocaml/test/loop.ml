(* TCP over the loopback, for the tests of the network. *)
open Check
module D = Soil.File_descriptor
module N = Soil.Net

let listen ?backlog () = Soil.Tcp.listen ?backlog ~address:N.loopback ~port:0 ()

(* The two ends of a connection, and all closed afterwards. *)
let with_pair f =
  D.with_close (listen ()) @@ fun l ->
  let server, client =
    T.both (fun () -> Soil.Tcp.accept l) (fun () -> Soil.Tcp.connect (Soil.Tcp.local l))
  in
  D.with_close server @@ fun server ->
  D.with_close client @@ fun client -> f server client

let ask e =
  Soil.Tcp.with_connection e (fun c ->
      D.shutdown c `Send;
      D.read_all c)

(* [f ()] while nothing that connection [d] sends leaves the machine. *)
let unheard d f =
  let port = string_of_int (Soil.Tcp.local d).port in
  N.filter [ "deny out tcp port " ^ port ];
  Fun.protect ~finally:(fun () -> N.filter []) f

let byte d = ignore (D.read d (Bytes.create 1) 0 1)
