let responses : (string * int, int) Hashtbl.t = Hashtbl.create 16

let count ~meth status =
  (* A client can make up methods, and each would be kept. *)
  let name = match meth with `Other _ -> "other" | meth -> Cohttp.Code.string_of_method meth in
  let key = (name, Cohttp.Code.code_of_status status) in
  let so_far = Option.value (Hashtbl.find_opt responses key) ~default:0 in
  Hashtbl.replace responses key (so_far + 1)

let rec children above list =
  List.concat_map
    (fun (h : Soil.Supervisor.health) ->
      let path = above ^ h.name in
      (path, h) :: children (path ^ "/") h.children)
    list

let page supervisor =
  let text = Buffer.create 1024 in
  let header name kind help =
    Printf.bprintf text "# HELP %s %s\n# TYPE %s %s\n" name help name kind
  in
  let children = children "" (Soil.Supervisor.health supervisor) in
  header "service_responses_total" "counter" "Responses by method and status.";
  List.iter
    (fun ((meth, status), n) ->
      Printf.bprintf text "service_responses_total{method=%S,status=\"%d\"} %d\n" meth status n)
    (List.sort compare (List.of_seq (Hashtbl.to_seq responses)));
  header "service_child_ready" "gauge" "1 if this part of the service is ready.";
  List.iter
    (fun (path, (h : Soil.Supervisor.health)) ->
      let ready = match h.state with Ready -> 1 | _ -> 0 in
      Printf.bprintf text "service_child_ready{child=%S} %d\n" path ready)
    children;
  header "service_child_restarts_total" "counter" "Restarts of this part of the service.";
  List.iter
    (fun (path, (h : Soil.Supervisor.health)) ->
      Printf.bprintf text "service_child_restarts_total{child=%S} %d\n" path h.restarts)
    children;
  Buffer.contents text
