(* Signed cookies. *)
open Check
module S = Soil_http.Signed

let key c = String.make 32 c
let keys = S.keys [ key 'k' ]
let verified = Alcotest.(check (option Alcotest.string))

(* The signature by another implementation: openssl dgst -sha256 -hmac. *)
let known () =
  let signed = S.sign keys ~name:"user" "alice" in
  string "as computed by openssl" ".YWxpY2U.m3iwoVc7TIjen6FaOu2xdYd2eOfGBaw5iqsxtXT4LsI" signed;
  verified "verified" (Some "alice") (S.verify keys ~name:"user" signed)

let refusals () =
  let signed = S.sign keys ~name:"user" "alice" in
  let none what signed = verified what None (S.verify keys ~name:"user" signed) in
  verified "another name" None (S.verify keys ~name:"admin" signed);
  verified "another key" None (S.verify (S.keys [ key 'x' ]) ~name:"user" signed);
  let flip i =
    let b = Bytes.of_string signed in
    Bytes.set b i (if Bytes.get b i = 'A' then 'B' else 'A');
    none (Printf.sprintf "byte %d" i) (Bytes.to_string b)
  in
  (* The last character of a signature has 2 bits that decoding drops. *)
  for i = 0 to String.length signed - 2 do
    flip i
  done;
  List.iter (none "malformed")
    [ ""; "."; ".."; "..."; "alice"; signed ^ "."; "." ^ signed; signed ^ "A"; "1" ^ signed ];
  is_invalid "no key" (fun () -> ignore (S.keys []));
  is_invalid "a short key" (fun () -> ignore (S.keys [ key 'k'; "short" ]));
  is_invalid "a lifetime" (fun () -> ignore (S.sign ~lifetime:(-1.) keys ~name:"a" ""))

let lifetimes () =
  let get signed = S.verify keys ~name:"a" signed in
  verified "lives" (Some "v") (get (S.sign ~lifetime:3600. keys ~name:"a" "v"));
  (* Rounded up to the next second. *)
  let signed = S.sign ~lifetime:0. keys ~name:"a" "v" in
  Soil.Clock.sleep 1.1;
  verified "has expired" None (get signed);
  let longer = S.sign ~lifetime:3600. keys ~name:"a" "v" in
  let after s = String.sub s (String.index s '.') (String.length s - String.index s '.') in
  let expiry = String.sub longer 0 (String.index longer '.') in
  verified "another expiry" None (get (expiry ^ after signed));
  verified "no expiry" None (get (after longer))

let wrong_clock () =
  let at now f = Soil.Virtual_clock.run ~now f in
  let get signed () = S.verify keys ~name:"a" signed in
  let signed = at 3e9 (fun () -> S.sign ~lifetime:3600. keys ~name:"a" "v") in
  verified "before its end" (Some "v") (at (3e9 +. 3599.) (get signed));
  verified "a clock that was set back" (Some "v") (at (3e9 -. 59.) (get signed));
  verified "decades before it was signed" None (at 2e9 (get signed))

let rotation () =
  let old = S.keys [ key 'a' ]
  and both = S.keys [ key 'b'; key 'a' ]
  and young = S.keys [ key 'b' ] in
  let get keys signed = S.verify keys ~name:"n" signed in
  let by_old = S.sign old ~name:"n" "v" and by_both = S.sign both ~name:"n" "v" in
  verified "the old key's" (Some "v") (get both by_old);
  verified "the first one signs" (Some "v") (get young by_both);
  verified "not the second" None (get old by_both);
  verified "a removed key's" None (get young by_old)

let requests () =
  let good = S.sign keys ~name:"u" "b\xc3\xa9 ; \n" in
  let cookie = Soil_http.Cookie.make ~secure:true "u" good in
  let handler request =
    match S.find keys request "u" with
    | Some v -> Server.string (String.escaped v)
    | None -> Server.string "none" |> Soil_http.Cookie.add cookie
  in
  let ask fields =
    List.hd (List.rev (String.split_on_char '|' (plain (answers handler [ get "/" ~fields ]))))
  in
  string "none" "none" (ask "");
  string "the first valid one" "b\\195\\169 ; \\n" (ask ("Cookie: u=x; u=" ^ good ^ "\r\n"));
  string "under another name" "none" (ask ("Cookie: v=" ^ good ^ "\r\n"))

let there_and_back (name, value) =
  let signed = S.sign keys ~name value in
  ignore (Soil_http.Cookie.make ~secure:false "a" signed);
  S.verify keys ~name signed = Some value
  && String.length signed >= 45
  && String.length signed <= 45 + (((String.length value * 4) + 2) / 3)

let gen =
  QCheck2.Gen.(
    pair (string_size ~gen:(char_range 'a' 'z') (int_range 1 9)) (string_size (int_range 0 50)))

let tests =
  [
    test "a known signature" known;
    test "refusals" refusals;
    in_run "lifetimes" lifetimes;
    test "a clock that was wrong" wrong_clock;
    test "rotation of keys" rotation;
    in_run "requests" requests;
    property "there and back" gen there_and_back;
  ]
