(* What keys type. Events of devices are tested by tests/cases/display.py. *)

module Input = Soil_input

let device number =
  {
    Input.number;
    name = "";
    serial = "";
    ids = [];
    properties = [];
    keys = [];
    relative = [];
    absolute = [];
    switches = [];
    leds = [];
    repeats = true;
  }

let event ?(number = 0) code action =
  { Input.time = 0.; device = device number; what = Key { code; action } }

(* Presses keys one after the other; [+42] holds a key, [-42] releases it. *)
let typed layout keys =
  let typing = Input.Typing.create (Option.get (Input.Layout.find layout)) in
  let feed code action = Input.Typing.feed typing (event code action) in
  let one word =
    let code () = int_of_string (String.sub word 1 (String.length word - 1)) in
    match word.[0] with
    | '+' -> feed (code ()) `Press
    | '-' -> feed (code ()) `Release
    | _ ->
        let text = feed (int_of_string word) `Press in
        text ^ feed (int_of_string word) `Release
  in
  String.concat "" (List.map one (String.split_on_char ' ' keys))

let types layout keys text () = Alcotest.(check string) keys text (typed layout keys)

let lost () =
  let typing = Input.Typing.create Input.Layout.us in
  let feed = Input.Typing.feed typing in
  ignore (feed (event 42 `Press));
  ignore (feed (event ~number:1 54 `Press));
  Alcotest.(check string) "Shift" "A" (feed (event 30 `Press));
  ignore (feed { (event 0 `Press) with what = Lost });
  Alcotest.(check string) "the other keyboard's" "A" (feed (event 30 `Repeat));
  ignore (feed (event ~number:1 54 `Release));
  Alcotest.(check string) "none" "a" (feed (event 30 `Press))

let no_device () =
  match Input.open_ () with
  | _ -> Alcotest.fail "there is none"
  | exception Soil.Error { code = No_device; detail; _ } ->
      Alcotest.(check string)
        "detail" "there is no keyboard or pointer: give soil run --display window" detail

let wrong () =
  let refuses repeat =
    match Input.open_ ~repeat:(Some repeat) () with
    | _ -> Alcotest.fail "not refused"
    | exception Invalid_argument _ -> ()
  in
  List.iter refuses [ (0., 1.); (1., 1e-10); (3601., 1.); (Float.nan, 1.) ]

let () =
  let case (layout, keys, text) =
    Alcotest.test_case (layout ^ ": " ^ keys) `Quick (types layout keys text)
  in
  Alcotest.run "soil-display.input"
    [
      ( "typing",
        List.map case
          [
            ("us", "30 48 57 2", "ab 1");
            ("us", "+42 30 2 -42 30", "A!a");
            ("us", "58 30 2 +54 30 2 -54 58 30", "A1a!a");
            (* Enter, Backspace and Tab are keys; so are those with Ctrl. *)
            ("us", "28 14 15 1 +29 46 -29 46", "c");
            ("us", "71 69 71 69 71", "77");
            ("us", "200 99999", "");
            ("de", "21 44 12 40", "zyßä");
            ("de", "+100 16 18 -100 18", "@€e");
            (* Dead: acute and e, circumflex alone, acute twice, acute before what it can't be on. *)
            ("de", "13 18 41 57 13 13 13 45", "é^´´x");
            ("de", "13 +42 18 -42", "É");
            ("fr", "2 +42 2 -42 16 3", "&1aé");
            ("fr", "26 18", "ê");
            ("ru", "33 +42 33 -42", "аА");
            ("gr", "39 30", "ά");
          ] );
      ( "state",
        [
          Alcotest.test_case "lost events release keys" `Quick lost;
          Alcotest.test_case "no device" `Quick no_device;
          Alcotest.test_case "repetition" `Quick wrong;
        ] );
    ]
