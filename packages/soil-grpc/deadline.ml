(* The deadline of the call for which a task works, of {!Soil.Clock.monotonic}: a handler passes it on
   to the servers that it calls. Private to [soil-grpc]. *)

let key : float Soil.Task.Local.t = Soil.Task.Local.create ()
