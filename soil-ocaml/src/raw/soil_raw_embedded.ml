(* Generated from soil-sys/src/abi.rs by soil-bindgen: do not edit. *)

external embed_file :
  string ->
  string ->
  (int[@untagged])
  = "soil_embed_file_bytecode" "soil_embed_file"
[@@noalloc]
(** Adds a file to the tree that [soil_embed_mount] mounts: [path] in the tree, and its contents. A
    string that is static data of the program is used where it lies, for good; another one is
    copied. *)

external embed_mount :
  string ->
  (int[@untagged])
  = "soil_embed_mount_bytecode" "soil_embed_mount"
[@@noalloc]
(** Mounts the files that were added since the last call at [point], unless [SOIL_MOUNT] names
    something else for that. Errors: [Exists], [Invalid_name], [Out_of_memory]. *)
