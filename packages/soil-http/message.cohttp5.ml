let request (meth, resource, version) headers encoding =
  { Cohttp.Request.meth; scheme = None; resource; version; headers; encoding }

let response (version, status) headers encoding =
  { Cohttp.Response.version; status; headers; encoding; flush = false }
