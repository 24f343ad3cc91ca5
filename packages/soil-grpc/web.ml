module Reader = Soil.Reader

let encode s = Base64.encode_string s
let malformed () = Status.fail Internal "the body isn't base64"

(* As many groups of four characters as are buffered, which decode to at most [max] bytes. *)
let groups input max =
  Reader.ensure input 4;
  let n = min (Reader.buffered input) (max / 3 * 4) in
  Reader.take input (n / 4 * 4)

(* Padding ends a part; the next one may follow at once. *)
let decode text =
  let b = Buffer.create (String.length text) in
  let rec go i =
    if i < String.length text then
      let stop =
        match String.index_from_opt text i '=' with
        | Some at -> (at / 4 * 4) + 4
        | None -> String.length text
      in
      match Base64.decode (String.sub text i (stop - i)) with
      | Ok s ->
          Buffer.add_string b s;
          go stop
      | Error _ -> malformed ()
  in
  go 0;
  Buffer.contents b

(* Characters and what they are decoded to. *)
let source_bytes = 12288

let source body =
  let input = Reader.create body in
  (* Decoded bytes for the next reads. *)
  let rest = ref "" and off = ref 0 in
  let rec read b at len =
    let left = String.length !rest - !off in
    if left > 0 then (
      let n = min left len in
      Bytes.blit_string !rest !off b at n;
      off := !off + n;
      n)
    else if Reader.at_end input then 0
    else
      match groups input 3072 with
      | text ->
          rest := decode text;
          off := 0;
          read b at len
      | exception End_of_file -> malformed ()
  in
  Soil.Flow.source ~name:"grpc-web-text" read
