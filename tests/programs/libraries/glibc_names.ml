(* Names that only glibc has: contexts, protocols, system calls and checked functions. *)
external test : string -> unit = "test_glibc_names"

let () =
  let file = Filename.temp_file "glibc" ".txt" in
  Out_channel.with_open_bin file (fun channel -> output_string channel "0123456789");
  test file
