(* The back office's command: office URI COMMAND, with the token in STORE_TOKEN. *)

module Client = Soil_grpc.Client
module Status = Soil_grpc.Status
module P = Store.Office_protocol

let usage =
  "usage: office URI COMMAND, such as: office http://127.0.0.1:50051 orders 0\n\
   commands: add NAME CENTS STOCK | stock NUMBER STOCK | orders AFTER\n\
   STORE_TOKEN is the token of the back office"

let show ({ id; name; price; stock } : P.product) =
  Printf.printf "%d %s, %d cents, %d in stock\n" id name price stock

let show_order ({ id; account; total; confirmed } : P.order) =
  let state = if confirmed then "confirmed" else "waiting" in
  Printf.printf "%d %s %d %s\n" id account total state

let run client = function
  | [ "add"; name; price; stock ] ->
      let price = int_of_string price and stock = int_of_string stock in
      show (Client.unary client P.add_product { id = 0; name; price; stock })
  | [ "stock"; id; stock ] ->
      let request = { P.id = int_of_string id; stock = int_of_string stock } in
      show (Client.unary client P.set_stock request)
  | [ "orders"; after ] ->
      Client.server_stream client P.list_orders (int_of_string after)
        (Soil_grpc.Reader.iter show_order)
  | _ -> invalid_arg "command"

let fail text status =
  prerr_endline text;
  exit status

let () =
  match (Array.to_list Sys.argv, Sys.getenv_opt "STORE_TOKEN") with
  | _ :: uri :: command, Some token -> (
      Soil.run @@ fun () ->
      let http = Soil_http.Client.create ~http2:(Soil_http.Http2.client ()) ~max_redirects:0 () in
      let metadata = [ ("authorization", "Bearer " ^ token) ] in
      let client = Client.create ~metadata http (Uri.of_string uri) in
      try run client command with
      | Status.Failed status -> fail ("office: " ^ Status.to_string status) 1
      | Invalid_argument _ | Failure _ -> fail usage 2)
  | _ -> fail usage 2
