(* Serves the files of the disk `www` over HTTP/1.1, on port 80 or the port given as argument. *)

module D = Soil.File_descriptor

let root = "/www"
let small = 16384 (* up to here, a file goes in one piece with the head of the response *)

exception Shorter of string

(* Sends exactly [size] bytes, as was promised, or breaks the connection off. *)
let send_file connection response file path size =
  let first = Bytes.create (min size small) in
  (try D.really_read file first 0 (Bytes.length first) with End_of_file -> raise (Shorter path));
  Http.respond connection response (Bytes.unsafe_to_string first);
  let left = size - Bytes.length first in
  if left > 0 then
    let buffer = Bigarray.Array1.create Char C_layout 65536 in
    let rec go left =
      if left > 0 then (
        let n = D.read_into file buffer 0 (min left 65536) in
        if n = 0 then raise (Shorter path);
        Http.send connection buffer n;
        go (left - n))
    in
    go left

let page connection request ~head_only ~keep_alive path size modified content_type =
  let date = Date.to_string modified in
  let fields = [ ("content-type", content_type); ("last-modified", date) ] in
  if Cohttp.Header.get (Cohttp.Request.headers request) "if-modified-since" = Some date then
    Http.respond connection (Server.response ~fields ~keep_alive ~size:0 `Not_modified) ""
  else
    let response = Server.response ~fields ~keep_alive ~size `OK in
    if head_only then Http.respond connection response ""
    else Soil.Fs.with_file path (fun file -> send_file connection response file path size)

let answer connection request ~keep_alive =
  match Cohttp.Request.meth request with
  | (`GET | `HEAD) as meth -> (
      let head_only = meth = `HEAD in
      match Pages.find ~root (Cohttp.Request.resource request) with
      | Page { path; size; modified; content_type } ->
          page connection request ~head_only ~keep_alive path size modified content_type
      | Moved target ->
          Server.short connection ~keep_alive ~head_only
            ~fields:[ ("location", Uri.to_string (Uri.make ~path:target ())) ]
            `Moved_permanently
      | Missing -> Server.short connection ~keep_alive ~head_only `Not_found
      | Malformed -> Server.short connection ~keep_alive ~head_only `Bad_request
      | exception Soil.Error e ->
          prerr_endline ("website: " ^ Soil.Error.to_string e);
          Server.short connection ~keep_alive ~head_only `Internal_server_error)
  | _ -> Server.short connection ~keep_alive ~fields:[ ("allow", "GET, HEAD") ] `Method_not_allowed

let client = Server.connection ~keeps:(fun request -> not (Http.has_body request)) answer

let url port =
  let addresses =
    List.concat_map (fun (i : Soil.Net.interface) -> i.addresses) (Soil.Net.interfaces ())
  in
  let address =
    match List.find_opt (fun (a, _) -> Soil.Net.Address.is_v4 a) addresses with
    | Some (a, _) -> a
    | None -> Soil.Net.loopback
  in
  let host = Soil.Net.Address.to_string address in
  "http://" ^ host ^ if port = 80 then "/" else ":" ^ string_of_int port ^ "/"

let serve port =
  Soil.run @@ fun () ->
  let site = Soil.Fs.stat root in
  if site.kind <> Directory then Soil.Error.fail Not_directory "website" ~subject:root;
  let listener = Soil.Tcp.listen ~port () in
  Soil.Net.wait_up ();
  print_endline (url port ^ " serves " ^ root);
  Soil.Tcp.serve ~grace:1. listener client

let () =
  Printexc.register_printer Soil.Error.printer;
  match Sys.argv with
  | [| _ |] | [| _; _ |] -> (
      let port = if Array.length Sys.argv = 1 then Some 80 else int_of_string_opt Sys.argv.(1) in
      match port with
      | Some port when port > 0 && port < 65536 -> (
          match Soil.Error.catch (fun () -> serve port) with
          | Ok () -> ()
          | Error e ->
              prerr_endline ("website: " ^ Soil.Error.to_string e);
              exit 1)
      | Some _ | None ->
          prerr_endline "website: the port has to be a number between 1 and 65535";
          exit 2)
  | _ ->
      prerr_endline "usage: website [PORT]";
      exit 2
