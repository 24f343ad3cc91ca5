external take_precedence : unit -> unit = "soil_threads_take_precedence" [@@noalloc]
external computing_begins : unit -> unit = "soil_threads_computing_begins" [@@noalloc]
external computing_ends : unit -> unit = "soil_threads_computing_ends" [@@noalloc]

let () =
  Soil.Threads.register ();
  take_precedence ()

let computing f =
  computing_begins ();
  Soil.Private.finally computing_ends f

let blocking f =
  let wait () =
    Soil.Task.scope @@ fun scope ->
    let inbox = Soil.Inbox.create scope in
    let ended = Soil.Task.Promise.create () in
    let work () =
      let result =
        match computing f with v -> Ok v | exception e -> Error (e, Printexc.get_raw_backtrace ())
      in
      Soil.Inbox.post inbox (fun () -> Soil.Task.Promise.fulfil ended result)
    in
    let thread = Thread.create work () in
    let result = Soil.Task.Promise.await ended in
    Thread.join thread;
    result
  in
  let result = Soil.Task.protect wait in
  Soil.Task.check ();
  match result with Ok v -> v | Error (e, backtrace) -> Printexc.raise_with_backtrace e backtrace
