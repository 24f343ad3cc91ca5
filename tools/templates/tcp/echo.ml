(* Sends back what the peer sends, until it sends no more. *)
let serve connection =
  ignore (Soil.File_descriptor.copy ~src:connection ~dst:connection ());
  Soil.File_descriptor.shutdown connection `Send
