type axis = { axis : int; minimum : int; maximum : int; fuzz : int; flat : int; resolution : int }

type device = {
  number : int;
  name : string;
  serial : string;
  ids : int list;
  properties : int list;
  keys : int list;
  relative : int list;
  absolute : axis list;
  switches : int list;
  leds : int list;
  repeats : bool;
}

type what =
  | Key of { code : int; action : [ `Press | `Repeat | `Release ] }
  | Motion of { dx : int; dy : int }
  | Position of { x : float; y : float }
  | Wheel of { dx : int; dy : int }
  | Touch of { finger : int; phase : [ `Begin | `Move | `End ]; x : float; y : float }
  | Lost
  | Other of { kind : int; code : int; value : int }

type event = { time : float; device : device; what : what }

(* A finger of a touch screen (evdev's protocol B): what changes until the next report. *)
type slot = {
  mutable finger : int;  (** The number of the contact, or -1. *)
  mutable before : int;  (** The same at the last report. *)
  mutable touch_x : int;
  mutable touch_y : int;
  mutable moved : bool;
}

(* What a device has sent of the present group. *)
type state = {
  device : device;
  mutable dx : int;
  mutable dy : int;
  mutable wheel_x : int;
  mutable wheel_y : int;
  mutable x : int;
  mutable y : int;
  mutable positioned : bool;
  mutable slot : int;
  slots : slot array;
  mutable skips : bool;  (** Until the end of the group: events before it were lost. *)
}

type t = {
  states : state array;
  numbers : Soil_raw_input.int_buffer;
      (** The events that were received last, five numbers each. *)
  mutable taken : int;  (** Those of them that were looked at. *)
  mutable received : int;
  queue : event Queue.t;
  held : (int * int, unit) Hashtbl.t;  (** Device and code of the keys that are pressed. *)
  repeat : (int * int) option;
  mutable repeats : (device * int * int) option;  (** The key that repeats, and when (ns). *)
  mutable latest : int;  (** When the last event was received (ns). *)
  mutable is_open : bool;
}

let subject = "input"
let check operation = Soil.Private.check ~operation ~subject

(* Types and codes of evdev. *)
let syn, key, rel, abs = (0, 1, 2, 3)
let syn_report, syn_dropped = (0, 3)
let rel_x, rel_y, rel_hwheel, rel_wheel = (0, 1, 6, 8)
let abs_x, abs_y, abs_mt_slot = (0, 1, 0x2f)
let abs_mt_x, abs_mt_y, abs_mt_finger = (0x35, 0x36, 0x39)
let btn_misc, btn_touch, btn_tool_first, btn_tool_last = (0x100, 0x14a, 0x140, 0x14f)
let max_slots = 16
let per_call = 64

(* A description: lines of a word and what belongs to it. *)
let parse number text =
  let lines = List.map (Soil.Private.cut ' ') (String.split_on_char '\n' text) in
  let value name = Option.value (List.assoc_opt name lines) ~default:"" in
  let numbers text = List.filter_map int_of_string_opt (String.split_on_char ' ' text) in
  let axis = function
    | "absolute", text -> (
        match numbers text with
        | [ axis; minimum; maximum; fuzz; flat; resolution ] ->
            Some { axis; minimum; maximum; fuzz; flat; resolution }
        | _ -> None)
    | _ -> None
  in
  {
    number;
    name = value "name";
    serial = value "serial";
    ids = numbers (value "ids");
    properties = numbers (value "properties");
    keys = numbers (value "keys");
    relative = numbers (value "relative");
    absolute = List.filter_map axis lines;
    switches = numbers (value "switches");
    leds = numbers (value "leds");
    repeats = numbers (value "repeats") = [ 1 ];
  }

let describe number =
  let get b off len = Soil_raw_input.input_describe number b off len in
  parse number (Soil.Private.text (check "open") get)

let state device =
  let slot _ = { finger = -1; before = -1; touch_x = 0; touch_y = 0; moved = false } in
  {
    device;
    dx = 0;
    dy = 0;
    wheel_x = 0;
    wheel_y = 0;
    x = 0;
    y = 0;
    positioned = false;
    slot = 0;
    slots = Array.init max_slots slot;
    skips = false;
  }

let nanoseconds s =
  if s >= 0.001 && s <= 3600. then int_of_float (s *. 1e9)
  else invalid_arg "Soil_input.open_: a time of repeat isn't between 0.001 and 3600 seconds"

let open_ ?(repeat = Some (0.4, 0.033)) () =
  let repeat = Option.map (fun (first, next) -> (nanoseconds first, nanoseconds next)) repeat in
  let count = check "open" (Soil_raw_input.input_open ()) in
  {
    states = Array.init count (fun number -> state (describe number));
    numbers = Bigarray.Array1.create Int C_layout (5 * per_call);
    taken = 0;
    received = 0;
    queue = Queue.create ();
    held = Hashtbl.create 8;
    repeat;
    repeats = None;
    latest = 0;
    is_open = true;
  }

let close t =
  if t.is_open then (
    t.is_open <- false;
    ignore (Soil_raw_input.input_close ()))

let with_devices ?repeat f =
  let t = open_ ?repeat () in
  Soil.Private.finally (fun () -> close t) (fun () -> f t)

let devices t = Array.to_list (Array.map (fun state -> state.device) t.states)
let check_open t operation = if not t.is_open then Soil.Error.fail Closed operation ~subject

let set_led t device led on =
  check_open t "set led";
  ignore (check "set led" (Soil_raw_input.input_set_led device.number led (Bool.to_int on)))

let is_held t code = Hashtbl.fold (fun (_, held) () found -> found || held = code) t.held false

(* Events *)

let seconds ns = float_of_int ns /. 1e9

(* A position from 0 to 1. *)
let share device axis value =
  match List.find_opt (fun a -> a.axis = axis) device.absolute with
  | Some { minimum; maximum; _ } when maximum > minimum ->
      let share = float_of_int (value - minimum) /. float_of_int (maximum - minimum) in
      Float.min 1. (Float.max 0. share)
  | _ -> 0.

let forget_movement state =
  state.dx <- 0;
  state.dy <- 0;
  state.wheel_x <- 0;
  state.wheel_y <- 0;
  state.positioned <- false

(* Movements since the last report or key. *)
let add_movement state add =
  if state.dx <> 0 || state.dy <> 0 then add (Motion { dx = state.dx; dy = state.dy });
  if state.positioned then
    add (Position { x = share state.device abs_x state.x; y = share state.device abs_y state.y });
  if state.wheel_x <> 0 || state.wheel_y <> 0 then
    add (Wheel { dx = state.wheel_x; dy = state.wheel_y });
  forget_movement state

let touches state add =
  let report slot =
    let at finger phase =
      let x = share state.device abs_mt_x slot.touch_x in
      add (Touch { finger; phase; x; y = share state.device abs_mt_y slot.touch_y })
    in
    if slot.before >= 0 && slot.finger <> slot.before then at slot.before `End;
    if slot.finger >= 0 then
      if slot.finger <> slot.before then at slot.finger `Begin
      else if slot.moved then at slot.finger `Move;
    slot.before <- slot.finger;
    slot.moved <- false
  in
  Array.iter report state.slots

let is_touch_screen device = List.exists (fun a -> a.axis = abs_mt_finger) device.absolute

(* What a screen sends besides for programs that know a single finger only. *)
let is_emulated device kind code =
  is_touch_screen device
  && ((kind = abs && (code = abs_x || code = abs_y))
     || (kind = key && (code = btn_touch || (code >= btn_tool_first && code <= btn_tool_last))))

let lose t state add =
  let number = state.device.number in
  Hashtbl.filter_map_inplace
    (fun (device, _) () -> if device = number then None else Some ())
    t.held;
  (match t.repeats with
  | Some (device, _, _) when device.number = number -> t.repeats <- None
  | _ -> ());
  forget_movement state;
  let forget slot =
    slot.finger <- -1;
    slot.before <- -1
  in
  Array.iter forget state.slots;
  state.skips <- true;
  add Lost

let handle_key t state time code value add =
  let device = state.device in
  add_movement state add;
  if value = 0 then (
    Hashtbl.remove t.held (device.number, code);
    (match t.repeats with
    | Some (d, held, _) when d.number = device.number && held = code -> t.repeats <- None
    | _ -> ());
    add (Key { code; action = `Release }))
  else (
    Hashtbl.replace t.held (device.number, code) ();
    (match t.repeat with
    | Some (first, _) when device.repeats && code < btn_misc ->
        t.repeats <- Some (device, code, time + first)
    | _ -> ());
    add (Key { code; action = `Press }))

let handle_abs state code value =
  let slot = state.slots.(state.slot) in
  if code = abs_mt_slot then state.slot <- max 0 (min (max_slots - 1) value)
  else if code = abs_mt_finger then slot.finger <- max (-1) value
  else if code = abs_mt_x then (
    slot.touch_x <- value;
    slot.moved <- true)
  else if code = abs_mt_y then (
    slot.touch_y <- value;
    slot.moved <- true)
  else if code = abs_x then (
    state.x <- value;
    state.positioned <- true)
  else if code = abs_y then (
    state.y <- value;
    state.positioned <- true)

let handle t state time kind code value =
  let device = state.device in
  t.latest <- time;
  let add what = Queue.add { time = seconds time; device; what } t.queue in
  if kind = syn && code = syn_dropped then lose t state add
  else if kind = syn && code = syn_report then
    if state.skips then state.skips <- false
    else (
      add_movement state add;
      touches state add)
  else if state.skips || is_emulated device kind code then ()
  else if kind = key then handle_key t state time code value add
  else if kind = rel && code = rel_x then state.dx <- state.dx + value
  else if kind = rel && code = rel_y then state.dy <- state.dy + value
  else if kind = rel && code = rel_hwheel then state.wheel_x <- state.wheel_x + value
  else if kind = rel && code = rel_wheel then state.wheel_y <- state.wheel_y + value
  else if
    kind = abs
    && (code = abs_x || code = abs_y || code = abs_mt_slot
       || (code >= abs_mt_x && code <= abs_mt_y)
       || code = abs_mt_finger)
  then handle_abs state code value
  else add (Other { kind; code; value })

let rec take t =
  if Queue.is_empty t.queue && t.taken < t.received then (
    let number i = t.numbers.{(5 * t.taken) + i} in
    let place = number 0 and time = number 1 in
    let kind = number 2 and code = number 3 and value = number 4 in
    t.taken <- t.taken + 1;
    if place < Array.length t.states then handle t t.states.(place) time kind code value;
    take t)

let receive t =
  let submit token = Soil_raw_input.input_next t.numbers token in
  let received = Soil.Private.operation ~operation:"next" ~subject submit in
  t.taken <- 0;
  t.received <- received

let now () = int_of_float (Soil.Clock.monotonic () *. 1e9)

let repeat t (device, code, due) every =
  (* Other events that were received after it was due may have been returned already. *)
  let time = seconds (max due t.latest) in
  t.repeats <- Some (device, code, max (due + every) (now ()));
  Queue.add { time; device; what = Key { code; action = `Repeat } } t.queue

(* Looks at the devices in any case: a key that is due may have been released meanwhile. The time is
   for the turns of other tasks that come before the look. *)
let receive_or_repeat t ((_, _, due) as key) every =
  let left = Float.max 0.001 (seconds (due - now ())) in
  match Soil.Task.timeout_opt left (fun () -> receive t) with
  | Some () -> ()
  | None -> repeat t key every

let rec next t =
  check_open t "next";
  take t;
  match Queue.take_opt t.queue with
  | Some event -> event
  | None ->
      (match (t.repeats, t.repeat) with
      | Some key, Some (_, every) -> receive_or_repeat t key every
      | _ -> receive t);
      next t

(* Text *)

type input = t

module Layout = struct
  type t = string

  (* Keys replace earlier ones with the same code. *)
  let rec find name =
    let changed (_, base, keys) = Option.value (find base) ~default:"" ^ "\t" ^ keys in
    Option.map changed (List.find_opt (fun (other, _, _) -> other = name) Layouts.layouts)

  let us = Option.get (find "us")
  let names = List.map (fun (name, _, _) -> name) Layouts.layouts
end

module Typing = struct
  (* What a key types: characters by level, and how the locks change them. *)
  type entry = { levels : Uchar.t array; caps : bool; caps_altgr : bool; num : bool }

  type t = {
    entries : entry option array;
    mutable caps : bool;
    mutable num : bool;
    mutable dead : Uchar.t option;
    pressed : (int * int, unit) Hashtbl.t;  (** Modifiers that are held, by device. *)
  }

  let none = Uchar.of_int 0

  let characters text =
    let rec go at =
      if at >= String.length text then []
      else
        let decoded = String.get_utf_8_uchar text at in
        Uchar.utf_decode_uchar decoded :: go (at + Uchar.utf_decode_length decoded)
    in
    Array.of_list (go 0)

  let create layout =
    let entries = Array.make 128 None in
    let add line =
      let head, text = Soil.Private.cut ' ' line in
      let is_flag c = c = 'a' || c = 'b' || c = 'n' in
      let digits = String.to_seq head |> Seq.filter (fun c -> not (is_flag c)) |> String.of_seq in
      let has = String.contains head in
      entries.(int_of_string digits) <-
        Some { levels = characters text; caps = has 'a'; caps_altgr = has 'b'; num = has 'n' }
    in
    List.iter add (List.filter (( <> ) "") (String.split_on_char '\t' layout));
    { entries; caps = false; num = true; dead = None; pressed = Hashtbl.create 8 }

  let caps_lock t = t.caps
  let num_lock t = t.num
  let left_shift, right_shift, altgr_key, caps_key, num_key = (42, 54, 100, 58, 69)

  (* Left and right Ctrl, left Alt, both Super. *)
  let is_other code = code = 29 || code = 97 || code = 56 || code = 125 || code = 126
  let is_shift code = code = left_shift || code = right_shift
  let is_altgr code = code = altgr_key
  let is_modifier code = is_shift code || is_altgr code || is_other code
  let holds t f = Hashtbl.fold (fun (_, code) () found -> found || f code) t.pressed false

  let level t { levels; caps; caps_altgr; num; _ } =
    if num && not t.num then none
    else
      let altgr = holds t is_altgr in
      let exchanged = t.caps && if altgr then caps_altgr else caps in
      let upper = if holds t is_shift <> exchanged then 1 else 0 in
      (* AltGr changes nothing on keys with two levels, nor Shift on those with one. *)
      let wanted = if altgr && Array.length levels > 2 then 2 + upper else upper in
      let last = Array.length levels - 1 in
      if wanted <= last then levels.(wanted) else if num || last = 0 then levels.(0) else none

  let is_dead c =
    let code = Uchar.to_int c in
    code >= 0x300 && code < 0x370

  let compose dead c =
    match List.assoc_opt (Uchar.to_int dead) Layouts.compositions with
    | None -> None
    | Some text ->
        let all = characters text in
        let rec find i =
          if i + 1 >= Array.length all then None
          else if Uchar.equal all.(i) c then Some all.(i + 1)
          else find (i + 2)
        in
        find 0

  let utf_8 characters =
    let buffer = Buffer.create 8 in
    List.iter (Buffer.add_utf_8_uchar buffer) characters;
    Buffer.contents buffer

  (* What twice the same key types. *)
  let alone dead = match compose dead dead with Some c -> [ c ] | None -> [ dead ]

  let typed t c =
    match t.dead with
    | None when is_dead c ->
        t.dead <- Some c;
        ""
    | None -> utf_8 [ c ]
    | Some dead when is_dead c ->
        (* Twice the same one types it. *)
        t.dead <- (if Uchar.equal dead c then None else Some c);
        utf_8 (alone dead)
    | Some dead -> (
        t.dead <- None;
        match compose dead c with Some c -> utf_8 [ c ] | None -> utf_8 (alone dead @ [ c ]))

  let press t code =
    if code < 0 || code >= Array.length t.entries || holds t is_other then ""
    else
      match t.entries.(code) with
      | None -> ""
      | Some entry ->
          let c = level t entry in
          if Uchar.equal c none then "" else typed t c

  let feed t { device; what; _ } =
    match what with
    | Key { code; action } when is_modifier code ->
        let key = (device.number, code) in
        if action = `Release then Hashtbl.remove t.pressed key else Hashtbl.replace t.pressed key ();
        ""
    | Key { code; action = `Press } when code = caps_key ->
        t.caps <- not t.caps;
        ""
    | Key { code; action = `Press } when code = num_key ->
        t.num <- not t.num;
        ""
    | Key { code; action = `Press | `Repeat } -> press t code
    | Lost ->
        let keep (number, _) () = if number = device.number then None else Some () in
        Hashtbl.filter_map_inplace keep t.pressed;
        ""
    | _ -> ""

  let show_locks t (input : input) =
    let show device =
      let set led on = if List.mem led device.leds then set_led input device led on in
      set 0 t.num;
      set 1 t.caps
    in
    List.iter show (devices input)
end

let () =
  Soil.Private.needed_input (fun () ->
      ignore (check "open" (Soil_raw_input.input_open ()));
      ignore (Soil_raw_input.input_close ()))
