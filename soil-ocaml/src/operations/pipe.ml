(** Pipes: [Soil.pipe]. Private to Soil. *)

let io = Descriptor.stream_io (fun _ -> "pipe")
let largest = 16 * 1024 * 1024

let create ?(capacity = 65536) () =
  if capacity < 1 || capacity > largest then invalid_arg "Soil.pipe: capacity out of range";
  let ends = Scheduler.create_ints Soil_raw.pipe_ends_length in
  ignore (Failure.check ~operation:"pipe" ~subject:"" (Soil_raw.pipe capacity ends));
  ( Typed.typed (Descriptor.make io (Soil_raw.pipe_ends ends Reader)),
    Typed.typed (Descriptor.make io (Soil_raw.pipe_ends ends Writer)) )
