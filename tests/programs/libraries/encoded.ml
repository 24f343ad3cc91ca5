(* ppx_yojson_conv, ppx_deriving_yojson, js_of_ocaml's deriving json, lwt_ppx: derived codecs of a
   server. *)

module By_deriving = struct
  type colour = Red | Mixed of int * int [@@deriving yojson]

  type item = { name : string; count : int; [@default 1] colours : colour list [@key "c"] }
  [@@deriving yojson { strict = false }]
end

let () =
  (match By_deriving.item_of_yojson (Yojson.Safe.from_string Encoded_by_conv.text) with
  | Ok item ->
      print_endline (Yojson.Safe.to_string (By_deriving.item_to_yojson { item with count = 3 }))
  | Error reason -> print_endline reason);
  match By_deriving.item_of_yojson (Yojson.Safe.from_string Encoded_by_conv.broken) with
  | Ok _ -> print_endline "decoded"
  | Error reason -> print_endline reason

(* What a server and its clients in browsers exchange. *)
type message = Say of string * float | Several of message list | Leave [@@deriving json]

let () =
  let sent =
    Deriving_Json.to_string [%json: message list] [ Say ("\"hello\"\n", 2.5); Several [ Leave ] ]
  in
  print_endline sent;
  let back = Deriving_Json.from_string [%json: message list] sent in
  Printf.printf "back: %b\n" (back = [ Say ("\"hello\"\n", 2.5); Several [ Leave ] ]);
  match Deriving_Json.from_string [%json: message] "[0,\"unfinished" with
  | _ -> print_endline "decoded"
  | exception Failure _ -> print_endline "deriving json: an error"

let () =
  let work () =
    let%lwt first = Lwt.pause () |> Lwt.map (fun () -> 20) in
    let%lwt () = Lwt_unix.sleep 0.01 in
    try%lwt if first = 20 then Lwt.fail Not_found else Lwt.return 0
    with Not_found -> Lwt.return (first + 1)
  in
  Printf.printf "lwt_ppx: %d\n" (Lwt_main.run (work ()));
  let section = Lwt_log.Section.make "part" in
  let seen = ref [] in
  Lwt_log.default :=
    Lwt_log.make
      ~output:(fun _ level lines ->
        seen := (Lwt_log.string_of_level level ^ ": " ^ String.concat "|" lines) :: !seen;
        Lwt.return_unit)
      ~close:Lwt.return;
  Lwt_main.run (Lwt_log.warning_f ~section "%d left" 3);
  Lwt_main.run (Lwt_log.debug ~section "unseen");
  List.iter print_endline !seen
