(* Provokes the error that its argument names. *)

let connect text = ignore (Soil.Tcp.connect (Soil.Net.Endpoint.of_string text))
let rec deep n = if n = 0 then 0 else 1 + deep (n - 1)

let fill path =
  Soil.Fs.with_file ~mode:Truncate path @@ fun file ->
  for _ = 1 to 1_000_000 do
    Soil.File_descriptor.write_string file (String.make 65536 'x')
  done

let in_a_thread f =
  let failure = ref None in
  Thread.join (Thread.create (fun () -> try f () with e -> failure := Some e) ());
  Option.iter raise !failure

let provoke = function
  | "refused" -> connect "127.0.0.1:1"
  | "in-use" ->
      ignore (Soil.Tcp.listen ~port:7020 ());
      ignore (Soil.Tcp.listen ~port:7020 ())
  | "no-network" -> connect "10.0.0.1:80"
  | "name" -> ignore (Soil.Tcp.connect_host "no-such-host.invalid" ~port:80)
  | "ethernet" -> ignore (Soil.Ethernet.open_ 0x88b5)
  | "not-found" -> ignore (Soil.Fs.read_file "/data/missing")
  | "full" -> fill "/data/large"
  | "read-only" -> Soil.Fs.write_file "/data/file" "text"
  | "too-large" -> ignore (Soil.Fs.read_file ~max:3 "/data/file")
  | "line" -> ignore Soil.Reader.(line ~max:3 (create (Soil.Flow.of_string "long\n")))
  | "closed" ->
      let read, _ = Soil.pipe () in
      Soil.File_descriptor.close read;
      ignore (Soil.File_descriptor.read read (Bytes.create 1) 0 1)
  | "mount" -> Soil.Fs.mount "/data" "memory:16M"
  | "timeout" -> Soil.Task.timeout 0.01 (fun () -> Soil.Clock.sleep 60.)
  | "deep" -> ignore (deep 1_000_000_000)
  | "memory" -> ignore (List.init 1_000_000_000 Fun.id)
  | "thread" -> in_a_thread (fun () -> Soil.run (fun () -> ()))
  | "domain" -> Domain.join (Domain.spawn (fun () -> failwith "in a domain"))
  | "process" -> ignore (Unix.fork ())
  | "uncaught" -> raise Not_found
  | "deadlock" -> Soil.Task.Promise.(await (create ()))
  | "for-ever" -> Soil.Clock.sleep 1e9
  | other -> invalid_arg other

let () = Soil.run @@ fun () -> provoke Sys.argv.(1)
