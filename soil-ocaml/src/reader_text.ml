open Input

(* Nothing comes after what is buffered. *)
let nothing =
  let io = Descriptor.no_io (fun _ -> "string") in
  Descriptor.make { io with read = (fun _ _ _ _ -> 0); close = None } (-1)

let of_string s =
  let buffer = Bytes.of_string s in
  { descriptor = nothing; size = 16; buffer; first = 0; last = String.length s }

let string r s =
  let n = String.length s in
  let rec is_next i =
    i = n
    || (i < buffered r || more r)
       && Bytes.get r.buffer (r.first + i) = String.get s i
       && is_next (i + 1)
  in
  is_next 0
  &&
  (ignore (advance r n);
   true)

(* The number of bytes that are [f], of which the first [seen] are. *)
let rec count check r f seen =
  if seen = buffered r && not (more r) then seen
  else if seen < buffered r && f (Bytes.get r.buffer (r.first + seen)) then (
    check (seen + 1);
    count check r f (seen + 1))
  else seen

let take_while ?(max = 65536) r f =
  taken r (count (fun n -> if n > max then too_large "read" r max) r f 0)

let peek_string r n =
  if n < 0 then invalid_arg "Soil.Reader.Text.peek_string: negative length";
  ensure r n;
  Bytes.sub_string r.buffer r.first n

let skip r n =
  if n < 0 then invalid_arg "Soil.Reader.Text.skip: negative length";
  ignore (next r n)

let rec skip_while r f =
  match peek r with
  | Some c when f c ->
      ignore (advance r 1);
      skip_while r f
  | Some _ | None -> ()

let rec lines ?max r () =
  match line_opt ?max r with None -> Seq.Nil | Some line -> Cons (line, lines ?max r)

let rec seq r f () =
  if at_end r then Seq.Nil
  else
    let v = f r in
    Cons (v, seq r f)
