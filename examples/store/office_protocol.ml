module Wire = Soil_grpc.Wire
module Method = Soil_grpc.Method

type product = { id : int; name : string; price : int; stock : int }
type stock = { id : int; stock : int }
type order = { id : int; account : string; total : int; confirmed : bool }

let codec ~encode ~default ~field : _ Soil_grpc.Codec.t =
  { encode = (fun value -> Wire.encode (encode value)); decode = Wire.decode default field }

(* A number beyond OCaml's 63 bits becomes the nearest one, which no bound admits, rather than the
   small one of its lower bits. *)
let int n = Int64.(to_int (min (max n (of_int Int.min_int)) (of_int Int.max_int)))
let no_product = { id = 0; name = ""; price = 0; stock = 0 }

let new_product =
  codec ~default:no_product
    ~encode:(fun { name; price; stock; _ } b ->
      Wire.string b 1 name;
      Wire.int b 2 price;
      Wire.int b 3 stock)
    ~field:(fun product number value ->
      match (number, value) with
      | 1, Bytes name -> { product with name }
      | 2, Varint n -> { product with price = int n }
      | 3, Varint n -> { product with stock = int n }
      | _ -> product)

let product =
  codec ~default:no_product
    ~encode:(fun { id; name; price; stock } b ->
      Wire.int b 1 id;
      Wire.string b 2 name;
      Wire.int b 3 price;
      Wire.int b 4 stock)
    ~field:(fun product number value ->
      match (number, value) with
      | 1, Varint n -> { product with id = int n }
      | 2, Bytes name -> { product with name }
      | 3, Varint n -> { product with price = int n }
      | 4, Varint n -> { product with stock = int n }
      | _ -> product)

let stock =
  codec ~default:{ id = 0; stock = 0 }
    ~encode:(fun { id; stock } b ->
      Wire.int b 1 id;
      Wire.int b 2 stock)
    ~field:(fun request number value ->
      match (number, value) with
      | 1, Varint n -> { request with id = int n }
      | 2, Varint n -> { request with stock = int n }
      | _ -> request)

let after =
  codec ~default:0
    ~encode:(fun after b -> Wire.int b 1 after)
    ~field:(fun after number value ->
      match (number, value) with 1, Varint n -> int n | _ -> after)

let order =
  codec
    ~default:{ id = 0; account = ""; total = 0; confirmed = false }
    ~encode:(fun { id; account; total; confirmed } b ->
      Wire.int b 1 id;
      Wire.string b 2 account;
      Wire.int b 3 total;
      Wire.bool b 4 confirmed)
    ~field:(fun order number value ->
      match (number, value) with
      | 1, Varint n -> { order with id = int n }
      | 2, Bytes account -> { order with account }
      | 3, Varint n -> { order with total = int n }
      | 4, Varint n -> { order with confirmed = n <> 0L }
      | _ -> order)

let service = "store.v1.BackOffice"
let add_product = Method.unary ~service "AddProduct" new_product product
let set_stock = Method.unary ~service "SetStock" stock product
let list_orders = Method.server_stream ~service "ListOrders" after order
