let tables =
  List.map Database.statement
    [
      (* One machine at a time: of two that create a table at once, one fails. *)
      "select pg_advisory_xact_lock(1)::text";
      "create table if not exists accounts (id bigint generated always as identity primary key, \
       name text not null unique, password text not null, generation bigint not null default 0)";
      "create table if not exists products (id bigint generated always as identity primary key, \
       name text not null, price bigint not null check (price > 0), stock bigint not null check \
       (stock >= 0))";
      "create table if not exists orders (id bigint generated always as identity primary key, \
       account bigint not null references accounts, key text not null, request text not null, \
       total bigint not null default 0, confirmed boolean not null default false, unique (account, \
       key))";
      "create table if not exists order_lines (order_id bigint not null references orders, product \
       bigint not null references products, quantity bigint not null, price bigint not null, \
       primary key (order_id, product))";
      "create table if not exists outbox (order_id bigint primary key references orders, due \
       timestamptz not null default now(), attempts bigint not null default 0)";
      "create index if not exists outbox_due on outbox (due)";
      "create table if not exists acme (name text primary key, value text not null)";
    ]

let create db =
  let run transaction table = ignore (Database.execute transaction table []) in
  ignore (Database.transaction db (fun transaction -> Ok (List.iter (run transaction) tables)))
