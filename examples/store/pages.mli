(** The page for browsers: files that are embedded in the program. *)

val routes : Soil_http.Router.route list
(** [routes] is the page at [/], and its style and script. *)
