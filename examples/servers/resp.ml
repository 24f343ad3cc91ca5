(* Requests and answers of RESP2, the protocol of Redis:
   https://redis.io/docs/latest/develop/reference/protocol-spec/ *)
module R = Soil.Reader
module W = Soil.Writer

exception Malformed of string

(* What a stranger can make a server hold for a request. *)
let most_words = 1 lsl 14
let most_bytes = 1 lsl 20
let word_bytes = 64 (* what a word takes beside its text *)

let length r what ~least ~most =
  match R.Text.int r with
  | Some n when n >= least && n <= most && R.Text.string r "\r\n" -> n
  | _ -> raise (Malformed ("invalid " ^ what ^ " length"))

let rec words r n room =
  if n <= 0 then []
  else if R.char r <> '$' then raise (Malformed "expected '$'")
  else
    let length = length r "bulk" ~least:0 ~most:room in
    Soil.Budget.hold (length + word_bytes);
    let word = R.take r length in
    if not (R.Text.string r "\r\n") then raise (Malformed "expected the end of a bulk string");
    word :: words r (n - 1) (room - length)

let inline r =
  match R.line r with
  | line -> List.filter (( <> ) "") (String.split_on_char ' ' line)
  | exception Soil.Error { code = Too_large; _ } -> raise (Malformed "too big inline request")

(* The words of the next request. *)
let request r =
  if not (R.Text.string r "*") then inline r
  else words r (length r "multibulk" ~least:(-1) ~most:most_words) most_bytes

(* Answers *)

let header w kind n =
  W.char w kind;
  W.Text.int w n;
  W.string w "\r\n"

let integer w n = header w ':' n

let bulk w s =
  header w '$' (String.length s);
  W.string w s;
  W.string w "\r\n"

let null w = W.string w "$-1\r\n"

let array w answer l =
  header w '*' (List.length l);
  List.iter (answer w) l

let simple w kind text =
  W.char w kind;
  W.string w (String.map (fun c -> if c < ' ' then ' ' else c) text);
  W.string w "\r\n"

let ok w = W.string w "+OK\r\n"
let error w reason = simple w '-' reason

(* Answers the requests of a connection until its end; [answer] raises [Exit] to end it. *)
let serve answer connection =
  Soil.Tcp.set_nodelay connection true;
  let r = R.create ~size:16384 connection and w = W.create ~size:16384 connection in
  W.tie w r;
  (try
     while not (R.at_end r) do
       (match Soil.Budget.receive (fun () -> request r) with
       | [] -> ()
       | name :: words -> answer w name words);
       Soil.Budget.give_back max_int
     done
   with
  | End_of_file | Exit -> ()
  | Malformed reason -> error w ("ERR Protocol error: " ^ reason));
  W.flush w
