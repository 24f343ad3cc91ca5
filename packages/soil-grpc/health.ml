type status = Serving | Not_serving
type t = { services : (string, status) Hashtbl.t; changed : Soil.Task.Condition.t }

let create () =
  let t = { services = Hashtbl.create 8; changed = Soil.Task.Condition.create () } in
  Hashtbl.replace t.services "" Serving;
  t

let set t service status =
  Hashtbl.replace t.services service status;
  Soil.Task.Condition.broadcast t.changed

(* HealthCheckRequest, HealthCheckResponse and its ServingStatus. *)

let request : string Codec.t =
  {
    encode = (fun service -> Wire.encode (fun b -> Wire.string b 1 service));
    decode =
      Wire.decode "" (fun service number value ->
          match (number, value) with 1, Bytes s -> s | _ -> service);
  }

let service_unknown = 3
let number = function Serving -> 1 | Not_serving -> 2

let response : int Codec.t =
  {
    encode = (fun n -> Wire.encode (fun b -> Wire.int b 1 n));
    decode =
      Wire.decode 0 (fun n number value ->
          match (number, value) with 1, Varint n -> Int64.to_int n | _ -> n);
  }

let service = "grpc.health.v1.Health"
let check_method = Method.unary ~service "Check" request response
let watch_method = Method.server_stream ~service "Watch" request response

(* The server *)

let find t call service =
  match Hashtbl.find_opt t.services service with
  | Some _ when Soil_http.Server.is_draining (Server.request call) -> Some Not_serving
  | found -> found

let answer_check t call service =
  match find t call service with
  | Some status -> number status
  | None -> Status.fail Not_found "unknown service"

(* Nothing wakes a task when the server begins to drain. *)
let poll_seconds = 1.

let answer_watch t call service send =
  let rec go last =
    let n = Option.fold ~none:service_unknown ~some:number (find t call service) in
    if n <> last then send n;
    if Soil_http.Server.is_draining (Server.request call) then
      Status.fail Unavailable "the server stops";
    ignore
      (Soil.Task.timeout_opt poll_seconds (fun () -> Soil.Task.Condition.wait_no_mutex t.changed));
    go n
  in
  go (-1)

let rpcs t =
  [ Server.unary check_method (answer_check t); Server.server_stream watch_method (answer_watch t) ]

(* The client *)

let check ?timeout client service =
  match Client.unary ?timeout client check_method service with
  | 1 -> Some Serving
  | 3 -> None
  | _ -> Some Not_serving
  | exception Status.Failed { code = Not_found; _ } -> None
