(* Passes connections on, with limits: of clients, of the time to connect, of silence, of bytes. *)
module D = Soil.File_descriptor
module T = Soil.Task

exception Too_much

(* [d], of which at most [most] bytes are read, each within [silence] seconds. *)
let limited ~most ~silence d =
  let left = ref most in
  Soil.Flow.source (fun b off len ->
      let n = T.timeout silence (fun () -> D.read d b off len) in
      left := !left - n;
      if !left < 0 then raise Too_much;
      n)

let pass src dst =
  ignore (D.copy ~src:(limited ~most:(1 lsl 30) ~silence:60. src) ~dst ());
  D.shutdown dst `Send

let client connection =
  T.scope @@ fun scope ->
  let server = D.own scope (Soil.Tcp.connect_host ~timeout:5. Sys.argv.(2) ~port:80) in
  ignore (T.both (fun () -> pass connection server) (fun () -> pass server connection))

let () =
  Soil.run @@ fun () ->
  let listener = Soil.Tcp.listen ~port:(int_of_string Sys.argv.(1)) () in
  Soil.Tcp.serve ~max_connections:1000 listener client
