module H = Cohttp.Header

type body =
  | Empty
  | Text of string
  | Buffer of Soil.File_descriptor.buffer
  | Stream of int option * (Soil.Flow.sink -> unit)
  | Direct of { length : int; send : Output.t -> head:string -> unit }
  | Upgrade of (at_stop:((unit -> unit) -> unit) -> Soil.Flow.t -> unit)

type t = { status : Cohttp.Code.status_code; headers : H.t; body : body }

let length r =
  match r.body with
  | Empty | Upgrade _ -> Some 0
  | Text s -> Some (String.length s)
  | Buffer b -> Some (Bigarray.Array1.dim b)
  | Stream (length, _) -> length
  | Direct { length; _ } -> Some length

(* What the connection decides, and not the program. *)
let is_own = function
  | "content-length" | "transfer-encoding" | "connection" | "keep-alive" -> true
  | _ -> false

let framing_fields code framing =
  if code < 200 || code = 204 || code = 304 then []
  else
    match framing with
    | Head.Length n -> [ ("content-length", string_of_int n) ]
    | Chunked -> [ ("transfer-encoding", "chunked") ]
    | To_end -> []

let connection_fields r ~version ~keep =
  match (r.body, version) with
  | Upgrade _, _ -> [ ("connection", "upgrade") ]
  | _, `HTTP_1_0 when keep -> [ ("connection", "keep-alive") ]
  | _ -> if keep then [] else [ ("connection", "close") ]

let head b r ~version ~framing ~keep =
  let own = List.filter (fun (name, _) -> not (is_own (String.lowercase_ascii name))) in
  let date = if H.mem r.headers "date" then [] else [ ("date", Date.now ()) ] in
  let code = Status.code r.status in
  Buffer.clear b;
  Buffer.add_string b "HTTP/1.1 ";
  Buffer.add_string b (Status.to_string r.status);
  Buffer.add_string b "\r\n";
  Head.write b
    (date
    @ own (H.to_list r.headers)
    @ framing_fields code framing
    @ connection_fields r ~version ~keep)
