module Tls = Soil_tls

type dns = name:string -> value:string -> unit -> unit
type challenge = Http_01 | Tls_alpn_01 | Dns_01 of dns
type external_account = { kid : string; hmac_key : string }

(* Metrics *)

let gauge name help = Soil_metrics.Gauge.v_labels ~label_names:[ "name" ] ~help name

let valid_until =
  gauge "acme_certificate_valid_until_seconds"
    "End of the certificate in use, in seconds since 1970; 0 without one."

let next_attempt =
  gauge "acme_next_attempt_seconds" "Next attempt to renew the certificate, in seconds since 1970."

let attempts =
  Soil_metrics.Counter.v_labels ~label_names:[ "name"; "result" ]
    ~help:"Attempts to get a certificate." "acme_attempts_total"

(* Times, in seconds *)

let hour = 3600.
let day = 24. *. hour

(* An attempt, with all its polls. *)
let attempt_seconds = 1800.
let lease_seconds = attempt_seconds +. 60.

(* Another machine's certificate is noticed after this time. *)
let reload_seconds = 300.

(* A store that has failed is used again after this time. *)
let store_seconds = 60.

(* The pause while another machine has the lease. *)
let busy_seconds = 10.
let max_backoff = 12. *. hour
let max_retry_after = day
let random x = x *. float (Soil.Random.int 1_000_000) /. 1e6

(* Let's Encrypt allows five failed validations of a name in an hour. *)
let backoff failures =
  let s = Float.min max_backoff (60. *. (4. ** float (failures - 1))) in
  s +. random (s /. 5.)

(* State *)

type ari = { id : string; first : float; last : float; selected : float }

type t = {
  client : Soil_http.Client.t;
  directory : Uri.t;
  names : Certificate.name list;
  label : string;
  contact : string list;
  terms_agreed : bool;
  external_account : Protocol.external_account option;
  challenges : challenge list;
  key_type : Certificate.key_type;
  report : string -> unit;
  store : Store.t;
  answers : Challenges.t;
  holder : string;  (** Of leases: this machine. *)
  tls : Tls.certificates;
  mutable current : Certificate.t option;
  mutable planned : float;  (** The renewal of [current], without ARI. *)
  mutable ari : ari option;
  mutable ask_ari : float;  (** The next question about it, by {!Soil.Clock.monotonic}. *)
  mutable unsaved : bool;  (** The store failed after [current] was issued. *)
  mutable failures : int;
  mutable not_before : float;  (** The next attempt isn't before. *)
  mutable last_failure : string option;
}

let tag s = Printf.sprintf "%016Lx" (String.get_int64_be (Soil.Sha256.digest s) 0)

(* The keys of the store *)

let account_key t = "account-" ^ tag (Uri.to_string t.directory)

let key t kind =
  let readable c = match c with 'a' .. 'z' | '0' .. '9' | '.' | '-' -> c | _ -> '_' in
  let name = String.map readable (String.sub t.label 0 (min 100 (String.length t.label))) in
  Printf.sprintf "%s-%s-%s" kind name (tag (Uri.to_string t.directory ^ " " ^ t.label))

(* The certificate in use *)

let adopt t (certificate : Certificate.t) =
  Tls.replace t.tls [ (certificate.pair.chain, certificate.pair.key) ];
  let lifetime = certificate.valid_until -. certificate.valid_from in
  t.current <- Some certificate;
  t.last_failure <- None;
  t.planned <- certificate.valid_from +. (lifetime *. 2. /. 3.) -. random (lifetime /. 30.);
  t.ari <- None;
  t.ask_ari <- 0.;
  Soil_metrics.Gauge.set (Soil_metrics.Gauge.labels valid_until [ t.label ]) certificate.valid_until

let damaged t e =
  t.report (Printf.sprintf "acme %s: the store is damaged: %s" t.label e);
  None

(* The certificate in the store, unless it is the one in use. *)
let stored t =
  let used = Option.map (fun (c : Certificate.t) -> Certificate.to_string c.pair) t.current in
  match t.store.get (key t "certificate") with
  | None -> None
  | text when text = used -> None
  | Some text -> (
      let pair = Option.to_result ~none:"no certificate" (Certificate.of_string text) in
      match Result.bind pair (Certificate.read ~names:t.names) with
      | Ok certificate -> Some certificate
      | Error e -> damaged t e)

let save t (certificate : Certificate.t) =
  t.store.set (key t "certificate") (Certificate.to_string certificate.pair);
  t.unsaved <- false

let is_newer (a : Certificate.t) = function
  | None -> true
  | Some (b : Certificate.t) -> a.valid_from > b.valid_from

(* Another machine may have renewed it. *)
let reload t =
  match t.current with
  | Some certificate when t.unsaved -> save t certificate
  | current -> (
      match stored t with
      | Some certificate when is_newer certificate current -> adopt t certificate
      | Some _ | None -> ())

(* What other machines know of attempts, and this one after a restart: the number of failures, and
   the time before which there is no further attempt. *)

let write_attempts t ~failures =
  t.store.set (key t "attempts") (Printf.sprintf "%d %.0f" failures t.not_before)

let read_attempts t =
  let value = Option.value (t.store.get (key t "attempts")) ~default:"" in
  match Scanf.sscanf_opt value "%d %f" (fun failures next -> (failures, next)) with
  (* The clock may have gone back. *)
  | Some (failures, next) when next < Soil.Clock.now () +. (2. *. day) ->
      t.failures <- failures;
      t.not_before <- next
  | Some _ | None -> ()

let schedule t delay = t.not_before <- Soil.Clock.now () +. delay

(* Leases: one machine at a time orders. If two do nevertheless, because a machine stopped for
   [lease_seconds] and two others replaced its lease at the same time, there are two certificates,
   and the newer one stays. *)

let holder_of value = Scanf.sscanf_opt value "%s %f" (fun holder until -> (holder, until))

let acquire t =
  let now = Soil.Clock.now () in
  let key = key t "lease" in
  let create () = t.store.create key (Printf.sprintf "%s %.0f" t.holder (now +. lease_seconds)) in
  create ()
  ||
  match Option.bind (t.store.get key) holder_of with
  | Some (holder, until)
    when holder <> t.holder && until > now && until < now +. (2. *. lease_seconds) ->
      false
  | Some _ | None ->
      t.store.remove key;
      create ()

let has_lease t =
  match Option.bind (t.store.get (key t "lease")) holder_of with
  | Some (holder, _) -> holder = t.holder
  | None -> false

let release t = if has_lease t then t.store.remove (key t "lease")

(* The time of the next attempt *)

let due t =
  match t.current with
  | None -> 0.
  | Some certificate when not certificate.complete -> 0.
  | Some certificate -> (
      let lifetime = certificate.valid_until -. certificate.valid_from in
      match t.ari with
      | Some ari when Some ari.id = certificate.id ->
          Float.min ari.selected (certificate.valid_until -. (lifetime /. 10.))
      | Some _ | None -> t.planned)

let next t =
  (* The clock may have gone back. *)
  let now = Soil.Clock.now () in
  if t.not_before > now +. (2. *. day) then t.not_before <- now;
  let lacks_names (c : Certificate.t) = not c.complete in
  let is_new = t.failures = 0 && Option.fold ~none:false ~some:lacks_names t.current in
  let next = if is_new then due t else Float.max (due t) t.not_before in
  Soil_metrics.Gauge.set (Soil_metrics.Gauge.labels next_attempt [ t.label ]) next;
  next

(* Of machines that share a store the first key counts. *)
let account t =
  let key = account_key t in
  let parse text =
    match Jws.of_pem text with
    | Some account -> account
    | None ->
        Soil.Error.fail Corrupt "acme account" ~subject:key
          ~detail:"the stored key isn't on P-256; without it the CA makes another account"
  in
  match t.store.get key with
  | Some text -> parse text
  | None -> (
      let account = Jws.generate () in
      if t.store.create key (Jws.to_pem account) then account
      else
        match t.store.get key with
        | Some text -> parse text
        | None -> Soil.Error.fail Busy "acme account" ~subject:key)

(* Renewal information: RFC 9773 *)

let min_ask = 60.
let default_ask = 6. *. hour

let note_window t id ({ first; last; explanation; again } : Protocol.window) =
  t.ask_ari <-
    Soil.Clock.monotonic ()
    +. Float.max min_ask (Float.min day (Option.value again ~default:default_ask));
  match t.ari with
  | Some ari when ari.id = id && ari.first = first && ari.last = last -> ()
  | Some _ | None ->
      let selected = first +. random (last -. first) in
      t.ari <- Some { id; first; last; selected };
      let why = Option.fold ~none:"" ~some:(fun url -> ", see " ^ String.escaped url) explanation in
      if explanation <> None then
        t.report
          (Printf.sprintf "acme %s: the CA suggests to renew the certificate at %s%s" t.label
             (Soil_http.Date.to_rfc_3339 selected)
             why)

let ask_ari t =
  match t.current with
  | Some { id = Some id; _ } when Soil.Clock.monotonic () >= t.ask_ari -> (
      t.ask_ari <- Soil.Clock.monotonic () +. hour;
      let ask () =
        Soil.Task.timeout attempt_seconds @@ fun () ->
        Protocol.renewal_info (Protocol.connect t.client t.directory (account t)) id
      in
      match ask () with
      | Some window -> note_window t id window
      | None -> t.ask_ari <- Soil.Clock.monotonic () +. day
      | exception
          ((Failure.Failed _ | Soil.Error.Error _ | Soil_http.Client.Failed _ | Soil.Task.Timeout _)
           as e) ->
          t.report (Printf.sprintf "acme %s: %s" t.label (Failure.describe e)))
  | Some _ | None -> ()

(* Attempts *)

let kind = function Http_01 -> `Http_01 | Tls_alpn_01 -> `Tls_alpn_01 | Dns_01 _ -> `Dns_01

let choose t ~wildcard name =
  let is_usable = function
    | Http_01 | Tls_alpn_01 -> not wildcard
    | Dns_01 _ -> ( match name with Certificate.Dns _ -> true | Ip _ -> false)
  in
  List.map kind (List.filter is_usable t.challenges)

let publish_dns t name value =
  let publish = List.find_map (function Dns_01 f -> Some f | _ -> None) t.challenges in
  let name = "_acme-challenge." ^ Certificate.name_to_string name in
  let withdraw = (Option.get publish) ~name ~value in
  fun () ->
    try withdraw () with
    | Soil.Task.Cancelled as e -> raise e
    | e -> t.report (Printf.sprintf "acme %s: removing %s: %s" t.label name (Printexc.to_string e))

let publish t name = function
  | Protocol.Http_01 { token; authorization } ->
      Challenges.publish_http t.answers ~token ~authorization
  | Tls_alpn_01 { authorization } -> Challenges.publish_tls t.answers name ~authorization
  | Dns_01 { value } -> publish_dns t name value

let order t =
  let ca = Protocol.connect t.client t.directory (account t) in
  Protocol.register ca ~contact:t.contact ~terms_agreed:t.terms_agreed t.external_account;
  let replaces = Option.bind t.current (fun (c : Certificate.t) -> c.id) in
  let pair =
    Protocol.order ca ~names:t.names ~replaces ~choose:(choose t) ~publish:(publish t)
      ~key_type:t.key_type
  in
  match Certificate.check ~names:t.names ~now:(Soil.Clock.now ()) pair with
  | Ok certificate -> certificate
  | Error detail -> Failure.fail "certificate" t.label ~detail

let count t result =
  Soil_metrics.Counter.inc_one (Soil_metrics.Counter.labels attempts [ t.label; result ])

(* A CA whose certificates are due at once doesn't get an order after the other. *)
let pause_after (certificate : Certificate.t) =
  let lifetime = certificate.valid_until -. certificate.valid_from in
  Float.max 60. (Float.min day (lifetime /. 20.))

let failed t ~failures e =
  let wanted =
    match e with
    | Failure.Failed { retry_after = Some s; _ } -> Float.min max_retry_after s
    | _ -> 0.
  in
  t.failures <- failures;
  schedule t (Float.max wanted (backoff failures));
  t.last_failure <- Some (Failure.describe e);
  count t "failure";
  t.report
    (Printf.sprintf "acme %s: no certificate: %s; next attempt at %s" t.label (Failure.describe e)
       (Soil_http.Date.to_rfc_3339 (next t)))

let issue t =
  (* A program that crashes during the attempt waits, too, when it has started again. *)
  let failures = t.failures + 1 in
  schedule t (backoff failures);
  write_attempts t ~failures;
  match Soil.Task.timeout attempt_seconds (fun () -> order t) with
  | exception (Soil.Task.Cancelled as e) -> Soil_backtrace.raise e
  | exception e ->
      Soil.Private.recover e;
      failed t ~failures e;
      write_attempts t ~failures
  | certificate ->
      adopt t certificate;
      t.unsaved <- true;
      t.failures <- 0;
      schedule t (pause_after certificate);
      count t "success";
      save t certificate;
      write_attempts t ~failures:0

let attempt t =
  if not (acquire t) then Soil.Clock.sleep busy_seconds
  else
    Soil.Private.finally (fun () ->
        Soil.Task.protect (fun () -> try release t with Soil.Error.Error _ -> ()))
    @@ fun () ->
    reload t;
    read_attempts t;
    if next t <= Soil.Clock.now () && has_lease t then issue t

let step t =
  reload t;
  read_attempts t;
  ask_ari t;
  let now = Soil.Clock.now () in
  let wait = next t -. now in
  (* If it is due, another machine may be ordering it. *)
  let pause = if due t <= now then busy_seconds else reload_seconds in
  if wait <= 0. then attempt t else Soil.Clock.sleep (Float.min wait pause)

let rec run t =
  (* What fails here is the store: [issue] handles failures of an order. *)
  (match step t with
  | () -> ()
  | exception (Soil.Task.Cancelled as e) -> Soil_backtrace.raise e
  | exception e ->
      Soil.Private.recover e;
      t.last_failure <- Some (Failure.describe e);
      t.report (Printf.sprintf "acme %s: %s" t.label (Failure.describe e));
      Soil.Clock.sleep store_seconds);
  run t

(* Making *)

let max_names = 100

let create ?(contact = []) ?external_account ?(key_type = `P256)
    ?(report = fun s -> Soil.Private.print_error (fun () -> s ^ "\n")) ~client ~store ~terms_agreed
    ~challenges directory names =
  if names = [] || List.compare_length_with names max_names > 0 then
    invalid_arg "Soil_acme.create: names";
  if challenges = [] then invalid_arg "Soil_acme.create: challenges";
  let external_account =
    Option.map
      (fun { kid; hmac_key } ->
        match Jws.of_base64 hmac_key with
        | Some secret -> { Protocol.kid; secret }
        | None -> invalid_arg "Soil_acme.create: hmac_key isn't base64url")
      external_account
  in
  Soil_mirage_crypto_rng.use_default ();
  let add names name = if List.mem name names then names else name :: names in
  let names = List.rev (List.fold_left add [] (List.map Certificate.name names)) in
  let label = Certificate.name_to_string (List.hd names) in
  let { Certificate.chain; key } = Certificate.placeholder names in
  let tag = tag (Uri.to_string directory) in
  let t =
    {
      client;
      directory;
      names;
      label;
      contact;
      terms_agreed;
      external_account;
      challenges;
      key_type;
      report;
      store;
      answers = Challenges.create store ~tag;
      holder = Printf.sprintf "%x" (Soil.Random.int max_int);
      tls = Tls.certificates [ (chain, key) ];
      current = None;
      planned = 0.;
      ari = None;
      ask_ari = 0.;
      unsaved = false;
      failures = 0;
      not_before = 0.;
      last_failure = None;
    }
  in
  Soil_metrics.Gauge.set (Soil_metrics.Gauge.labels valid_until [ label ]) 0.;
  reload t;
  ignore (next t);
  t

let certificates t = t.tls
let answers t = t.answers

type status = {
  valid_until : float option;
  next_attempt : float;
  failures : int;
  last_failure : string option;
}

let status (t : t) =
  {
    valid_until = Option.map (fun (c : Certificate.t) -> c.valid_until) t.current;
    next_attempt = next t;
    failures = t.failures;
    last_failure = t.last_failure;
  }
