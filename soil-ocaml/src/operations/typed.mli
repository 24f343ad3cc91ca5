(** Conversion between typed and untyped descriptors. Private to Soil. *)

external any : _ File_descriptor.t -> Descriptor.t = "%identity"
(** [any d] is [d]. *)

external typed : Descriptor.t -> _ File_descriptor.t = "%identity"
(** [typed d] is [d]. The caller's interface states its operations. *)
