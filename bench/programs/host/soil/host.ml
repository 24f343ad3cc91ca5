module D = Soil.File_descriptor

type connection = Soil.Vsock.connection
type listener = Soil.Vsock.listener

let listen port = Soil.Vsock.listen ~port ()

let rec serve listener f =
  let connection = Soil.Vsock.accept listener in
  (try f connection with Soil.Error _ -> ());
  D.close connection;
  serve listener f

let read connection data = D.read_into connection data 0 (Bigarray.Array1.dim data)
let write connection data = D.write_from connection data 0 (Bigarray.Array1.dim data)

(* The image contains the agent. *)
let with_agent f = f ()
