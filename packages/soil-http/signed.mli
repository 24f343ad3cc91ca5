(** Signed cookies, by HMAC with SHA-256 ({!Soil.Sha256}).

    {[
      let keys = Signed.keys [ read_key "session.key" ]

      let log_in user response =
        let value = Signed.sign keys ~name:"__Host-user" ~lifetime:86400. user in
        Cookie.add (Cookie.make ~secure:true ~max_age:86400. "__Host-user" value) response

      let user request = Signed.find keys request "__Host-user"
    ]}

    Clients can read a signed value, but neither change it, nor use it under another name or after
    its lifetime. They can send an older value again: one that must not come back needs a number
    that the server knows. *)

type keys
(** The type for keys. *)

val keys : string list -> keys
(** [keys l] signs by the first key of [l], and accepts signatures of all of them: to replace a key,
    put the new one in front, and remove the old one when what it signed has expired. A key has at
    least 32 bytes of {!Soil.Random}, the same for all instances of a service. Raises
    [Invalid_argument] if [l] is empty or a key is shorter. *)

val sign : ?lifetime:float -> keys -> name:string -> string -> string
(** [sign keys ~name value] is the value for a cookie [name], of characters that cookies can have:
    45 to 69 bytes and 4/3 of the length of [value]. With [lifetime] it is valid for so many seconds
    of {!Soil.Clock.now}, and not a minute or more before it was signed. Raises [Invalid_argument]
    if [lifetime] isn't between 0 and 10{^ 12}. *)

val verify : keys -> name:string -> string -> string option
(** [verify keys ~name signed] is the value that {!sign} got, or [None] if [signed] isn't of [name]
    and one of [keys], or has expired. The comparison takes the same time for each signature of one
    length. *)

val find : keys -> Server.request -> string -> string option
(** [find keys request name] is the value of the first valid one among the cookies [name] of
    [request]. *)
