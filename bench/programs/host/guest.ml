(* What a machine's host asks of it: streams over vsock, and freezes of a disk under write load.
   Arguments: take|give PORT, or load. *)

let chunk = 65536
let rec take connection buffer = if Host.read connection buffer > 0 then take connection buffer

let rec give connection buffer =
  Host.write connection buffer;
  give connection buffer

(* Records of 4 KiB, each 16th of them synced, in files of 8 MiB. *)
let rec load buffer =
  let file = Io.open_file "load" ~write:true in
  for i = 1 to 2048 do
    Io.write_file file buffer;
    if i mod 16 = 0 then Io.flush file
  done;
  Io.close_file file;
  load buffer

let () =
  Io.run @@ fun () ->
  match Array.to_list Sys.argv |> List.tl with
  | [ (("take" | "give") as mode); port ] ->
      let listener = Host.listen (int_of_string port) and buffer = Io.buffer chunk in
      print_endline "ready";
      let f = if mode = "take" then take else give in
      Host.serve listener (fun connection -> f connection buffer)
  | [ "load" ] ->
      Host.with_agent @@ fun () ->
      print_endline "ready";
      load (Io.buffer 4096)
  | _ -> prerr_endline "usage: guest take PORT|give PORT|load"
