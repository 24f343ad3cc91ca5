(** Responses of {!Server}. Private to [soil-http]. *)

module H = Cohttp.Header

type ending = Sent | Cut | Unneeded | Not_begun  (** Documented in {!Server.type-ending}. *)

type stream = {
  length : int option;  (** If known. *)
  write : Soil.Flow.sink -> unit;
  trailers : (unit -> H.t) option;  (** The fields after the body, asked for when it has ended. *)
  on_end : ending -> unit;  (** Called once. *)
}

exception Cut
(** Raised by a stream that ends its connection, for a reason that was reported already. *)

(** The type for bodies. *)
type body =
  | Empty
  | Text of string
  | Buffer of Soil.File_descriptor.buffer
  | Stream of stream
  | Direct of {
      length : int;
      send : Output.t -> head:string -> unit;
      write : Soil.Flow.sink -> unit;  (** The body alone, for {!Server.Response.map_body}. *)
    }  (** Sends head and body itself, so that only programs with files link this code. *)
  | Upgrade of (at_stop:((unit -> unit) -> unit) -> Soil.Flow.t -> unit)
      (** [at_stop f] calls [f ()] when the server stops, or at once if it is stopping. *)

type t = { status : Cohttp.Code.status_code; headers : H.t; body : body }

(** [length r] is the length of its body, if known. *)
let length r =
  match r.body with
  | Empty | Upgrade _ -> Some 0
  | Text s -> Some (String.length s)
  | Buffer b -> Some (Bigarray.Array1.dim b)
  | Stream { length; _ } -> length
  | Direct { length; _ } -> Some length

(* What the connection decides, and not the program. *)
let is_own name =
  List.exists (Grammar.equal name)
    (match String.length name with
    | 10 -> [ "connection"; "keep-alive" ]
    | 14 -> [ "content-length" ]
    | 17 -> [ "transfer-encoding" ]
    | _ -> [])

(** [trailer_fields headers] is the fields of [headers] that may follow a body (RFC 9110 §6.5.1). *)
let trailer_fields headers = List.filter (fun (name, _) -> not (is_own name)) (H.to_list headers)

let write_framing b code framing =
  if not (code < 200 || code = 204 || code = 304) then
    match framing with
    | Head.Length n ->
        Buffer.add_string b "content-length: ";
        Head.write_number b n;
        Buffer.add_string b "\r\n"
    | Chunked -> Head.write_own b "transfer-encoding" "chunked"
    | To_end -> ()

let write_connection b r ~version ~keep =
  match (r.body, version) with
  | Upgrade _, _ -> Head.write_own b "connection" "upgrade"
  | _, `HTTP_1_0 when keep -> Head.write_own b "connection" "keep-alive"
  | _ -> if not keep then Head.write_own b "connection" "close"

(** [head b r ~version ~framing ~keep] writes the head of [r] for a request of this version to [b].
*)
let head b r ~version ~framing ~keep =
  let write (name, value) = if not (is_own name) then Head.write_field b (name, value) in
  let code = Cohttp.Code.code_of_status r.status in
  Buffer.clear b;
  Buffer.add_string b "HTTP/1.1 ";
  Head.write_number b code;
  Buffer.add_char b ' ';
  Buffer.add_string b (Status.phrase code);
  Buffer.add_string b "\r\n";
  if not (H.mem r.headers "date") then Head.write_own b "date" (Date.now ());
  List.iter write (H.to_list r.headers);
  write_framing b code framing;
  write_connection b r ~version ~keep;
  Head.finish b
