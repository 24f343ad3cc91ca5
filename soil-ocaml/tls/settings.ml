module Raw = Soil_raw_tls

let error operation subject r = Soil.Private.error ~operation ~subject r
let check operation subject r = Soil.Private.check ~operation ~subject r

(* What the collector found to be unused is given back by the next call that makes something: a
   finaliser may run within another call. Finalisers of several domains run at the same time. *)
let unused = Atomic.make []

(* [List.iter] and [Gc.finalise] without the modules, which would add 200 KB to an image. *)
let rec iter f = function
  | [] -> ()
  | x :: rest ->
      f x;
      iter f rest

external finalise : ('a -> unit) -> 'a -> unit = "caml_final_register"

let rec add_unused number =
  let numbers = Atomic.get unused in
  if not (Atomic.compare_and_set unused numbers (number :: numbers)) then add_unused number

let release_sessions () =
  iter (fun number -> ignore (Raw.tls_free number)) (Atomic.exchange unused [])

let owned number value =
  finalise (fun _ -> add_unused number) value;
  value

type roots = int -> unit
type certificates = { credentials : int }
type version = Tls_1_2 | Tls_1_3
type config = { number : int; key_log : (string -> unit) option }

let replace c pairs =
  iter
    (fun (chain, key) ->
      ignore (check "tls certificates" "" (Raw.tls_credentials_add c.credentials chain key)))
    pairs;
  ignore (check "tls certificates" "" (Raw.tls_credentials_apply c.credentials))

let certificates pairs =
  release_sessions ();
  let credentials = check "tls certificates" "" (Raw.tls_credentials ()) in
  let c = owned credentials { credentials } in
  if pairs <> [] then replace c pairs;
  c

let roots add = add

let pems texts options =
  iter (fun text -> ignore (check "tls" "roots" (Raw.tls_trust options text))) texts

let pem text = pems [ text ]

let number_of_versions operation = function
  | [ Tls_1_2 ] -> 2
  | [ Tls_1_3 ] -> 3
  | [ Tls_1_2; Tls_1_3 ] | [ Tls_1_3; Tls_1_2 ] -> 0
  | _ -> invalid_arg ("Soil_tls." ^ operation ^ ": versions")

let config operation versions protocols revoked sessions key_log certificates roots make =
  if sessions < 0 then invalid_arg ("Soil_tls." ^ operation ^ ": sessions");
  let versions = number_of_versions operation versions in
  let check r = ignore (check ("tls " ^ operation) "" r) in
  let options = Raw.tls_options certificates.credentials in
  check options;
  (try
     iter (fun root -> root options) roots;
     iter (fun lists -> check (Raw.tls_revoke options lists)) revoked;
     iter
       (fun name ->
         let n = String.length name in
         if n < 1 || n > 255 then invalid_arg ("Soil_tls." ^ operation ^ ": protocols");
         check (Raw.tls_protocol options name))
       protocols
   with e ->
     ignore (Raw.tls_free options);
     raise e);
  let number = make options versions sessions (if key_log = None then 0 else 1) in
  check number;
  (* What the number stands for keeps the certificates. *)
  ignore (Sys.opaque_identity certificates);
  owned number { number; key_log }

let client ?(versions = [ Tls_1_2; Tls_1_3 ]) ?(protocols = []) ?certificates:c ?(revoked = [])
    ?(sessions = 256) ?key_log roots =
  release_sessions ();
  let c = match c with Some c -> c | None -> certificates [] in
  config "client" versions protocols revoked sessions key_log c roots Raw.tls_client

let server ?(versions = [ Tls_1_2; Tls_1_3 ]) ?(protocols = []) ?clients ?(revoked = [])
    ?(sessions = 4096) ?key_log certificates =
  release_sessions ();
  let roots, how =
    match clients with
    | None -> ([], 0)
    | Some (`Optional roots) -> (roots, 1)
    | Some (`Required roots) -> (roots, 2)
  in
  config "server" versions protocols revoked sessions key_log certificates roots
    (fun options versions sessions keys -> Raw.tls_server options versions sessions keys how)

let log_keys c =
  match c.key_log with
  | None -> ()
  | Some log ->
      let b = Bytes.create 4096 in
      let rec go () =
        let n = Raw.tls_key_log c.number b 0 (Bytes.length b) in
        if n > 0 then (
          log (Bytes.sub_string b 0 n);
          go ())
      in
      go ()
