(** Files as responses, with media types, conditional requests, ranges, and precompressed files.

    {[
      Soil_http.Server.serve listener (Soil_http.Files.handler "/www")
    ]}

    Contents go from the machine's cache, or from the program for embedded files, to the connection
    without a copy in OCaml's memory; short ones together with the head.

    - [If-None-Match], [If-Modified-Since], [If-Match], [If-Unmodified-Since] and [If-Range] are
      supported. Entity tags are derived from size and time; a file changed within the last three
      seconds has a weak one, because its time may not change with the next update. Embedded files
      have no time: their tag is a hash of the contents.
    - The response to [Range] is 206, for several ranges [multipart/byteranges]. Ranges that
      overlap, or are less than 80 bytes apart, are merged, so that a response is never much longer
      than the file; for more than 16 ranges the whole file is sent.
    - If the client accepts [gzip] and a text file [NAME] (also JavaScript, JSON, XML, SVG,
      WebAssembly) has a [NAME.gz], that is sent, with [Content-Encoding: gzip]. *)

val handler :
  ?index:string -> ?gzip:bool -> ?versions:bool -> string -> Server.request -> Server.response
(** [handler root request] is the file at the request's path below the directory [root]. For a
    directory it is its file [index] (default: ["index.html"]); a path without a final slash
    redirects to the one with it (301). Escapes are decoded; the response is 400 to names outside
    [root], 404 to missing files, 405 to methods other than [GET] and [HEAD]. With [~gzip:false]
    (default: [true]) precompressed files aren't used. Waits for the disk. Raises
    {!Soil.exception-Error} if that fails.

    With [~versions:true] (default: [false]) a response is [Cache-Control: immutable] for a year if
    it was asked for by {!versioned}, and otherwise [no-cache]: clients then ask with
    [If-None-Match] each time. *)

val versioned : root:string -> string -> string
(** [versioned ~root "/app.css"] is ["/app.css?v=…"] for the present contents of this file below
    [root], for pages that link it. It changes with the file; within three seconds of a change it is
    the path alone. Raises {!Soil.exception-Error} as {!Soil.Fs.stat}. *)

val file :
  ?headers:Cohttp.Header.t ->
  ?content_type:string ->
  ?gzip:bool ->
  Server.request ->
  string ->
  Server.response
(** [file request path] is the file at [path] as response to [request], a [GET] or [HEAD].
    [content_type] defaults to {!val-content_type}[ path]. Raises {!Soil.exception-Error} as
    {!Soil.Fs.stat}. *)

val content_type : string -> string
(** [content_type path] is the media type for the extension of [path], with the character set UTF-8
    for text; [application/octet-stream] if unknown. *)
