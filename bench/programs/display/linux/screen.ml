type pixels = (int32, Bigarray.int32_elt, Bigarray.c_layout) Bigarray.Array1.t

(* A dumb buffer, mapped, on the first connector. *)
external open_card : string -> int -> int -> int * int * pixels = "bench_drm_open"
external dirty : int -> int -> int -> int -> int -> unit = "bench_drm_dirty"

type t = { card : int; buffer : int; pixels : pixels; width : int; keyboard : Unix.file_descr }

(* The machine is reset when the program ends, with what its console hasn't sent yet. *)
let drain () =
  flush stdout;
  flush stderr;
  Unix.tcdrain Unix.stdout

let run ~width ~height f =
  let go () =
    let card, buffer, pixels = open_card "/dev/dri/card0" width height in
    let keyboard = Unix.openfile "/dev/input/event0" [ O_RDONLY ] 0 in
    f { card; buffer; pixels; width; keyboard }
  in
  (try go () with e -> prerr_endline (Printexc.to_string e));
  drain ()

let pixels d = d.pixels
let turn _ = ()
let flush d ~y ~rows = dirty d.card d.buffer d.width y rows

(* DIRTYFB is a blocking commit: the commands are the device's when it returns. *)
let drain _ = ()

(* struct input_event: 16 bytes of time, then type, code and value. *)
let rec key d =
  let event = Bytes.create 24 in
  if Unix.read d.keyboard event 0 24 <> 24 then failwith "/dev/input/event0";
  let is_key = Bytes.get_uint16_le event 16 = 1 and pressed = Bytes.get_int32_le event 20 = 1l in
  if not (is_key && pressed) then key d
