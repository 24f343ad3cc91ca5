(* [File_descriptor.t] is [Descriptor.t], which its interface hides. *)

external any : _ File_descriptor.t -> Descriptor.t = "%identity"
external typed : Descriptor.t -> _ File_descriptor.t = "%identity"
