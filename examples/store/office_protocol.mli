(** The messages and methods of store.proto, for the store and for its client. *)

type product = { id : int; name : string; price : int; stock : int }
(** [AddProductRequest], without [id], and [Product]. *)

type stock = { id : int; stock : int }
(** [SetStockRequest]. *)

type order = { id : int; account : string; total : int; confirmed : bool }
(** [Order]. *)

val add_product : (product, product, Soil_grpc.Method.unary) Soil_grpc.Method.t
val set_stock : (stock, product, Soil_grpc.Method.unary) Soil_grpc.Method.t

val list_orders : (int, order, Soil_grpc.Method.server_stream) Soil_grpc.Method.t
(** The request is [after]. *)
