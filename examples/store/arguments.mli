(** The store's arguments and needs. *)

type t = {
  port : int;  (** [--port], [STORE_PORT]: 80. *)
  office_port : int;  (** [--office-port], [STORE_OFFICE_PORT]: 50051. *)
  database : Uri.t;  (** [--database], [STORE_DATABASE]. *)
  keys : Soil_http.Signed.keys Lazy.t;
      (** [--session-keys], [STORE_SESSION_KEYS]; else a random one. *)
  token : string option;  (** [--token], [STORE_TOKEN]: without it all calls are refused. *)
  proxies : Soil.Net.prefix list;  (** [--proxies], [STORE_PROXIES]: none. *)
  secure_cookies : bool;  (** [--secure-cookies], or [tls]. *)
  tls : (string * string) option;
      (** [--certificate] and [--key]: the files of the chain and of its key, on the needed volume
          [data]. *)
  notify : Uri.t option;  (** [--notify], [STORE_NOTIFY]: receives confirmations. *)
}

val term : t Cmdliner.Term.t
