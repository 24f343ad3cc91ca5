(* re, yojson, cmdliner, fmt and logs: texts in and out. *)
let () =
  let date =
    Re.(compile (seq [ group (repn digit 4 (Some 4)); char '-'; group (repn digit 2 (Some 2)) ]))
  in
  List.iter
    (fun groups -> Printf.printf "%s of %s\n" (Re.Group.get groups 2) (Re.Group.get groups 1))
    (Re.all date "from 2024-05 to 2025-11");
  print_endline
    (Re.replace_string (Re.Pcre.regexp ~flags:[ `CASELESS ] "soil") ~by:"Erde" "Soil and soil")

let () =
  let json =
    Yojson.Safe.from_string
      {|{"name": "grüße", "list": [1, 2.5, null, true], "deep": {"x": "\u00e9"}}|}
  in
  let open Yojson.Safe.Util in
  Printf.printf "%s %d\n"
    (json |> member "name" |> to_string)
    (json |> member "list" |> to_list |> List.length);
  print_endline (Yojson.Safe.to_string json);
  print_endline (Yojson.Safe.pretty_to_string (member "deep" json));
  match Yojson.Safe.from_string "[1, 2" with
  | _ -> print_endline "parsed"
  | exception Yojson.Json_error text -> print_endline (List.hd (String.split_on_char '\n' text))

let () =
  Fmt.pr "%a@." Fmt.(Dump.list (Dump.pair int string)) [ (1, "one"); (2, "two") ];
  Fmt.pr "@[<v 2>box@,%a@]@." Fmt.(list ~sep:cut int) [ 1; 2; 3 ];
  Logs.set_reporter
    (Logs_fmt.reporter
       ~pp_header:(fun formatter (level, _) -> Fmt.pf formatter "%a: " Logs.pp_level level)
       ~app:Fmt.stdout ~dst:Fmt.stdout ());
  Logs.set_level (Some Logs.Info);
  Logs.app (fun m -> m "started with %d" 3);
  Logs.info (fun m -> m "information");
  Logs.debug (fun m -> m "not seen")

let () =
  let open Cmdliner in
  let count = Arg.(value & opt int 1 & info [ "c"; "count" ] ~doc:"How often.") in
  let words = Arg.(non_empty & pos_all string [] & info [] ~docv:"WORD") in
  let say count words =
    for _ = 1 to count do
      print_endline (String.concat " " words)
    done
  in
  let command = Cmd.v (Cmd.info "texts" ~version:"1.0") Term.(const say $ count $ words) in
  (* Its versions word errors differently: what counts is that one names the value. *)
  let run argv =
    let text = Buffer.create 100 in
    let errors = Format.formatter_of_buffer text in
    let status = Cmd.eval ~argv ~err:errors command in
    Format.pp_print_flush errors ();
    let named = Re.execp (Re.compile (Re.str "none")) (Buffer.contents text) in
    Printf.printf "status %d%s\n%!" status (if named then ", the value is named" else "")
  in
  run [| "texts"; "-c"; "2"; "hello"; "there" |];
  run [| "texts"; "--count=none"; "x" |];
  run [| "texts"; "--version" |]
