open Bigarray

type mode = { width : int; height : int; refresh : float option }

type state = {
  connected : bool;
  width : int;
  height : int;
  modes : mode list;
  monitor : string option;
  size_mm : (int * int) option;
  edid : string;
}

type pixels = (int32, int32_elt, c_layout) Array2.t
type rectangle = { x : int; y : int; width : int; height : int }

type t = {
  name : string;
  place : int;
  mutable is_open : bool;
  mutable seen : int;  (** Changes that the program has seen. *)
  mutable last : int;  (** Number of the last frame. *)
}

let ints n = Array1.create Int C_layout n
let check operation subject = Soil.Private.check ~operation ~subject

let text operation subject get =
  Soil.Private.text (check operation subject) (fun b off len -> get b off len)

let name_of place =
  text "displays" "" (fun b off len -> Soil_raw_display.display_name place b off len)

let names () =
  let rec go place =
    match name_of place with
    | name -> name :: go (place + 1)
    | exception Soil.Error { code = Not_found; _ } -> []
  in
  go 0

let closed d operation = Soil.Error.fail Closed operation ~subject:d.name

(* Of what is no operation of an open display in Rust. *)
let check_open d operation = if not d.is_open then closed d operation

(* The numbers of [soil_display_info]. *)
let info operation subject place =
  let numbers = ints 8 in
  ignore (check operation subject (Soil_raw_display.display_info place numbers));
  numbers

let open_ ?(name = "") () =
  let subject = if name = "" then "display" else name in
  let place = check "open" subject (Soil_raw_display.display_open name) in
  let numbers = info "open" subject place in
  (* The display may have frames of before. *)
  { name = name_of place; place; is_open = true; seen = numbers.{6}; last = numbers.{7} }

let close d =
  if d.is_open then (
    d.is_open <- false;
    ignore (Soil_raw_display.display_close d.place))

let with_display ?name f =
  let d = open_ ?name () in
  Soil.Private.finally (fun () -> close d) (fun () -> f d)

let name d = d.name

let mode d n =
  let numbers = ints 3 in
  ignore (check "mode" d.name (Soil_raw_display.display_mode d.place n numbers));
  let refresh = if numbers.{2} = 0 then None else Some (float_of_int numbers.{2} /. 1000.) in
  { width = numbers.{0}; height = numbers.{1}; refresh }

let state d =
  check_open d "state";
  let numbers = info "state" d.name d.place in
  d.seen <- numbers.{6};
  let text get = text "state" d.name (fun b off len -> get d.place b off len) in
  let monitor = text (fun place b off len -> Soil_raw_display.display_monitor place b off len) in
  {
    connected = numbers.{0} <> 0;
    width = numbers.{1};
    height = numbers.{2};
    modes = List.init numbers.{5} (mode d);
    monitor = (if monitor = "" then None else Some monitor);
    size_mm = (if numbers.{3} = 0 then None else Some (numbers.{3}, numbers.{4}));
    edid = text (fun place b off len -> Soil_raw_display.display_edid place b off len);
  }

let await_change d =
  check_open d "await change";
  let submit token = Soil_raw_display.display_changed d.place d.seen token in
  ignore (Soil.Private.operation ~operation:"await change" ~subject:d.name submit);
  state d

let disable d =
  check_open d "disable";
  ignore (check "disable" d.name (Soil_raw_display.display_disable d.place))

(* Buffers *)

type buffer = {
  display : t;
  number : int;
  width : int;
  height : int;
  memory : pixels;
  mutable out : bool;
}

type shown = { on : t; frame : int }

(* Bigarrays of buffers are parts of this one, so that they own no memory to be freed. *)
let empty : pixels = Array2.create Int32 C_layout 0 0
let least_side, most_side = (16, 8192)

let check_side name side =
  if side < least_side || side > most_side then
    invalid_arg ("Soil_display." ^ name ^ ": a side isn't between 16 and 8192")

let make name d width height =
  check_side name width;
  check_side name height;
  check_open d name;
  let memory = Array2.sub_left empty 0 0 in
  let number = Soil_raw_display.display_buffer d.place width height memory in
  { display = d; number = check name d.name number; width; height; memory; out = true }

let buffer d ~width ~height = make "buffer" d width height
let memory b = b.memory

let release b =
  if b.out then (
    b.out <- false;
    ignore (Soil_raw_display.display_release b.display.place b.number b.memory))

let await_frame d frame =
  let submit token = Soil_raw_display.display_await d.place frame token in
  ignore (Soil.Private.operation ~operation:"show" ~subject:d.name submit)

let wait { on; frame } =
  check_open on "show";
  await_frame on frame

(* What isn't on the picture is left out here, as Rust takes no negative numbers. *)
let clipped b rectangles =
  let numbers = ints (4 * List.length rectangles) in
  let add i { x; y; width; height } =
    let range start size limit =
      let first = max 0 (min start limit) in
      let last = max first (min limit (if size > limit - start then limit else start + size)) in
      (first, last - first)
    in
    let x, width = range x width b.width and y, height = range y height b.height in
    List.iteri (fun j n -> numbers.{(4 * i) + j} <- n) [ x; y; width; height ]
  in
  List.iteri add rectangles;
  numbers

let whole (b : buffer) = [ { x = 0; y = 0; width = b.width; height = b.height } ]

(* A display takes two frames at a time. A frame raises its failure where it is awaited:
   it doesn't keep the next one from being shown. *)
let pace d =
  if d.last > 1 then
    try await_frame d (d.last - 1) with Soil.Error { code = Io | Timed_out; _ } -> ()

let present ?damage b =
  let d = b.display in
  check_open d "show";
  if not b.out then Soil.Error.fail Closed "show" ~subject:d.name ~detail:"the buffer was released";
  let damage = clipped b (match damage with Some damage -> damage | None -> whole b) in
  let rec go () =
    pace d;
    match check "show" d.name (Soil_raw_display.display_present d.place b.number damage) with
    | frame ->
        d.last <- frame;
        { on = d; frame }
    | exception Soil.Error { code = Busy; _ } ->
        (* Another task was faster, or a frame was given up that the display still has. *)
        await_frame d d.last;
        go ()
  in
  go ()

(* Frames *)

type frames = {
  keep : bool;
  mutable back : buffer;
  mutable front : buffer;
  mutable damaged : rectangle list;  (** What [back] lacks of [front]. *)
  mutable unsent : rectangle list;  (** What was drawn for a [flip] that raised. *)
  mutable sent : shown option;  (** The frame that is in [front]. *)
}

(* The size that fits now. A display that nothing shows has none. *)
let fitting d =
  check_open d "frames";
  let numbers = info "frames" d.name d.place in
  let side n usual = if n = 0 then usual else max least_side (min most_side n) in
  (side numbers.{1} 640, side numbers.{2} 480)

let frames ?width ?height ?(keep = true) d =
  let width, height =
    match (width, height) with
    | Some width, Some height -> (width, height)
    | _ ->
        let fit_width, fit_height = fitting d in
        (Option.value width ~default:fit_width, Option.value height ~default:fit_height)
  in
  let back = make "frames" d width height in
  let undo () = release back in
  let front = Soil.Private.undoing undo (fun () -> make "frames" d width height) in
  { keep; back; front; damaged = []; unsent = []; sent = None }

let release_frames f =
  release f.back;
  release f.front

let with_frames ?width ?height ?keep d g =
  let f = frames ?width ?height ?keep d in
  Soil.Private.finally (fun () -> release_frames f) (fun () -> g f)

let pixels f = f.back.memory
let size f = (f.back.width, f.back.height)

(* Copies whole rows at once, as the memory between them is the pictures', too. *)
let copy f numbers i =
  let x = numbers.{4 * i} and y = numbers.{(4 * i) + 1} in
  let width = numbers.{(4 * i) + 2} and height = numbers.{(4 * i) + 3} in
  if width = f.back.width then
    let rows memory = Array2.sub_left memory y height in
    Array2.blit (rows f.front.memory) (rows f.back.memory)
  else
    let part memory row = Array1.sub (Array2.slice_left memory row) x width in
    for row = y to y + height - 1 do
      Array1.blit (part f.front.memory row) (part f.back.memory row)
    done

let flip ?damage f =
  let drawn = (match damage with Some damage -> damage | None -> whole f.back) @ f.unsent in
  f.unsent <- whole f.back;
  (* The display has what it was shown of this buffer two frames ago. *)
  let shown = present f.back ~damage:(drawn @ f.damaged) in
  f.unsent <- [];
  let before = f.sent in
  let front = f.front in
  f.front <- f.back;
  f.back <- front;
  f.sent <- Some shown;
  f.damaged <- drawn;
  (* Also where the wait is cancelled or fails: at worst the display reads some of it too early. *)
  let keep () =
    if f.keep && f.back.out then
      let numbers = clipped f.back drawn in
      List.iteri (fun i _ -> copy f numbers i) drawn
  in
  Soil.Private.finally keep (fun () -> Option.iter wait before)

(* The cursor *)

let set_cursor d ?(x = 0) ?(y = 0) image =
  let on_image n = n >= 0 && n < 64 in
  if Array2.dim1 image <> 64 || Array2.dim2 image <> 64 || not (on_image x && on_image y) then
    invalid_arg "Soil_display.set_cursor: not a pixel of an image of 64 by 64";
  check_open d "set cursor";
  ignore (check "set cursor" d.name (Soil_raw_display.display_set_cursor d.place image x y))

let move_cursor d ~x ~y =
  if x < 0 || y < 0 then invalid_arg "Soil_display.move_cursor: a negative number";
  check_open d "move cursor";
  ignore (check "move cursor" d.name (Soil_raw_display.display_move_cursor d.place x y))

let hide_cursor d =
  check_open d "hide cursor";
  ignore (check "hide cursor" d.name (Soil_raw_display.display_hide_cursor d.place))

let () =
  Soil.Private.needed_display (fun name ->
      with_display ~name (fun d ->
          let { width; height; modes; _ } : state = state d in
          ((width, height), List.map (fun ({ width; height; _ } : mode) -> (width, height)) modes)))
