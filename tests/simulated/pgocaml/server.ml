(* Enough of PostgreSQL's protocol (3.0) to prepare statements and execute them: each returns one row
   with its first parameter. *)

open Lwt.Syntax

let message tag body =
  let length = Bytes.create 4 in
  Bytes.set_int32_be length 0 (Int32.of_int (4 + String.length body));
  String.concat "" [ String.make 1 tag; Bytes.to_string length; body ]

let int16 n = String.init 2 (fun i -> Char.chr ((n lsr (8 * (1 - i))) land 255))
let int32 n = String.init 4 (fun i -> Char.chr ((n lsr (8 * (3 - i))) land 255))
let ready = message 'Z' "I"

(* The first parameter of a Bind: two names, no formats, a count, and a length before the text. *)
let parameter bind =
  let after_names = String.index_from bind (String.index bind '\000' + 1) '\000' + 1 in
  let formats = String.get_uint16_be bind after_names in
  let at = after_names + 2 + (2 * formats) + 2 in
  let length = Int32.to_int (String.get_int32_be bind at) in
  String.sub bind (at + 4) length

let row value = int16 1 ^ int32 (String.length value) ^ value

let serve _ (input, output) =
  let value = ref "" in
  let read n =
    let bytes = Bytes.create n in
    let* () = Lwt_io.read_into_exactly input bytes 0 n in
    Lwt.return (Bytes.to_string bytes)
  in
  let body () =
    let* length = read 4 in
    read (Int32.to_int (String.get_int32_be length 0) - 4)
  in
  let send texts =
    let* () = Lwt_io.write output (String.concat "" texts) in
    Lwt_io.flush output
  in
  let rec loop () =
    let* tag = Lwt_io.read_char input in
    let* body = body () in
    let* () =
      match tag with
      | 'P' -> send [ message '1' "" ]
      | 'B' ->
          value := parameter body;
          send [ message '2' "" ]
      | 'E' -> send [ message 'D' (row !value); message 'C' "SELECT 1\000" ]
      | 'S' -> send [ ready ]
      | _ -> Lwt.return_unit
    in
    if tag = 'X' then Lwt.return_unit else loop ()
  in
  let session () =
    let* _ = body () in
    let* () = send [ message 'R' (int32 0); ready ] in
    loop ()
  in
  Lwt.catch session (fun _ -> Lwt.return_unit)

let () =
  Sys.set_signal Sys.sigpipe Signal_ignore;
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  Lwt_main.run
    (let address = Unix.ADDR_INET (Unix.inet_addr_any, 5432) in
     let* _ = Lwt_io.establish_server_with_client_address address serve in
     fst (Lwt.wait ()))
