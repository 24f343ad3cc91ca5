(* Hashes of passwords. *)
module P = Soil_password

let bool = Alcotest.(check bool)
let test = Check.in_run

(* Of the reference implementation. *)
let known () =
  List.iter
    (fun hash ->
      bool hash true (P.verify ~hash "password");
      bool hash false (P.verify ~hash "Password"))
    [
      "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
      "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc";
      "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    ]

let small = { P.memory = 64; passes = 1; lanes = 1 }

let there_and_back () =
  let hash = P.hash "secret" in
  bool "the format" true (String.starts_with ~prefix:"$argon2id$v=19$m=19456,t=2,p=1$" hash);
  Alcotest.(check int) "the length" 97 (String.length hash);
  bool "the password" true (P.verify ~hash "secret");
  bool "another" false (P.verify ~hash "secret ");
  bool "current" true (P.is_current hash);
  bool "not current" false (P.is_current ~parameters:small hash);
  let hash password = P.hash ~parameters:small password in
  bool "other salts" false (hash "" = hash "");
  bool "a cheaper one isn't current" false (P.is_current (hash ""));
  List.iter
    (fun password ->
      let hash = hash password in
      bool "of any bytes" true (P.verify ~hash password);
      bool "not a part of it" false (P.verify ~hash (password ^ "\000")))
    [ ""; "\000"; "p\xc3\xa4ss\xff\n"; String.make 4095 'x' ];
  let hash = hash (String.make 4096 'x') in
  bool "the longest" true (P.verify ~hash (String.make 4096 'x'));
  bool "a longer one" false (P.verify ~hash (String.make 4097 'x'))

let refused what f =
  match f () with
  | (_ : bool) -> Alcotest.fail (what ^ ": accepted")
  | exception (Failure _ | Invalid_argument _) -> ()

let refusals () =
  let good = P.hash ~parameters:small "x" in
  let cut n = String.sub good 0 (String.length good - n) in
  let fails hash = refused hash (fun () -> P.verify ~hash "x") in
  let hash m t p = Printf.sprintf "$argon2id$v=19$m=%s,t=%s,p=%s$c29tZXNhbHQ$bQk8UB/VmZZF4Oo7" m t p in
  List.iter fails
    [
      "";
      "$";
      "x";
      "$2b$12$abc";
      good ^ "$";
      good ^ "=";
      " " ^ good;
      "\xff" ^ good;
      cut 40;
      "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$bQk8UB/VmZZF4Oo7";
      "$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$bQk8UB/VmZZF4Oo7";
      "$argon2id$m=64,t=1,p=1$c29tZXNhbHQ$bQk8UB/VmZZF4Oo7";
      "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ";
      "$argon2id$v=19$m=64,t=1,p=1$c29t$bQk8UB/VmZZF4Oo7";
      hash "65537" "1" "1";
      hash "64" "5" "1";
      hash "64" "1" "5";
      hash "4294967295" "1" "1";
      hash "4294967296" "1" "1";
      hash "64" "4294967295" "1";
      hash "64" "0" "1";
      hash "64" "1" "0";
      hash "7" "1" "1";
      hash "-1" "1" "1";
      hash "" "1" "1";
    ];
  bool "the largest" false (P.verify ~hash:(hash "256" "4" "4") "x");
  let limit = { P.memory = 63; passes = 1; lanes = 1 } in
  refused "another limit" (fun () -> P.verify ~limit ~hash:good "x");
  let fails parameters = refused "a parameter" (fun () -> P.hash ~parameters "x" <> "") in
  List.iter fails
    [
      { small with memory = 7 };
      { small with memory = 1 lsl 22 };
      { small with passes = 0 };
      { small with lanes = 0 };
      { small with lanes = 9 };
      { small with lanes = -1 };
    ];
  refused "a long password" (fun () -> P.hash (String.make 4097 'x') <> "")
[@@ocamlformat "disable"]

(* Many at once, of several sizes, share the memories; other tasks run meanwhile. *)
let at_once () =
  let turns = ref 0 in
  let rec count () =
    incr turns;
    Soil.Task.yield ();
    count ()
  in
  let one n =
    let parameters = { P.memory = 64 * (1 + (n mod 5)); passes = 1; lanes = 1 } in
    let password = String.make n 'x' in
    let hash = P.hash ~parameters password in
    bool "verified" true (P.verify ~hash password);
    bool "another" false (P.verify ~hash (password ^ "y"))
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope count);
  let before = !turns in
  ignore (P.hash "x");
  if !turns - before < 20 then Alcotest.failf "%d turns of other tasks" (!turns - before);
  let tasks = List.init 20 (fun n -> Soil.Task.spawn scope (fun () -> one n)) in
  List.iter Soil.Task.await tasks

(* An unknown user costs a hash, too: other tasks run meanwhile. *)
let unknown_user () =
  let hash = P.hash ~parameters:small "secret" in
  bool "the password" true (P.verify_opt ~hash:(Some hash) "secret");
  bool "another" false (P.verify_opt ~hash:(Some hash) "Secret");
  bool "no user" false (P.verify_opt ~hash:None "secret");
  bool "a long password" false (P.verify_opt ~hash:None (String.make 4097 'x'));
  refused "a damaged hash" (fun () -> P.verify_opt ~hash:(Some "x") "secret");
  refused "parameters" (fun () ->
      P.verify_opt ~parameters:{ small with passes = 0 } ~hash:None "secret");
  let turns = ref 0 in
  let rec count () =
    incr turns;
    Soil.Task.yield ();
    count ()
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope count);
  let before = !turns in
  ignore (P.verify_opt ~hash:None "secret");
  bool "a hash" true (!turns > before)

let () =
  Alcotest.run "soil-web.password"
    [
      ( "passwords",
        [
          test "known hashes" known;
          test "there and back" there_and_back;
          test "refusals" refusals;
          test "at once" at_once;
          test "an unknown user" unknown_user;
        ] );
    ]
