type t = { id : int; name : string; price : int; stock : int }

let max_count = 1000
let max_price = 1_000_000_000
let max_stock = 1_000_000_000

let product = function
  | [ id; name; price; stock ] ->
      { id = int_of_string id; name; price = int_of_string price; stock = int_of_string stock }
  | _ -> invalid_arg "Products.product"

let every = Database.statement "select id, name, price, stock from products order by id"
let all db = List.map product (Database.query db every [])

let page =
  Database.statement
    "select id, name, price, stock from products where id > $1 order by id limit 100"

let after db id = List.map product (Database.query db page [ string_of_int id ])

let is_name name =
  let is_text c = c >= ' ' && c <> '\127' in
  name <> ""
  && String.length name <= 100
  && String.for_all is_text name && String.is_valid_utf_8 name

let stock_is_valid stock = stock >= 0 && stock <= max_stock
let invalid_stock = Error (`Invalid (Printf.sprintf "stock: not 0 to %d" max_stock))

(* One at a time: two that count at once would both find room for the last one. *)
let lock = Database.statement "select pg_advisory_xact_lock(2)::text"

let insert =
  Database.statement
    (Printf.sprintf
       "insert into products (name, price, stock) select $1::text, $2::bigint, $3::bigint where \
        (select count(*) from products) < %d returning id, name, price, stock"
       max_count)

let add db ~name ~price ~stock =
  if not (is_name name) then
    Error (`Invalid "name: not 1 to 100 bytes of UTF-8 without control characters")
  else if price < 1 || price > max_price then
    Error (`Invalid (Printf.sprintf "price: not 1 to %d cents" max_price))
  else if not (stock_is_valid stock) then invalid_stock
  else
    Database.transaction db @@ fun transaction ->
    ignore (Database.execute transaction lock []);
    let parameters = [ name; string_of_int price; string_of_int stock ] in
    match Database.execute transaction insert parameters with
    | [ row ] -> Ok (product row)
    | _ -> Error `Full

let update =
  Database.statement "update products set stock = $2 where id = $1 returning id, name, price, stock"

let set_stock db ~id stock =
  if not (stock_is_valid stock) then invalid_stock
  else
    match Database.query db update [ string_of_int id; string_of_int stock ] with
    | [ row ] -> Ok (product row)
    | _ -> Error `Unknown
