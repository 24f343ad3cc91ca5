(* The service of gRPC's interoperability tests; protos/testing.proto has its messages. *)

module Wire = Soil_grpc.Wire
module Method = Soil_grpc.Method
module Codec = Soil_grpc.Codec

(* A body of zeros of a length stands for each payload. *)
type status = { code : int; message : string }

type simple = {
  response_size : int;
  payload : string;
  response_compressed : bool;
  status : status option;
  expect_compressed : bool;
}

let simple =
  { response_size = 0; payload = ""; response_compressed = false; status = None; expect_compressed = false }
[@@ocamlformat "disable"]

type input = { body : string; is_compressed : bool }
type parameters = { size : int; interval : float; compressed : bool }
type output = { parameters : parameters list; text : string; failure : status option }

let output = { parameters = []; text = ""; failure = None }
let zeros n = String.make n '\000'

(* Fields *)

exception Malformed of string

let fields init f s =
  match Wire.decode init f s with Ok v -> v | Error reason -> raise (Malformed reason)

let codec encode decode : _ Codec.t =
  { encode; decode = (fun s -> try Ok (decode s) with Malformed reason -> Error reason) }

let bool_value v = Wire.encode (fun b -> Wire.bool b 1 v)

let to_bool =
  fields false (fun v n value -> match (n, value) with 1, Wire.Varint i -> i <> 0L | _ -> v)

let payload body = Wire.encode (fun b -> Wire.string b 2 body)
let to_payload = fields "" (fun s n value -> match (n, value) with 2, Wire.Bytes s -> s | _ -> s)

let encode_status s =
  Wire.encode (fun b ->
      Wire.int b 1 s.code;
      Wire.string b 2 s.message)

let to_status =
  fields { code = 0; message = "" } (fun s n value ->
      match (n, value) with
      | 1, Wire.Varint i -> { s with code = Int64.to_int i }
      | 2, Wire.Bytes message -> { s with message }
      | _ -> s)

let add b n encode v = Wire.message b n (encode v)
let add_some b n encode v = Option.iter (add b n encode) v

(* Messages *)

let simple_request =
  codec
    (fun r ->
      Wire.encode (fun b ->
          Wire.int b 2 r.response_size;
          add b 3 payload r.payload;
          add b 6 bool_value r.response_compressed;
          add_some b 7 encode_status r.status;
          add b 8 bool_value r.expect_compressed))
    (fields simple (fun r n value ->
         match (n, value) with
         | 2, Wire.Varint i -> { r with response_size = Int64.to_int i }
         | 3, Wire.Bytes s -> { r with payload = to_payload s }
         | 6, Wire.Bytes s -> { r with response_compressed = to_bool s }
         | 7, Wire.Bytes s -> { r with status = Some (to_status s) }
         | 8, Wire.Bytes s -> { r with expect_compressed = to_bool s }
         | _ -> r))

(* Of unary calls and of streams. *)
let response =
  codec
    (fun body -> Wire.encode (fun b -> add b 1 payload body))
    (fields "" (fun s n value -> match (n, value) with 1, Wire.Bytes p -> to_payload p | _ -> s))

let input_request =
  codec
    (fun r ->
      Wire.encode (fun b ->
          add b 1 payload r.body;
          add b 2 bool_value r.is_compressed))
    (fields { body = ""; is_compressed = false } (fun r n value ->
         match (n, value) with
         | 1, Wire.Bytes s -> { r with body = to_payload s }
         | 2, Wire.Bytes s -> { r with is_compressed = to_bool s }
         | _ -> r))

let size =
  codec
    (fun n -> Wire.encode (fun b -> Wire.int b 1 n))
    (fields 0 (fun size n value ->
         match (n, value) with 1, Wire.Varint i -> Int64.to_int i | _ -> size))

let encode_parameters p =
  Wire.encode (fun b ->
      Wire.int b 1 p.size;
      Wire.int b 2 (int_of_float (p.interval *. 1e6));
      add b 3 bool_value p.compressed)

let to_parameters =
  fields { size = 0; interval = 0.; compressed = false } (fun p n value ->
      match (n, value) with
      | 1, Wire.Varint i -> { p with size = Int64.to_int i }
      | 2, Wire.Varint i -> { p with interval = Int64.to_float i /. 1e6 }
      | 3, Wire.Bytes s -> { p with compressed = to_bool s }
      | _ -> p)

let output_request =
  codec
    (fun r ->
      Wire.encode (fun b ->
          List.iter (add b 2 encode_parameters) r.parameters;
          add b 3 payload r.text;
          add_some b 7 encode_status r.failure))
    (fun s ->
      let r =
        fields output
          (fun r n value ->
            match (n, value) with
            | 2, Wire.Bytes s -> { r with parameters = to_parameters s :: r.parameters }
            | 3, Wire.Bytes s -> { r with text = to_payload s }
            | 7, Wire.Bytes s -> { r with failure = Some (to_status s) }
            | _ -> r)
          s
      in
      { r with parameters = List.rev r.parameters })

(* Methods *)

let service = "grpc.testing.TestService"
let empty_call = Method.unary ~service "EmptyCall" Codec.empty Codec.empty
let unary_call = Method.unary ~service "UnaryCall" simple_request response
let streaming_output = Method.server_stream ~service "StreamingOutputCall" output_request response
let streaming_input = Method.client_stream ~service "StreamingInputCall" input_request size
let full_duplex = Method.two_way ~service "FullDuplexCall" output_request response
let unimplemented = Method.unary ~service "UnimplementedCall" Codec.empty Codec.empty

let unimplemented_service =
  Method.unary ~service:"grpc.testing.UnimplementedService" "UnimplementedCall" Codec.empty
    Codec.empty

let gzip =
  Soil_grpc.Encoding.v "gzip" ~compress:Soil_http_gzip.compress
    ~decompress:Soil_http_gzip.decompress
