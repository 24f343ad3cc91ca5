open Input

(* Nothing comes after what is buffered. *)
let nothing =
  let io = Descriptor.no_io (fun _ -> "string") in
  Descriptor.make { io with read = (fun _ _ _ _ -> 0); close = None } (-1)

let of_string s =
  let buffer = Bytes.of_string s in
  {
    descriptor = nothing;
    size = 16;
    buffer;
    first = 0;
    last = String.length s;
    before_read = ignore;
  }

(* Whether the characters of [s] from [i] to [n] are those of [b] from [at] on, which has as many. *)
let rec is_at b at s i n =
  i = n || (Bytes.unsafe_get b at = String.unsafe_get s i && is_at b (at + 1) s (i + 1) n)

(* The same for bytes that may not have come. *)
let rec is_next r s i =
  i = String.length s
  || (i < buffered r || more r)
     && Bytes.get r.buffer (r.first + i) = String.get s i
     && is_next r s (i + 1)

let string r s =
  let n = String.length s in
  let found = if n <= r.last - r.first then is_at r.buffer r.first s 0 n else is_next r s 0 in
  if found then r.first <- r.first + n;
  found

(* Below zero, where [min_int] has room too. *)
let smallest = min_int / 10

(* More are no number of [int], or zeros without an end. *)
let digits_max = 19

(* The digits after the next [i] bytes, of which those from [start] on were digits of [-value]. *)
let rec digits r ~negative start i value =
  let at = r.first + i in
  let c =
    if at < r.last then Bytes.unsafe_get r.buffer at
    else if more r then Bytes.get r.buffer (r.first + i)
    else ' '
  in
  if c >= '0' && c <= '9' then
    let value' = (10 * value) - (Char.code c - Char.code '0') in
    if value < smallest || value' > 0 || i - start = digits_max then None
    else digits r ~negative start (i + 1) value'
  else if i = start || ((not negative) && value = min_int) then None
  else (
    r.first <- r.first + i;
    Some (if negative then value else -value))

let int r =
  let negative = (r.first < r.last || more r) && Bytes.get r.buffer r.first = '-' in
  let start = if negative then 1 else 0 in
  digits r ~negative start start 0

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
