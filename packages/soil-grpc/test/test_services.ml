(* Health and reflection. *)
open Check
open App
module S = Grpc.Server
module Health = Grpc.Health
module Wire = Grpc.Wire

let health () =
  Soil.Virtual_clock.run @@ fun () ->
  let health = Health.create () in
  with_rpcs (Health.rpcs health) @@ fun c ->
  let is what expected service = bool what true (Health.check c service = expected) in
  is "the server" (Some Serving) "";
  is "unknown" None "a";
  Health.set health "a" Not_serving;
  is "known" (Some Not_serving) "a";
  let watch = Grpc.Method.server_stream ~service:"grpc.health.v1.Health" "Watch" bytes bytes in
  let request s = Wire.encode (fun b -> Wire.string b 1 s) in
  let follow r =
    let next () = Option.get (Grpc.Reader.next r) in
    let first = next () in
    let start = Soil.Clock.monotonic () in
    Health.set health "other" Serving;
    Health.set health "b" Serving;
    let second = next () in
    Health.set health "b" Not_serving;
    let third = next () in
    bool "at once" true (Soil.Clock.monotonic () = start);
    [ first; second; third ]
  in
  strings "changes" [ "\b\003"; "\b\001"; "\b\002" ]
    (Client.server_stream c watch (request "b") follow)

(* A set of two files: one imports the other. *)
let message n s = Wire.encode (fun b -> Wire.message b n s)
let named = message 1
let described l = String.concat "" l

let base =
  described
    [
      named "base.proto";
      message 2 "base";
      message 5 (described [ named "Kind"; message 2 (named "GOOD") ]);
      message 4
        (described
           [
             named "Outer";
             message 2 (named "field");
             message 3 (described [ named "Inner"; message 8 (named "choice") ]);
           ]);
    ]

let extension =
  described [ named "more"; message 2 ".base.Outer"; Wire.encode (fun b -> Wire.int b 3 100) ]

let top =
  described
    [
      named "top.proto"; message 3 "base.proto"; message 3 "missing.proto";
      message 6 (described [ named "Books"; message 2 (named "List") ]); message 7 extension;
    ]
[@@ocamlformat "disable"]

(* Imports one file in two ways. *)
let both = described [ named "both.proto"; message 3 "top.proto"; message 3 "base.proto" ]
let descriptors = message 1 base ^ message 1 top ^ message 1 both

let reflect version =
  Grpc.Method.two_way
    ~service:("grpc.reflection." ^ version ^ ".ServerReflection")
    "ServerReflectionInfo" bytes bytes

let reflection version =
  let rpcs = Grpc.Reflection.rpcs ~descriptors [ S.unary echo (fun _ s -> s) ] in
  with_rpcs rpcs @@ fun c ->
  (* Field 2 repeats the request. *)
  let ask question =
    let request = named "host" ^ question in
    let response =
      Client.two_way c (reflect version) (fun sender r ->
          Client.send sender request;
          Client.finish sender;
          List.hd (all r))
    in
    let start = named "host" ^ message 2 request in
    let n = String.length start in
    string "the request" start (String.sub response 0 n);
    String.sub response n (String.length response - n)
  in
  let files l = message 4 (described (List.map named l)) in
  let unknown =
    message 7
      (Wire.encode (fun b ->
           Wire.int b 1 5;
           Wire.string b 2 "unknown"))
  in
  let is what expected question = string what (String.escaped expected) (String.escaped (ask question)) in
  is "a file" (files [ base ]) (message 3 "base.proto");
  is "with its import" (files [ top; base ]) (message 3 "top.proto");
  is "each once" (files [ both; top; base ]) (message 3 "both.proto");
  is "no file" unknown (message 3 "a.proto");
  List.iter
    (fun symbol -> is symbol (files [ base ]) (message 4 symbol))
    [
      "base.Outer"; "base.Outer.field"; "base.Outer.Inner"; "base.Outer.Inner.choice"; "base.Kind";
      "base.GOOD";
    ];
  List.iter
    (fun symbol -> is symbol (files [ top; base ]) (message 4 symbol))
    [ "Books"; "Books.List"; "more" ];
  List.iter (fun symbol -> is symbol unknown (message 4 symbol)) [ "Outer"; "base"; ".Books"; "" ];
  let number n = Wire.encode (fun b -> Wire.int b 2 n) in
  is "an extension" (files [ top; base ]) (message 5 (named "base.Outer" ^ number 100));
  is "no extension" unknown (message 5 (named "base.Outer" ^ number 101));
  is "its numbers" (message 5 (named "base.Outer" ^ message 2 "\100")) (message 6 "base.Outer");
  is "of no type" unknown (message 6 "base.X");
  is "services"
    (message 6
       (described
          (List.map
             (fun s -> message 1 (named s))
             [
               "grpc.reflection.v1.ServerReflection"; "grpc.reflection.v1alpha.ServerReflection";
               service;
             ])))
    (message 7 "");
  is "nothing"
    (message 7
       (Wire.encode (fun b ->
            Wire.int b 1 3;
            Wire.string b 2 "no question")))
    ""
[@@ocamlformat "disable"]

let not_descriptors () =
  is_invalid "not a set" (fun () -> ignore (Grpc.Reflection.rpcs ~descriptors:"\x0a\x05" []));
  is_invalid "not a file" (fun () -> ignore (Grpc.Reflection.rpcs ~descriptors:(message 1 "\x0a\x05") []))
[@@ocamlformat "disable"]

let twice () =
  let rpc = S.unary echo (fun _ s -> s) in
  is_invalid "twice" (fun () -> ignore (S.handler [ rpc; rpc ] : Server.request -> Server.response));
  List.iter
    (fun (service, name) ->
      is_invalid "a name" (fun () -> ignore (Grpc.Method.unary ~service name bytes bytes)))
    [ ("", "A"); ("a", ""); ("a/b", "A"); ("a", "b.C"); ("a", "b/c") ]

let tests =
  [
    in_run "health" health;
    in_run "reflection, v1" (fun () -> reflection "v1");
    in_run "reflection, v1alpha" (fun () -> reflection "v1alpha");
    test "malformed descriptors" not_descriptors;
    test "names of methods" twice;
  ]
