(* Prints the events of all input devices until Escape. *)

module Input = Soil_input

let name (e : Input.event) =
  match e.what with
  | Key { code; action } ->
      let action = match action with `Press -> "+" | `Repeat -> "=" | `Release -> "-" in
      Printf.sprintf "key %s%d" action code
  | Motion { dx; dy } -> Printf.sprintf "motion %d %d" dx dy
  | Position { x; y } -> Printf.sprintf "position %.3f %.3f" x y
  | Wheel { dx; dy } -> Printf.sprintf "wheel %d %d" dx dy
  | Touch { finger; phase; x; y } ->
      let phase = match phase with `Begin -> "+" | `Move -> "=" | `End -> "-" in
      Printf.sprintf "touch %s%d %.3f %.3f" phase finger x y
  | Lost -> "lost"
  | Other { kind; code; value } -> Printf.sprintf "other %d %d %d" kind code value

let () =
  Soil.run @@ fun () ->
  Input.with_devices ~repeat:None @@ fun input ->
  let device (d : Input.device) =
    Printf.printf "device %s keys=%b axes=%d leds=%d\n" d.name (List.mem 30 d.keys)
      (List.length d.absolute) (List.length d.leds);
    if List.mem 1 d.leds then Input.set_led input d 1 true
  in
  List.iter device (Input.devices input);
  print_endline "ready";
  let typing = Input.Typing.create Input.Layout.us in
  let typed = Buffer.create 16 in
  let rec go last =
    let e = Input.next input in
    if e.time < last then print_endline "time goes back";
    print_endline (name e);
    Buffer.add_string typed (Input.Typing.feed typing e);
    match e.what with Key { code = 1; action = `Release } -> () | _ -> go e.time
  in
  go 0.;
  print_endline ("typed " ^ Buffer.contents typed)
