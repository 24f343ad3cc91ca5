(* Fields by https://www.w3.org/TR/trace-context-2/, the sampler, and identifiers. *)
open Collector
module Context = Otel.Trace_context

let id = trace_id
let parsed ?(state = []) parents = Context.of_fields ~traceparent:parents ~tracestate:state

let printed ?state parents =
  match parsed ?state parents with
  | None -> "none"
  | Some c -> String.concat " " (List.map snd (Context.to_fields c))

let parents () =
  let one what expected text = string what expected (printed [ text ]) in
  let valid ?(flags = "01") what text =
    one what (String.concat "-" [ "00"; id; parent_id; flags ]) text
  and invalid what text = one what "none" text in
  let with_ ?(version = "00") ?(trace = id) ?(parent = parent_id) ?(flags = "01") rest =
    String.concat "-" [ version; trace; parent; flags ] ^ rest
  in
  valid "usual" (with_ "");
  valid "spaces" ("\t " ^ with_ " \t");
  valid ~flags:"00" "not sampled" (with_ ~flags:"00" "");
  valid ~flags:"02" "random" (with_ ~flags:"02" "");
  valid ~flags:"03" "unknown flags" (with_ ~flags:"ff" "");
  valid "a later version" (with_ ~version:"cc" "");
  valid "a longer one" (with_ ~version:"cc" "-what-the-future-has");
  invalid "a longer one without a dash" (with_ ~version:"cc" ".what");
  invalid "version 00 with more" (with_ "-more");
  invalid "version 00 with a point" (with_ ".");
  invalid "version ff" (with_ ~version:"ff" "");
  List.iter (fun version -> invalid "version" (with_ ~version "")) [ ".0"; "0."; "000"; "0"; "" ];
  invalid "zero trace" (with_ ~trace:(String.make 32 '0') "");
  invalid "zero parent" (with_ ~parent:(String.make 16 '0') "");
  invalid "upper case" (with_ ~trace:(String.uppercase_ascii id) "");
  invalid "upper case in the parent" (with_ ~parent:"00F067AA0BA902B7" "");
  invalid "upper case in the version" (with_ ~version:"CC" "");
  invalid "long trace" (with_ ~trace:(id ^ "0") "");
  invalid "short trace" (with_ ~trace:(String.sub id 1 31) "");
  invalid "long parent" (with_ ~parent:(parent_id ^ "0") "");
  invalid "short parent" (with_ ~parent:(String.sub parent_id 1 15) "");
  List.iter (fun flags -> invalid "flags" (with_ ~flags "")) [ ".0"; "0."; "001"; "1"; "0A" ];
  invalid "no flags" ("00-" ^ id ^ "-" ^ parent_id);
  invalid "empty" "";
  string "two" "none" (printed [ with_ ""; with_ "" ]);
  string "none" "none" (printed [])

let states () =
  let one what expected state =
    let expected = if expected = "" then traceparent () else traceparent () ^ " " ^ expected in
    string what expected (printed ~state [ traceparent () ])
  in
  let kept what text = one what text [ text ] and dropped what state = one what "" state in
  let many n = String.concat "," (List.init n (fun i -> Printf.sprintf "bar%02d=%02d" i i)) in
  kept "one" "foo=1";
  one "several fields" "foo=1,bar=2,rojo=1,baz=3" [ "foo=1,bar=2"; "rojo=1"; "baz=3" ];
  one "spaces" "foo=1,bar=2" [ " foo=1 \t , \t bar=2, " ];
  one "an empty field" "foo=1" [ ""; "foo=1" ];
  dropped "empty" [ "" ];
  kept "characters" "abcxyz0189_-*/=!\"#$%&'()*+-./0:;<>?@AZ[\\]^_`az{|}~ x";
  kept "a tenant" "0a-z*/_@sys-t*m/0_=1";
  kept "32 members" (many 32);
  dropped "33 members" [ many 33 ];
  dropped "a key twice" [ "foo=1,foo=1" ];
  dropped "a key twice in two fields" [ "foo=1"; "foo=2" ];
  List.iter
    (fun member -> dropped member [ "bar=2"; member ])
    [
      "foo"; "foo =1"; "FOO=1"; "foo.bar=1"; "=1"; "foo="; "foo=bar=baz"; "@foo=1"; "_foo=1";
      "foo=\xc3\xa4"; "foo=\x7f";
    ] [@ocamlformat "disable"];
  kept "a long key" (String.make 256 'z' ^ "=1");
  dropped "a longer key" [ "foo=1"; String.make 257 'z' ^ "=1" ];
  (* §3.3.1.3.1: level 2 has no tenants; [@] is a character as others. *)
  List.iter
    (fun member -> kept member member)
    [ "foo@=1"; "foo@@bar=1"; "foo@bar@baz=1"; "foo@0=1" ];
  kept "a long tenant" (String.make 241 't' ^ "@" ^ String.make 14 'v' ^ "=1");
  kept "a longer tenant" (String.make 242 't' ^ "@v=1");
  kept "a longer system" ("t@" ^ String.make 15 'v' ^ "=1");
  dropped "a longer key with a tenant" [ String.make 241 't' ^ "@" ^ String.make 15 'v' ^ "=1" ];
  dropped "a longer value" [ "foo=" ^ String.make 257 '1' ];
  (* More than 512 bytes: long members go first, then the last ones. *)
  let long key n = key ^ "=" ^ String.make n 'x' in
  one "long members" "foo=1,bar=2" [ long "a" 250; "foo=1"; long "b" 250; "bar=2"; long "c" 127 ];
  let short i = long (String.make 1 (Char.chr (Char.code 'a' + i))) 126 in
  one "the last members"
    (String.concat "," (List.init 3 short))
    [ String.concat "," (List.init 5 short) ]

let in_run f = Soil.run f

(* Never more than what W3C allows, whatever comes. *)
let any_fields =
  let gen =
    QCheck2.Gen.(
      pair
        (string_size ~gen:(oneofl [ '0'; 'a'; 'f'; '-'; 'F'; ' ' ]) (int_bound 70))
        (list_size (int_bound 3)
           (string_size ~gen:(oneofl [ 'a'; '='; ','; '@'; ' '; '0'; '\xff' ]) (int_bound 700))))
  in
  let law (parent, state) =
    let ok c =
      String.length c.Context.state <= 512
      && String.length c.trace_id = 32
      && c.flags land 3 = c.flags
    in
    Option.fold ~none:true ~some:ok (parsed ~state [ parent ])
    && Option.fold ~none:false ~some:ok (parsed ~state [ traceparent () ])
  in
  QCheck2.Test.make ~count:2000 ~name:"any fields" gen law

let round_trip =
  let gen = QCheck2.Gen.(int_bound 3) in
  let law flags =
    in_run @@ fun () ->
    let c = Context.root ~randomness:(Context.draw ()) ~flags ~state:"a=b" in
    let values name = List.filter_map (fun (n, v) -> if n = name then Some v else None) in
    let fields = Context.to_fields c in
    Context.of_fields ~traceparent:(values "traceparent" fields)
      ~tracestate:(values "tracestate" fields)
    = Some c
  in
  QCheck2.Test.make ~count:100 ~name:"round trip" gen law

(* Which of these traces are recorded. *)
let sampled sampler contexts =
  let recorded = ref [] in
  ignore
    (exporting ~sampler (fun _ _ ->
         let one c =
           Otel.with_span ~parent:(Remote c) "one" (fun span ->
               recorded := Otel.is_recording span :: !recorded)
         in
         List.iter one contexts));
  List.rev !recorded

let ending ?(flags = 0) randomness = Context.root ~randomness ~flags ~state:""

let ratios () =
  let numbers = [ 0; 0x7fffffffffffff; 0x80000000000000; 0xffffffffffffff ] in
  let check what ?flags sampler expected =
    let contexts = List.map (ending ?flags) numbers in
    Alcotest.(check (list bool)) what expected (sampled sampler contexts)
  in
  check "all" (Ratio 1.) [ true; true; true; true ];
  check "none" (Ratio 0.) [ false; false; false; false ];
  check "half" (Ratio 0.5) [ false; false; true; true ];
  check "half, whatever the parent did" ~flags:1 (Ratio 0.5) [ false; false; true; true ];
  check "few" (Ratio 0.0001) [ false; false; false; true ];
  check "the parent" (Parent_or 1.) [ false; false; false; false ];
  check "the parent's flag" ~flags:1 (Parent_or 0.) [ true; true; true; true ]

(* What a decision that isn't the parent's does to the parent's threshold, by
   https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/. *)
let thresholds () =
  let one what ?(sampler = Otel.Ratio 0.25) ?(randomness = 0) is_recorded state expected =
    ignore
      (exporting ~sampler (fun _ _ ->
           let c = Context.root ~randomness ~flags:1 ~state in
           Otel.with_span ~parent:(Remote c) "outer" @@ fun span ->
           bool what is_recorded (Otel.is_recording span);
           let state span = (Option.get (Otel.context span)).state in
           string what expected (state span);
           Otel.with_span "inner" (fun span -> string (what ^ ", inside") expected (state span))))
  in
  let rv = "rv:ffffffffffffff" and most = 0xffffffffffffff in
  one "the parent's" ~sampler:(Parent_or 0.25) true "ot=th:8,a=b" "ot=th:8,a=b";
  one "not recorded" false "ot=th:8,a=b" "a=b";
  one "recorded" ~randomness:most true "a=b,ot=th:8" "ot=th:c,a=b";
  one "without a threshold" ~randomness:most true "" "ot=th:c";
  one "the parent's number" true ("ot=th:8;" ^ rv) ("ot=th:c;" ^ rv);
  one "a small one" ~randomness:most false "ot=rv:00000000000000;x:1" "ot=rv:00000000000000;x:1";
  List.iter
    (fun rv -> one rv false ("ot=" ^ rv) ("ot=" ^ rv))
    [ "rv:fffffffffffff"; "rv:fffffffffffffff"; "rv:fffffffffffffg"; "rv:FFFFFFFFFFFFFF" ];
  let full = String.concat "," (List.init 32 (Printf.sprintf "a%d=1")) in
  one "32 members" ~randomness:most true full
    ("ot=th:c," ^ String.sub full 0 (String.length full - 6));
  let long = "x:" ^ String.make 250 'x' in
  one "a long member" ~randomness:most true ("ot=" ^ long ^ ",a=b") "a=b"

(* The part of new traces, and the threshold that they carry. *)
let new_traces () =
  let n = 4000 and recorded = ref 0 in
  let c =
    exporting ~sampler:(Parent_or 0.25) (fun _ _ ->
        for _ = 1 to n do
          Otel.with_span "root" (fun span ->
              let context = Option.get (Otel.context span) in
              if Otel.is_recording span then incr recorded;
              bool "by the trace's id" (Otel.is_recording span)
                (Context.randomness context >= 0xc0000000000000);
              bool "random" true (context.flags land Context.random <> 0);
              string "threshold" (if Otel.is_recording span then "ot=th:c" else "") context.state;
              Otel.with_span "child" (fun child ->
                  bool "as the root" (Otel.is_recording span) (Otel.is_recording child)))
        done)
  in
  bool "a quarter" true (!recorded > 800 && !recorded < 1200);
  int "sent" (2 * !recorded) (List.length (spans c))

let invalid () =
  let refused sampler =
    match sampled sampler [] with _ -> Alcotest.fail "taken" | exception Invalid_argument _ -> ()
  in
  refused (Ratio 1.1);
  refused (Ratio (-0.1));
  refused (Parent_or Float.nan);
  bool "not running" false (Otel.is_running ())

let unique () =
  let one _ = Context.root ~randomness:0 ~flags:0 ~state:"" in
  let all = List.init 10000 one in
  let different what id =
    int what 10000 (List.length (List.sort_uniq String.compare (List.map id all)))
  in
  different "traces" (fun c -> c.Context.trace_id);
  different "spans" (fun c -> c.Context.span_id);
  different "children" (fun c -> (Context.child c ~is_sampled:false).span_id)

let tests =
  let property cell = Alcotest.test_case (QCheck2.Test.get_name cell) `Quick in
  let run (QCheck2.Test.Test cell as t) = property cell (fun () -> QCheck2.Test.check_exn t) in
  [
    test "traceparent" parents;
    test "tracestate" states;
    run any_fields;
    run round_trip;
    test "ratios" ratios;
    test "thresholds" thresholds;
    test "new traces" new_traces;
    test "invalid ratios" invalid;
    test "identifiers" unique;
  ]
