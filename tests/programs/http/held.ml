(* held [FOLDER]: what strangers can make a program hold: HTTP at port 8000, and over TLS at 8443 with
   the certificate in a folder; values of RESP at 6379, messages of DNS over TCP at 5353, and lines at
   7000, without a word about memory. GET /x is the honest client's. GET /memory collects all garbage,
   and tells what is held: by peers, in buffers of TCP, by how many connections, in OCaml's heap; and
   what isn't free. *)
module Server = Soil_http.Server
module Websocket = Soil_http.Websocket
module Form = Soil_http.Form
module D = Soil.File_descriptor
module R = Soil.Reader

let number n = Server.string (string_of_int n ^ "\n")
let block = Bytes.make 65536 'x'
let rec receive ws = match Websocket.receive ws with Some _ -> receive ws | None -> ()

let memory () =
  Gc.compact ();
  let network = Soil.Net.statistics () and machine = Soil.Machine.memory () in
  let count name = Option.value (List.assoc_opt name network) ~default:0 in
  [
    (Soil.Budget.statistics ()).held;
    count "tcp.memory";
    count "tcp.connections" - count "tcp.time-wait";
    Sys.word_size / 8 * (Gc.quick_stat ()).heap_words;
    machine.total - machine.free;
  ]

let answer request =
  match Server.path request with
  | "/up" -> number (String.length (Server.body_string request))
  | "/form" -> number (List.length (Form.read request))
  | "/text" -> Server.string (String.make 500_000 'x')
  | "/memory" -> Server.string (String.concat " " (List.map string_of_int (memory ())) ^ "\n")
  | "/ws" -> Websocket.accept request receive
  | "/big" ->
      Server.stream (fun sink ->
          for _ = 1 to 1600 do
            D.write sink block 0 (Bytes.length block)
          done)
  | _ -> Server.string "here\n"

(* Counts the words of each request, and holds them until then. *)
let resp c =
  let r = R.create c in
  let length first =
    if R.char r <> first then raise End_of_file;
    int_of_string (R.line r)
  in
  let word _ =
    let n = min (1 lsl 20) (length '$') in
    Soil.Budget.hold n;
    let word = R.take r n in
    ignore (R.line r);
    word
  in
  let request () =
    let words = List.init (min 1000 (length '*')) word in
    D.write_string c (":" ^ string_of_int (List.length words) ^ "\r\n")
  in
  while not (R.at_end r) do
    Soil.Budget.receive request;
    Soil.Budget.give_back max_int
  done

let rec dns r c =
  let n = R.BE.uint16 r in
  Soil.Budget.receive (fun () ->
      Soil.Budget.hold n;
      D.write_string c (string_of_int (String.length (R.take r n))));
  Soil.Budget.give_back n;
  dns r c

let rec lines r c =
  D.write_string c (R.line r ^ "\n");
  lines r c

let secure folder =
  let file suffix = folder ^ "/soil.test." ^ suffix in
  let config = Soil_tls.server_config (Soil_tls.Files.certificates [ (file "pem", file "key") ]) in
  fun c -> Soil_tls.server config c

let () =
  Soil.run @@ fun () ->
  let listen port = Soil.Tcp.listen ~port () in
  let web = listen 8000 and values = listen 6379 and names = listen 5353 in
  Soil.Task.scope @@ fun scope ->
  let serve l f =
    let f c = try f c with End_of_file | Failure _ -> () in
    ignore (Soil.Task.spawn scope (fun () -> Soil.Tcp.serve ~on_error:(fun _ _ -> ()) l f))
  in
  serve values resp;
  serve names (fun c -> dns (R.create c) c);
  (* Waits without a limit: a peer whose reset was lost is found by probes. *)
  serve (listen 7000) (fun c ->
      Soil.Tcp.keepalive c (Some 5.);
      lines (R.create c) c);
  let on_error _ _ = () in
  (if Array.length Sys.argv > 1 then
     let secure = secure Sys.argv.(1) and tls = listen 8443 in
     let serve () = Server.serve ~on_error ~secure tls answer in
     ignore (Soil.Task.spawn scope serve));
  print_endline "ready";
  Server.serve ~on_error web answer
