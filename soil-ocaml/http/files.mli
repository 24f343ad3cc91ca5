(** Files as responses: with types, conditional requests, ranges, and compressed siblings.

    {[
      Soil_http.Server.serve listener (Soil_http.Files.handler "/www")
    ]}

    Contents go from the machine's cache, or from the program for embedded files, to the connection
    without a copy in OCaml's memory; short ones with the head in one piece.

    - [If-None-Match], [If-Modified-Since], [If-Match], [If-Unmodified-Since] and [If-Range] are
      heeded. Entity tags are made of size and time; a file that was changed within the last three
      seconds has a weak one, since its time may not tell the next change. Embedded files have no
      time: their tag is of the contents.
    - [Range] is answered with 206, several ranges by [multipart/byteranges]. Those that overlap, or
      are less than 80 bytes apart, become one, so that a response is never much longer than the
      file; of more than 16 ranges the whole file is sent.
    - If the client takes [gzip] and there is [NAME.gz] beside a file [NAME] of text (also
      JavaScript, JSON, XML, SVG, WebAssembly), that is sent, with [Content-Encoding: gzip]. *)

val handler : ?index:string -> ?gzip:bool -> string -> Server.request -> Server.response
(** [handler root request] is the file below the directory [root] that the request's path names. A
    directory stands for its file [index] (default: ["index.html"]), and without a slash at its end
    redirects to the path with it (301). Escapes are decoded; names that would lead out of [root]
    are refused with 400, missing files are 404, other methods than [GET] and [HEAD] 405. Without
    [gzip] (default: [true]) no siblings are looked for. Waits for the disk. Raises
    {!Soil.exception-Error} if that fails. *)

val file :
  ?headers:Cohttp.Header.t ->
  ?content_type:string ->
  ?gzip:bool ->
  Server.request ->
  string ->
  Server.response
(** [file request path] is the file at [path] as answer to [request], a [GET] or [HEAD].
    [content_type] is {!val-content_type}[ path] unless given. Raises {!Soil.exception-Error} as
    {!Soil.Fs.stat}. *)

val content_type : string -> string
(** [content_type path] is the media type that the extension of [path] stands for, with the
    character set UTF-8 if it is text; [application/octet-stream] if it isn't known. *)
