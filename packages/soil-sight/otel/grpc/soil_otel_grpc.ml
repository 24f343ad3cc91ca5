module Otel = Soil_otel
module Grpc = Soil_grpc
module Status = Grpc.Status

(* https://opentelemetry.io/docs/specs/semconv/rpc/grpc/ *)

let attributes service name : Otel.attributes =
  [ ("rpc.system", `String "grpc"); ("rpc.service", `String service); ("rpc.method", `String name) ]

let set_outcome span (status : Status.t) ~is_error =
  Otel.set_attribute span "rpc.grpc.status_code" (`Int (Status.number status.code));
  if is_error status.code then (
    Otel.set_attribute span "error.type" (`String (Status.name status.code));
    Otel.set_status span (Error status.message))

(* The caller's mistakes aren't the server's errors. *)
let is_server_error : Status.code -> bool = function
  | Unknown | Deadline_exceeded | Unimplemented | Internal | Unavailable | Data_loss -> true
  | _ -> false

let observe ?(next = fun _ _ _ -> ()) call (status : Status.t) seconds =
  let span = Otel.current () in
  if Otel.is_recording span then (
    (match String.split_on_char '/' (Grpc.Server.path call) with
    | [ ""; service; name ] ->
        (* Of an unknown method, the client could have invented the name. *)
        if status.code <> Unimplemented then Otel.set_name span (service ^ "/" ^ name);
        Otel.set_attributes span (attributes service name)
    | _ -> ());
    set_outcome span status ~is_error:is_server_error);
  next call status seconds

module Client = struct
  module Client = Grpc.Client
  module Method = Grpc.Method

  (* The caller's own, as of a call that is passed on, doesn't belong to this parent. *)
  let with_fields span metadata =
    match Otel.fields span with
    | [] -> metadata
    | fields ->
        let is_other (name, _) = not (List.mem name [ "traceparent"; "tracestate" ]) in
        List.filter is_other metadata @ fields

  let traced (m : (_, _, _) Method.t) metadata call =
    let attributes = attributes m.service m.name in
    Otel.with_span ~kind:Client ~attributes (m.service ^ "/" ^ m.name) @@ fun span ->
    match call (with_fields span metadata) with
    | v ->
        set_outcome span Status.ok ~is_error:(fun _ -> false);
        v
    | exception (Status.Failed status as e) ->
        let backtrace = Soil_backtrace.get () in
        set_outcome span status ~is_error:(fun _ -> true);
        (* It ends without the exception's event. *)
        Otel.finish span;
        Soil_backtrace.reraise e backtrace

  let unary ?(metadata = []) ?timeout ?compress ?on_head ?on_trailers t m request =
    traced m metadata (fun metadata ->
        Client.unary ~metadata ?timeout ?compress ?on_head ?on_trailers t m request)

  let server_stream ?(metadata = []) ?timeout ?compress ?on_head ?on_trailers t m request f =
    traced m metadata (fun metadata ->
        Client.server_stream ~metadata ?timeout ?compress ?on_head ?on_trailers t m request f)

  let client_stream ?(metadata = []) ?timeout ?compress ?on_head ?on_trailers t m f =
    traced m metadata (fun metadata ->
        Client.client_stream ~metadata ?timeout ?compress ?on_head ?on_trailers t m f)

  let two_way ?(metadata = []) ?timeout ?compress ?on_head ?on_trailers t m f =
    traced m metadata (fun metadata ->
        Client.two_way ~metadata ?timeout ?compress ?on_head ?on_trailers t m f)
end
