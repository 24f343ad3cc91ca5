(* Errors that the library and handlers respond with, as the program shows them. *)

module H = Cohttp.Header
open Server_request
open Server_response

(* Whether [e] is the cancellation of this task, not of a task for which a handler waited. *)
let is_cancelled = function
  | Soil.Task.Cancelled -> (
      match Soil.Task.check () with () -> false | exception Soil.Task.Cancelled -> true)
  | _ -> false

module Error = struct
  type t = error = {
    status : Cohttp.Code.status_code;
    detail : string option;
    headers : H.t;
    cause : exn option;
    request : request option;
  }

  let reason e = Status.phrase (Cohttp.Code.code_of_status e.status)

  let text e =
    match e.detail with
    | None -> status ~headers:e.headers e.status
    | Some detail ->
        let headers = H.replace e.headers "content-type" "text/plain; charset=utf-8" in
        string ~status:e.status ~headers (Status.to_string e.status ^ ": " ^ detail ^ "\n")

  let problem e =
    let member name value = "\"" ^ name ^ "\":" ^ value in
    let members =
      [
        member "title" (Json_string.quoted (reason e));
        member "status" (string_of_int (Cohttp.Code.code_of_status e.status));
      ]
      @ match e.detail with Some d -> [ member "detail" (Json_string.quoted d) ] | None -> []
    in
    let headers = H.replace e.headers "content-type" "application/problem+json" in
    string ~status:e.status ~headers ("{" ^ String.concat "," members ^ "}")
end

(* The error as the program shows it; as text if that fails, too. *)
let rendered render e =
  match render with
  | None -> Error.text e
  | Some render -> ( try render e with failure when not (is_cancelled failure) -> Error.text e)

let error ?(headers = H.init ()) ?detail ?cause ?(default = Error.text) r status =
  let e = { status; detail; headers; cause; request = Some r } in
  rendered (match r.render with None -> Some default | render -> render) e
