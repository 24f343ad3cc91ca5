(** Pages that show a handler's exception, for development.

    {[
      let app = if development then Error_page.handler app else app
    ]}

    Only programs that name this module link it. *)

val handler : (Server.request -> Server.response) -> Server.request -> Server.response
(** [handler f] is [f]; [handler] is a {!Middleware.t}. If [f] raises, the response is a page with
    the exception, its backtrace and the request: HTML for browsers ([Accept] has [text/html]), text
    for others. The exception is reported as without it. Errors without an exception remain as they
    are.

    {b Never} use it where strangers are: it shows what exceptions and requests contain, passwords
    too. *)
