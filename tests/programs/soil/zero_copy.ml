(* Serves without copies. Port 7: what comes by leases goes back by lent buffers, and the connection
   ends when the peer has all of it. Port 8: COMMAND lines, each with one line for an answer. *)
module D = Soil.File_descriptor
module Z = Soil.Zero_copy

let create n = Bigarray.Array1.create Char C_layout n

(* Gathers leases in a buffer of its own, so that what is lent is longer than a lease. *)
let echo c =
  let store = create 1_000_000 in
  let rec gather filled =
    let room = Bigarray.Array1.dim store - filled in
    let take b =
      let n = Bigarray.Array1.dim b in
      Bigarray.Array1.(blit b (sub store filled n));
      filled + n
    in
    if room < 65536 then (filled, true)
    else match Z.with_received c take with Some filled -> gather filled | None -> (filled, false)
  in
  let rec go () =
    let n, more = gather 0 in
    Z.send c store 0 n;
    (* Acknowledged: it may be used again. *)
    Bigarray.Array1.fill store '!';
    if more then go ()
  in
  go ()

(* Kept parts of leases stay unchanged when more bytes are received. *)
let keep c count =
  let digest b =
    Digest.to_hex (Digest.string (String.init (Bigarray.Array1.dim b) (Bigarray.Array1.get b)))
  in
  let one () =
    match Z.receive c with
    | None -> failwith "end of input"
    | Some lease ->
        let whole = Z.buffer lease in
        let part = Bigarray.Array1.sub whole 0 (Bigarray.Array1.dim whole) in
        let before = digest part in
        Z.release lease;
        Z.release lease;
        if Bigarray.Array1.dim whole <> 0 then failwith "a lease that isn't over";
        (match whole.{0} with
        | _ -> failwith "a byte of a lease that is over"
        | exception Invalid_argument _ -> ());
        (part, before)
  in
  let kept = List.init count (fun _ -> one ()) in
  Gc.compact ();
  (* Much more goes through the same memory. *)
  for _ = 1 to 400 do
    ignore (Z.with_received c (fun b -> Bigarray.Array1.fill b '?'))
  done;
  let same = List.for_all (fun (part, before) -> digest part = before) kept in
  Printf.sprintf "%d parts kept, %s" count (if same then "all the same" else "some changed")

(* Takes all leases, releases none, and lets the garbage collector find them. *)
let forget c =
  let rec take n =
    match Z.receive c with
    | Some lease ->
        ignore (Sys.opaque_identity lease);
        take (n + 1)
    | None -> failwith "end of input"
    | exception Soil.Error { code = Out_of_memory; _ } -> n
  in
  let taken = take 0 in
  Gc.full_major ();
  let again = match Z.with_received c Bigarray.Array1.dim with Some n -> n > 0 | None -> false in
  Printf.sprintf "%d leases forgotten, %s" taken (if again then "all came back" else "lost")

let failure f =
  match f () with
  | () -> "none"
  | exception Soil.Error e -> Soil.Error.message e.code
  | exception Soil.Task.Cancelled -> "cancelled"
  | exception Soil.Task.Timeout _ -> "timed out"

(* Lends [n] bytes for [s] seconds, and spoils them when they have come back. *)
let cancel c n s =
  let b = create n in
  for i = 0 to n - 1 do
    b.{i} <- Char.unsafe_chr (i * 7 mod 251)
  done;
  let why = failure (fun () -> Soil.Task.timeout s (fun () -> Z.send c b 0 n)) in
  Bigarray.Array1.fill b '!';
  why

let commands c =
  let answers = Soil.Reader.create c in
  let finish text = D.write_string c (text ^ "\n") in
  match String.split_on_char ' ' (Soil.Reader.line answers) with
  | [ "keep"; n ] -> finish (keep c (int_of_string n))
  | [ "forget" ] -> finish (forget c)
  | [ "cancel"; n; s ] ->
      let why = cancel c (int_of_string n) (float_of_string s) in
      print_endline ("cancel: " ^ why)
  | [ "reset"; n ] ->
      (* The peer resets while the buffer is lent. *)
      let b = create (int_of_string n) in
      print_endline ("reset: " ^ failure (fun () -> Z.send c b 0 (Bigarray.Array1.dim b)))
  | [ "close"; n ] ->
      (* Closed by another task. *)
      let b = create (int_of_string n) in
      Soil.Task.scope (fun scope ->
          ignore
            (Soil.Task.spawn scope (fun () ->
                 Soil.Clock.sleep 0.3;
                 D.close c));
          print_endline ("close: " ^ failure (fun () -> Z.send c b 0 (Bigarray.Array1.dim b))))
  | _ -> failwith "what?"

let () =
  Soil.run @@ fun () ->
  let echoes = Soil.Tcp.listen ~port:7 () in
  let others = Soil.Tcp.listen ~port:8 () in
  Soil.Net.wait_up ();
  print_endline "ready";
  Soil.Task.both (fun () -> Soil.Tcp.serve echoes echo) (fun () -> Soil.Tcp.serve others commands)
  |> ignore
