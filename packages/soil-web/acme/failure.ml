type t = {
  operation : string;
  subject : string;
  problem : Problem.t option;
  detail : string;
  retry_after : float option;
}

exception Failed of t

let to_string f =
  let reason =
    match f.problem with
    | Some p when f.detail = "" -> Problem.to_string p
    | Some p -> Problem.to_string p ^ " (" ^ f.detail ^ ")"
    | None -> f.detail
  in
  Printf.sprintf "acme %s %s: %s" f.operation f.subject reason

let fail ?problem ?retry_after ?(detail = "") operation subject =
  Soil_backtrace.raise (Failed { operation; subject; problem; detail; retry_after })

let describe = function
  | Failed f -> to_string f
  | Soil.Error.Error e -> Soil.Error.to_string e
  | Soil_http.Client.Failed (uri, problem) ->
      Uri.to_string uri ^ ": " ^ Soil_http.Client.problem_to_string problem
  | Soil.Task.Timeout s -> Printf.sprintf "no result in %.0f s" s
  | e -> Printexc.to_string e
