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
end

module Request = Cohttp.Request.Make (IO)
module Response = Cohttp.Response.Make (IO)

let rec chunks next () =
  match next () with
  | Cohttp.Transfer.Chunk s -> Seq.Cons (s, chunks next)
  | Final_chunk s -> Seq.Cons (s, Seq.empty)
  | Done -> Seq.Nil
