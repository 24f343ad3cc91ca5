(* The encoding of a head is what its fields say. *)

let request (meth, resource, version) headers _ =
  { Cohttp.Request.meth; resource; version; headers }

let response (version, status) headers _ = { Cohttp.Response.version; status; headers }
