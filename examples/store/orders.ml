type line = { product : int; quantity : int }
type lines = line list
type key = string
type t = { id : int; total : int; confirmed : bool }

(* In the order of products: two orders take their rows in the same order, so that neither waits for
   the other. *)
let lines list =
  let sorted = List.sort_uniq (fun a b -> Int.compare a.product b.product) list in
  let count = List.length list in
  if count < 1 || count > 20 then Error "lines: not 1 to 20"
  else if List.length sorted < count then Error "lines: a product occurs twice"
  else if List.exists (fun l -> l.quantity < 1 || l.quantity > 100) list then
    Error "quantity: not 1 to 100"
  else Ok sorted

let key s =
  let is_printable c = c > ' ' && c < '\127' in
  let length = String.length s in
  if length >= 1 && length <= 64 && String.for_all is_printable s then Some s else None

let order id total confirmed =
  { id = int_of_string id; total = int_of_string total; confirmed = confirmed = "t" }

type placed = New of t | Repeated of t
type refusal = Not_in_stock of line | Key_reused

let insert =
  Database.statement
    "insert into orders (account, key, request) values ($1, $2, $3) on conflict (account, key) do \
     nothing returning id"

let existing =
  Database.statement
    "select id, total, confirmed, request from orders where account = $1 and key = $2"

let take =
  Database.statement
    "with taken as (update products set stock = stock - $3 where id = $2 and stock >= $3 returning \
     price) insert into order_lines (order_id, product, quantity, price) select $1::bigint, $2, \
     $3, price from taken returning price"

(* The confirmation belongs to the transaction: there is none without an order, and no order without
   one. *)
let finish =
  Database.statement
    "with placed as (update orders set total = $2 where id = $1 returning id) insert into outbox \
     (order_id) select id from placed"

let request lines =
  String.concat " " (List.map (fun l -> Printf.sprintf "%d:%d" l.product l.quantity) lines)

let rec take_all transaction id total = function
  | [] -> Ok total
  | line :: rest -> (
      let parameters = [ id; string_of_int line.product; string_of_int line.quantity ] in
      match Database.execute transaction take parameters with
      | [ [ price ] ] ->
          take_all transaction id (total + (line.quantity * int_of_string price)) rest
      | _ -> Error (Not_in_stock line))

let place db ~(account : Accounts.t) ~key lines =
  let account = string_of_int account.id and request = request lines in
  Database.transaction db @@ fun transaction ->
  (* While another transaction inserts the same key, this waits for its end. *)
  match Database.execute transaction insert [ account; key; request ] with
  | [ [ id ] ] ->
      let place total =
        ignore (Database.execute transaction finish [ id; string_of_int total ]);
        New (order id (string_of_int total) "f")
      in
      Result.map place (take_all transaction id 0 lines)
  | _ -> (
      match Database.execute transaction existing [ account; key ] with
      | [ [ id; total; confirmed; before ] ] when before = request ->
          Ok (Repeated (order id total confirmed))
      | _ -> Error Key_reused)

let newest =
  Database.statement
    "select id, total, confirmed from orders where account = $1 order by id desc limit 50"

let of_account db (account : Accounts.t) =
  let of_row = function
    | [ id; total; confirmed ] -> order id total confirmed
    | _ -> invalid_arg "Orders.of_account"
  in
  List.map of_row (Database.query db newest [ string_of_int account.id ])

let with_name = function
  | [ id; total; confirmed; name ] -> (order id total confirmed, name)
  | _ -> invalid_arg "Orders.with_name"

let joined =
  "select o.id, o.total, o.confirmed, a.name from orders o join accounts a on a.id = o.account "

let one = Database.statement (joined ^ "where o.id = $1")
let next = Database.statement (joined ^ "where o.id > $1 order by o.id limit 100")

let find db id =
  match Database.query db one [ string_of_int id ] with
  | [ row ] -> Some (with_name row)
  | _ -> None

let after db id = List.map with_name (Database.query db next [ string_of_int id ])
