(** Soil's files as the stores of [mirage-kv], for libraries that are functors over them: web
    servers, configuration, certificates, Git.

    {[
      module Site = Static_site.Make (Soil_mirage_kv.Ro)

      let () =
        Soil_lwt.run @@ fun () ->
        let pages = Soil_lwt.run_promise (fun () -> Soil_mirage_kv.Ro.connect "/www") in
        …
    ]}

    The functions return Lwt promises, as the signatures require: use them within {!Soil_lwt.run}.
    Each operation is a task, so that others run while it waits for the disk, and [Lwt.cancel]
    cancels it. Symbolic links aren't followed: their names are unbound. A key with an invalid file
    name ([.], [..], a NUL), or one reserved by Soil, is unbound. *)

type failure = [ `Failed of Soil.Error.t  (** The device or the file system failed. *) ]
type error = [ Mirage_kv.error | failure ]
type write_error = [ Mirage_kv.write_error | failure ]

(** A directory of any volume, unchanged: embedded files, a tar archive, a disk, a host folder. *)
module Ro : sig
  include Mirage_kv.RO with type error = error

  val connect : string -> t Lwt.t
  (** [connect path] is the store of the files of the directory [path], without values that {!Rw}
      has packed there. It fails with {!Soil.exception-Error} if that isn't a directory. It writes
      nothing. *)
end

(** A {!Soil.Kv} store, with its durability: a value survives a crash once the promise of {!Rw.set}
    is fulfilled, and a crash during [set] leaves the old value or the new one. *)
module Rw : sig
  (** Where the signature allows a choice:

      - [exists] is [None] below a value, too.
      - [digest] and [last_modified] work on dictionaries; [size] of one is the sum of its values.
      - [set] doesn't replace a dictionary: [`Value_expected].
      - [rename] of a dictionary onto one moves it inside, as the signature specifies, and fails
        with [`Already_present] if the name exists there.
      - [allocate] allocates the space for the value; it sets only the current time.
      - [disconnect] does nothing: every change is already durable. *)
  include
    Mirage_kv.RW with type t = Soil.Kv.t and type error = error and type write_error = write_error

  val connect : string -> (t, write_error) result Lwt.t
  (** [connect path] is [Soil.Kv.connect path]: the directory is created if missing. *)
end
