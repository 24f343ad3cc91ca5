(** Changes of the stock, pushed to browsers.

    Another machine may have made a change: each machine reads the products twice a second, while a
    browser listens, and publishes what has changed since, once for all its browsers. *)

type t

val create : Soil.Task.scope -> Database.t -> t
(** [create scope db] reads and publishes until [scope] ends. *)

val stream : t -> Soil_http.Server.response
(** [stream t] is server-sent events of type [products], each a JSON array: first all products, a
    hundred in each, then those that have changed. A browser that reads slowly gets all again. *)

val to_json : Products.t list -> Yojson.Safe.t
(** [to_json l] is the array. *)
