module Raw = Soil_raw_password
module Semaphore = Soil.Task.Semaphore
module Array1 = Bigarray.Array1

type parameters = { memory : int; passes : int; lanes : int }

let default = { memory = 19 * 1024; passes = 2; lanes = 1 }
let verified = { memory = 64 * 1024; passes = 4; lanes = 4 }
let longest = 4096

(* Memory for hashes *)

type memories = { units : Semaphore.t; mutable free : Soil.File_descriptor.buffer list }

let memories =
  lazy
    (let fitting = Soil.Budget.limit () / (default.memory * 1024) in
     let most = min fitting (Domain.recommended_domain_count ()) in
     { units = Semaphore.create (max 1 most); free = [] })

let allocate bytes = Array1.create Bigarray.char Bigarray.c_layout bytes

(* [f] in a thread. *)
let with_memory parameters password f =
  (* Blocks have the alignment of a cache line. *)
  let bytes = (parameters.memory * 1024) + 64 + String.length password in
  let memories = Lazy.force memories in
  Semaphore.with_unit memories.units @@ fun () ->
  let work =
    match memories.free with
    | [] -> allocate bytes
    | work :: rest ->
        memories.free <- rest;
        if Array1.dim work < bytes then allocate bytes else work
  in
  Fun.protect
    ~finally:(fun () -> memories.free <- work :: memories.free)
    (fun () -> Soil_threads.blocking (fun () -> f work bytes))

(* Hashes *)

let check parameters =
  let invalid what = invalid_arg ("Soil_password.hash: " ^ what ^ " is out of range") in
  let is_in n low high = n >= low && n <= high in
  if not (is_in parameters.lanes 1 255) then invalid "lanes";
  if not (is_in parameters.passes 1 0xffff) then invalid "passes";
  if not (is_in parameters.memory (8 * parameters.lanes) 0x3fffff) then invalid "memory"

let hash ?(parameters = default) password =
  check parameters;
  if String.length password > longest then
    invalid_arg "Soil_password.hash: a password of more than 4096 bytes";
  let salt = Soil.Random.string 16 in
  let { memory; passes; lanes } = parameters in
  with_memory parameters password @@ fun work bytes ->
  let length = Raw.password_hash work bytes password salt memory passes lanes in
  String.init (Soil.Private.check ~operation:"hash of a password" ~subject:"" length) (fun i ->
      work.{i})

let parameters_of hash =
  let get which = Raw.password_parameter hash which in
  let parameters = { memory = get 0; passes = get 1; lanes = get 2 } in
  if parameters.memory < 0 then None else Some parameters

let verify ?(limit = verified) ~hash password =
  match parameters_of hash with
  | None -> failwith "Soil_password.verify: not a hash of argon2id"
  | Some p when p.memory > limit.memory || p.passes > limit.passes || p.lanes > limit.lanes ->
      failwith
        (Printf.sprintf
           "Soil_password.verify: the hash has m=%d,t=%d,p=%d, of at most m=%d,t=%d,p=%d" p.memory
           p.passes p.lanes limit.memory limit.passes limit.lanes)
  | Some p ->
      String.length password <= longest
      && with_memory p password (fun work bytes -> Raw.password_verify work bytes password hash = 1)

let verify_opt ?limit ?parameters ~hash:known password =
  match known with
  | Some hash -> verify ?limit ~hash password
  | None ->
      if String.length password <= longest then ignore (hash ?parameters password);
      false

let is_current ?(parameters = default) hash = parameters_of hash = Some parameters
