(** From the target of a request to a file of the site. *)

(** The type for what a target stands for. *)
type t =
  | Page of { path : string; size : int; modified : float; content_type : string }
  | Moved of string  (** A directory without the last slash: the target with it. *)
  | Missing
  | Malformed  (** Such as one that would lead out of the site. *)

val find : root:string -> string -> t
(** [find ~root target] is what the target of a request ([/about.html?x=1]) stands for below [root].
    A directory stands for its [index.html]. Waits for the disk.
    @raise Soil.Error as [Soil.Fs.stat], except for files that aren't there. *)
