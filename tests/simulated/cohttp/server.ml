(* Answers a path of a number with so many times ten thousand of its last digit. A connection
   ends after two seconds. *)

let callback _ request _ =
  let path = Cohttp.Request.resource request in
  let number = int_of_string (String.sub path 1 (String.length path - 1)) in
  let body = String.make (10_000 * number) (Char.chr (Char.code '0' + (number mod 10))) in
  Cohttp_lwt_unix.Server.respond_string ~status:`OK ~body ()

let () =
  Lwt_unix.set_default_async_method Async_none;
  (Lwt.async_exception_hook := fun _ -> ());
  Lwt_main.run
    (Cohttp_lwt_unix.Server.create ~timeout:2
       ~mode:(`TCP (`Port 80))
       (Cohttp_lwt_unix.Server.make ~callback ()))
