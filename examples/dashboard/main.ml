(* A page of live metrics on a screen: of the machine, its network, and the program's own web
   server, whose http://…/metrics has them for Prometheus. *)

module Server = Soil_http.Server
module Metrics = Soil_metrics

let screen = Soil.Needs.display "screen" ~doc:"the page"
let every = 0.5
let kept = 120
let requests = Metrics.Counter.v ~help:"Requests that were answered." "dashboard_requests_total"

type figures = {
  arrived : History.t; (* Frames a second. *)
  sent : History.t;
  answered : History.t; (* Requests a second. *)
  mutable pages : int; (* That were shown. *)
  mutable requests : int;
  mutable processor : float; (* The share of it that is used, from 0 to 1. *)
}

let counter name = Option.value ~default:0 (Soil.Machine.counter name)

(* Takes the figures of now, for ever. *)
let observe figures =
  let of_arrived = History.rate () and of_sent = History.rate () in
  let of_answered = History.rate () and of_processor = History.rate () in
  let rec go () =
    let now = Soil.Clock.monotonic () in
    History.add figures.arrived (of_arrived ~now (counter "frames_in"));
    History.add figures.sent (of_sent ~now (counter "frames_out"));
    History.add figures.answered (of_answered ~now figures.requests);
    figures.processor <- of_processor ~now (int_of_float (Sys.time () *. 1e6)) /. 1e6;
    Soil.Clock.sleep every;
    go ()
  in
  go ()

let time_of_day () =
  let seconds = int_of_float (Soil.Clock.now ()) mod 86400 in
  Printf.sprintf "%02d:%02d:%02d UTC" (seconds / 3600) (seconds / 60 mod 60) (seconds mod 60)

let page p ~width ~height figures =
  let open Widgets in
  Soil_draw.clear p 0x10151F;
  let title = Filename.basename Sys.executable_name in
  Soil_draw.text p ~font:Large 0xF2F5FA ~x:20 ~y:14 ("Soil  " ^ title);
  let clock = time_of_day () in
  let clock_width, _ = Soil_draw.text_size ~font:Large clock in
  Soil_draw.text p ~font:Large 0x9AA7BD ~x:(width - 20 - clock_width) ~y:14 clock;
  let all = { x = 20; y = 48; width = width - 40; height = height - 68 } in
  match split 2 `Rows all with
  | [ upper; lower ] -> (
      (match split 3 `Columns upper with
      | [ memory; processor; tasks ] ->
          let { Soil.Machine.in_use; total; _ } = Soil.Machine.memory () in
          let label = Printf.sprintf "%d of %d MiB" (in_use lsr 20) (total lsr 20) in
          let share = float_of_int in_use /. float_of_int (Int.max 1 total) in
          gauge p (card p memory "MEMORY") ~colour:0x4FB3FF ~share label;
          gauge p (card p processor "PROCESSOR") ~colour:0xFFB454 ~share:figures.processor "busy";
          number p (card p tasks "TASKS") (string_of_int (Soil.Machine.scheduler ()).tasks)
      | _ -> assert false);
      match split 2 `Columns lower with
      | [ network; web ] ->
          let series colour name history = (colour, name, History.values history) in
          chart p (card p network "NETWORK")
            [ series 0x5BD6A2 "in" figures.arrived; series 0xE879B9 "out" figures.sent ];
          chart p (card p web "REQUESTS") [ series 0xB79CFF "answered" figures.answered ]
      | _ -> assert false)
  | _ -> assert false

(* Shows the page in the display's size, until that changes. *)
let rec show display figures =
  let rec refresh frames =
    let width, height = Soil_display.size frames in
    page (Soil_display.pixels frames) ~width ~height figures;
    Soil_display.flip frames;
    figures.pages <- figures.pages + 1;
    Soil.Clock.sleep every;
    refresh frames
  in
  Soil_display.with_frames ~keep:false display (fun frames ->
      let changed () = ignore (Soil_display.await_change display) in
      Soil.Task.first [ changed; (fun () -> refresh frames) ]);
  show display figures

let serve figures =
  let listener = Soil.Tcp.listen ~port:80 () in
  print_endline ("listening on " ^ Soil.Net.Endpoint.to_string (Soil.Tcp.local listener));
  Server.serve listener @@ fun request ->
  Metrics.Counter.inc_one requests;
  figures.requests <- figures.requests + 1;
  match (Server.meth request, Server.path request) with
  | `GET, "/" ->
      Server.string (Printf.sprintf "pages %d\nrequests %d\n" figures.pages figures.requests)
  | `GET, "/metrics" ->
      let kind, page = Metrics.page ?accept:(Server.header request "accept") () in
      Server.string ~headers:(Cohttp.Header.init_with "content-type" kind) page
  | _ -> Server.status `Not_found

let () =
  Soil.run @@ fun () ->
  Soil_display.with_display ~name:screen @@ fun display ->
  let history () = History.create kept in
  let figures =
    {
      arrived = history ();
      sent = history ();
      answered = history ();
      pages = 0;
      requests = 0;
      processor = 0.;
    }
  in
  Soil.Task.scope @@ fun scope ->
  ignore (Soil.Task.spawn_daemon scope (fun () -> observe figures));
  ignore (Soil.Task.spawn_daemon scope (fun () -> serve figures));
  show display figures
