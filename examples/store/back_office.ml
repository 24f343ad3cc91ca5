module Server = Soil_grpc.Server
module Status = Soil_grpc.Status
module P = Office_protocol

let authorized ~token call =
  let given = Soil_grpc.Metadata.find (Server.metadata call) "authorization" in
  match given with
  | Some given when Soil_http.Auth.equal given ("Bearer " ^ token) -> ()
  | Some _ | None -> Status.fail Unauthenticated "authorization: not the token of the back office"

let guarded ~token f call request =
  authorized ~token call;
  try f request with Database.Unavailable reason -> Status.fail Unavailable reason

let show ({ id; name; price; stock } : Products.t) : P.product = { id; name; price; stock }

let product = function
  | Ok product -> show product
  | Error (`Invalid reason) -> Status.fail Invalid_argument reason
  | Error `Full ->
      Status.fail Resource_exhausted
        (Printf.sprintf "the store has %d products already" Products.max_count)
  | Error `Unknown -> Status.fail Not_found "no such product"

let add db ({ name; price; stock; _ } : P.product) = product (Products.add db ~name ~price ~stock)
let set_stock db ({ id; stock } : P.stock) = product (Products.set_stock db ~id stock)

(* A hundred at a time: the memory for a list doesn't grow with the orders. *)
let rec send_orders db send after =
  match Orders.after db after with
  | [] -> ()
  | orders ->
      let last =
        List.fold_left
          (fun _ (({ id; total; confirmed } : Orders.t), account) ->
            send ({ id; account; total; confirmed } : P.order);
            id)
          after orders
      in
      send_orders db send last

let rpcs ~token db =
  let list call after send = guarded ~token (send_orders db send) call after in
  [
    Server.unary P.add_product (guarded ~token (add db));
    Server.unary P.set_stock (guarded ~token (set_stock db));
    Server.server_stream P.list_orders list;
  ]
