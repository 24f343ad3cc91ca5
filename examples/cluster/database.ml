(* PG'OCaml over Soil's flows: while a call waits for the server, other tasks run. *)
module Direct = struct
  type 'a t = 'a

  let return value = value
  let ( >>= ) value next = next value
  let fail = raise
  let catch call handle = try call () with e -> handle e

  type in_channel = { connection : Soil.Tcp.connection; reader : Soil.Reader.t }
  type out_channel = Soil.Writer.t

  let open_connection = function
    | Unix.ADDR_INET (address, port) ->
        let connection = Soil.Tcp.connect_host (Unix.string_of_inet_addr address) ~port in
        ({ connection; reader = Soil.Reader.create connection }, Soil.Writer.create connection)
    | Unix.ADDR_UNIX path -> failwith (path ^ ": a machine has no sockets of its host")

  let output_char = Soil.Writer.char
  let output_binary_int out number = Soil.Writer.BE.uint32 out (number land 0xffff_ffff)
  let output_string out text = Soil.Writer.string out text
  let flush = Soil.Writer.flush
  let input_char input = Soil.Reader.char input.reader

  (* As Stdlib's: 32 bits with a sign. *)
  let input_binary_int input =
    let number = Soil.Reader.BE.uint32 input.reader in
    if number land 0x8000_0000 = 0 then number else number - 0x1_0000_0000

  let really_input input bytes offset length =
    Bytes.blit_string (Soil.Reader.take input.reader length) 0 bytes offset length

  let close_in input = Soil.File_descriptor.close input.connection
end

include PGOCaml_generic.Make (Direct)
