module IO = struct
  type 'a t = 'a
  type ic = Soil.Reader.t
  type oc = Soil.Writer.t
  type conn = unit

  let ( >>= ) v f = f v
  let return v = v
  let read_line r = Soil.Reader.line_opt r

  let read r len =
    let b = Bytes.create (min len 65_536) in
    let n = Soil.Reader.input r b 0 (Bytes.length b) in
    Bytes.sub_string b 0 n

  let write w s = Soil.Writer.string w s
  let flush w = Soil.Writer.flush w

  (* Cohttp 6 parses what is buffered, and asks for more of a head that isn't whole. *)

  let most_head = 65_536

  let[@warning "-32"] refill r =
    let n = Soil.Reader.buffered r in
    if n > most_head then ignore (Soil.Reader.Text.take_while ~max:most_head r (fun _ -> true));
    match Soil.Reader.ensure r (n + 1) with () -> `Ok | exception End_of_file -> `Eof

  let[@warning "-32"] with_input_buffer r ~f =
    let len = Soil.Reader.buffered r in
    let result, used = f (Soil.Reader.Text.peek_string r len) ~pos:0 ~len in
    Soil.Reader.Text.skip r used;
    result
end

(* Cohttp 6 has them for libraries over its IO alone, as this one is. *)
module Request = Cohttp.Request.Make (IO)
module Response = Cohttp.Response.Make (IO)

let rec chunks next () =
  match next () with
  | Cohttp.Transfer.Chunk s -> Seq.Cons (s, chunks next)
  | Final_chunk s -> Seq.Cons (s, Seq.empty)
  | Done -> Seq.Nil
