type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
  wait_ready : int -> int -> int;
  sleep_until : int -> int;
  limit : 'a. int -> (unit -> 'a) -> 'a;
  is_late : unit -> bool;
}

let interrupted = min_int
let shielded = max_int
let registered = ref None

let[@inline never] missing () =
  invalid_arg
    "Soil: called from another thread than the program's first one, without the library \
     soil.threads (add it to the libraries in the program's dune file)"

let get () = match !registered with Some blocking -> blocking | None -> missing ()
