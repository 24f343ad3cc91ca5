(* How a program finds out what it was given. Each is set by the module that uses such a device, so
   that a program which only names one in a need carries nothing for it. *)

(* The volume at a path: its bytes, and whether it takes writes. *)
let volume : (string -> int * bool) option ref = ref None

(* The disk of a name: its bytes, and whether it takes writes. *)
let disk : (string -> int * bool) option ref = ref None

(* Width and height of the display of a name, and of its modes. *)
let display : (string -> (int * int) * (int * int) list) option ref = ref None

(* Succeeds if there are input devices. *)
let input : (unit -> unit) option ref = ref None

(* The number of interfaces. *)
let interfaces : (unit -> int) option ref = ref None
