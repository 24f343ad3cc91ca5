let mask = 0xffff_ffff
let rotate x n = (x lsl n) lor (x lsr (32 - n)) land mask

(* The message, a bit, zeros, and its length in bits: blocks of 64 bytes. *)
let padded s =
  let n = String.length s in
  let b = Bytes.make ((n + 8 + 64) / 64 * 64) '\000' in
  Bytes.blit_string s 0 b 0 n;
  Bytes.set b n '\x80';
  Bytes.set_int64_be b (Bytes.length b - 8) (Int64.of_int (8 * n));
  b

let digest s =
  let b = padded s and w = Array.make 80 0 in
  let h = [| 0x67452301; 0xefcdab89; 0x98badcfe; 0x10325476; 0xc3d2e1f0 |] in
  for block = 0 to (Bytes.length b / 64) - 1 do
    for t = 0 to 15 do
      w.(t) <- Int32.to_int (Bytes.get_int32_be b ((64 * block) + (4 * t))) land mask
    done;
    for t = 16 to 79 do
      w.(t) <- rotate (w.(t - 3) lxor w.(t - 8) lxor w.(t - 14) lxor w.(t - 16)) 1
    done;
    let rec round t a b c d e =
      if t = 80 then List.iteri (fun i x -> h.(i) <- (h.(i) + x) land mask) [ a; b; c; d; e ]
      else
        let f, k =
          if t < 20 then (b land c lor (lnot b land d), 0x5a827999)
          else if t < 40 then (b lxor c lxor d, 0x6ed9eba1)
          else if t < 60 then (b land c lor (b land d) lor (c land d), 0x8f1bbcdc)
          else (b lxor c lxor d, 0xca62c1d6)
        in
        let next = (rotate a 5 + (f land mask) + e + k + w.(t)) land mask in
        round (t + 1) next a (rotate b 30) c d
    in
    round 0 h.(0) h.(1) h.(2) h.(3) h.(4)
  done;
  let out = Bytes.create 20 in
  Array.iteri (fun i x -> Bytes.set_int32_be out (4 * i) (Int32.of_int x)) h;
  Bytes.unsafe_to_string out

let accept_key key = Base64.encode_string (digest (key ^ "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
