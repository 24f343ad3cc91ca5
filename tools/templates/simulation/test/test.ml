(* The protocol without a network, on a volume in memory. *)

let check name found wanted = if found <> wanted then failwith (name ^ ": " ^ found)

let () =
  Soil.run @@ fun () ->
  Soil.Fs.mount "memory:1M" "/data";
  let register = Register.load "/data" in
  check "there is no value" (Register.execute register "read") "none";
  check "one is written" (Register.execute register "write one") "ok";
  check "the next one replaces it" (Register.execute register "write two") "ok";
  check "it is read" (Register.execute register "read") "value two";
  let again = Register.load "/data" in
  check "the next start finds it" (Register.execute again "read") "value two";
  check "other words are refused" (Register.execute register "what") "error not a command"
