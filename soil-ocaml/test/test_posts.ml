(* Posts between schedulers, in all orders of their atomic steps: what is sent is called, though the
   receiver sleeps until a sender calls it. *)

let orders ?most ~senders ~each () =
  let make () =
    let posts = Posts.create 0 and got = ref [] in
    Fake_runtime.called := false;
    let send sender () =
      for n = 1 to each do
        assert (Posts.send posts (fun () -> got := (sender, n) :: !got))
      done
    in
    let rec receive () =
      Posts.run posts;
      if List.length !got < senders * each then (
        Fake_runtime.wait (Posts.sleep_until posts (-1));
        Posts.awake posts;
        receive ())
    in
    let check () =
      for sender = 1 to senders do
        let of_sender = List.filter (fun (s, _) -> s = sender) (List.rev !got) in
        if List.map snd of_sender <> List.init each succ then failwith "out of order"
      done
    in
    (Array.append [| receive |] (Array.init senders (fun i -> send (i + 1))), check)
  in
  let count = Interleavings.check_all ?most make in
  if count < 50 then failwith "too few orders"

(* Each post is called or refused, whenever the receiver closes. *)
let closing () =
  let make () =
    let posts = Posts.create 0 and got = ref 0 and sent = ref 0 in
    let send () =
      for _ = 1 to 2 do
        if Posts.send posts (fun () -> incr got) then incr sent
      done
    in
    let close () =
      Posts.run posts;
      Posts.close posts
    in
    ([| close; send |], fun () -> if !got <> !sent then failwith "a post was lost")
  in
  ignore (Interleavings.check_all make)

let test name f = Alcotest.test_case name `Quick f

let tests =
  [
    test "one sender" (orders ~senders:1 ~each:1);
    test "one sender, two posts" (orders ~senders:1 ~each:2);
    test "two senders" (orders ~most:4 ~senders:2 ~each:1);
    test "a receiver that closes" closing;
  ]
