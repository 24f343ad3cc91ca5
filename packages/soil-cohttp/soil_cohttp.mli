(** Cohttp's own requests and responses over Soil's readers and writers.

    For code on [cohttp]'s functors, such as a custom client or a library over [Cohttp.S.IO]. For
    servers and clients use [soil-http]: unlike Cohttp's parser it checks a peer's input by the
    grammar of RFC 9112, and has limits.

    {[
      let get w r uri =
        Soil_cohttp.Request.write ~flush:false (fun _ -> ()) (Cohttp.Request.make uri) w;
        Soil.Writer.flush w;
        match Soil_cohttp.Response.read r with
        | `Ok response ->
            let reader = Soil_cohttp.Response.make_body_reader response r in
            let next () = Soil_cohttp.Response.read_body_chunk reader in
            (response, String.concat "" (List.of_seq (Soil_cohttp.chunks next)))
        | `Eof | `Invalid _ -> failwith "no response"
    ]} *)

(** In direct style: functions wait like those of readers and writers, and a cancellation or an
    error is an exception. A line, or with Cohttp 6 a request head, of more than 65,536 bytes raises
    {!Soil.exception-Error} with [Too_large]. *)
module IO :
  Cohttp.S.IO
    with type 'a t = 'a
     and type ic = Soil.Reader.t
     and type oc = Soil.Writer.t
     and type conn = unit

(** Requests. [write ~flush] flushes the writer after each piece of a body: call
    {!Soil.Writer.flush} after the last one otherwise. [flush] is optional with Cohttp 5. *)
module Request : Cohttp.S.Http_io with type t = Cohttp.Request.t and module IO = IO

module Response : Cohttp.S.Http_io with type t = Cohttp.Response.t and module IO = IO

val chunks : (unit -> Cohttp.Transfer.chunk) -> string Seq.t
(** [chunks next] is the pieces of a body, read as the sequence is consumed, once:
    [chunks (fun () -> Soil_cohttp.Request.read_body_chunk reader)]. *)
