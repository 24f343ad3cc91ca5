(** The store's arguments and needs. *)

(** The type for origins of the store's certificates. *)
type certificates =
  | Files of { chain : string; key : string }
      (** [--certificate] and [--key], on the needed volume [data]. *)
  | Acme of { directory : Uri.t; names : string list }  (** [--acme] and [--domains]. *)

type t = {
  port : int;  (** [--port], [STORE_PORT]: 80. *)
  office_port : int;  (** [--office-port], [STORE_OFFICE_PORT]: 50051. *)
  database : Uri.t;  (** [--database], [STORE_DATABASE]. *)
  keys : Soil_http.Signed.keys Lazy.t;
      (** [--session-keys], [STORE_SESSION_KEYS]; else a random one. *)
  token : string option;  (** [--token], [STORE_TOKEN]: without it all calls are refused. *)
  proxies : Soil.Net.prefix list;  (** [--proxies], [STORE_PROXIES]: none. *)
  secure_cookies : bool;  (** [--secure-cookies], or [tls]. *)
  tls : certificates option;  (** None: HTTP. *)
  notify : Uri.t option;  (** [--notify], [STORE_NOTIFY]: receives confirmations. *)
}

val term : t Cmdliner.Term.t
