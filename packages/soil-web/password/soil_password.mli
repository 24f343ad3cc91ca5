(** Hashes of passwords by argon2id ({{:https://www.rfc-editor.org/rfc/rfc9106}RFC 9106}), as
    strings in the PHC format, which other libraries read and write, too.

    {[
      let log_in name password =
        let user = find_user name in
        let hash = Option.map (fun u -> u.hash) user in
        if not (Soil_password.verify_opt ~hash password) then None
        else (
          if not (Soil_password.is_current hash) then
            Option.iter (set_hash (Soil_password.hash password)) user;
          user)
    ]}

    {b Time.} A hash with {!default} takes some 20 to 50 ms of a processor, in a thread of its own
    ({!Soil_threads.blocking}): other tasks run meanwhile. A server limits attempts
    ([Soil_http.Limit]).

    {b Memory.} As many hashes are computed at once as there are processors, and as fit into
    {!Soil.Budget.limit} with {!default}: at least one. Others wait in FIFO order. Each keeps its
    memory for the next, so that a program has so many times the largest memory that it has used.

    Functions are for tasks. A cancelled call waits for the end of its hash. *)

type parameters = {
  memory : int;  (** In KiB, at least 8 times [lanes]. *)
  passes : int;  (** Over the memory. *)
  lanes : int;  (** Computed one after the other. *)
}
(** The type for what makes a hash expensive. *)

val default : parameters
(** [default] is 19 MiB, 2 passes and 1 lane, as OWASP recommends. *)

val hash : ?parameters:parameters -> string -> string
(** [hash password] is a hash of [password] with a random salt, 97 bytes for {!default}:
    ["$argon2id$v=19$m=19456,t=2,p=1$…$…"]. Waits. Raises [Invalid_argument] if the password has
    more than 4096 bytes or a parameter is out of range, [Out_of_memory], and as
    {!Soil.Random.fill}. *)

val verify : ?limit:parameters -> hash:string -> string -> bool
(** [verify ~hash password] is whether [hash] is one of [password], in constant time for hashes with
    the same parameters. Waits.

    Raises [Failure] if [hash] isn't a hash of argon2id, or one of its parameters is larger than in
    [limit] (default: 64 MiB, 4 passes, 4 lanes): a hash that others may have written must not take
    all memory or time. Raises [Out_of_memory]. *)

val verify_opt : ?limit:parameters -> ?parameters:parameters -> hash:string option -> string -> bool
(** [verify_opt ~hash password] is {!verify} with the hash of a user, and [false] without one: for
    unknown users, whose names the time mustn't tell. That takes as long as a wrong password for
    hashes with [parameters] (default: {!default}). Raises as {!verify} and {!val-hash}. *)

val is_current : ?parameters:parameters -> string -> bool
(** [is_current hash] is whether [hash] is of argon2id with [parameters] (default: {!default}). If
    not, replace it when its password is known. *)
