type t = {
  operation : operation:string -> subject:string -> (int -> int) -> int;
  wait_ready : int -> int -> int;
  sleep_until : int -> unit;
  timeout : 'a. int -> (unit -> 'a) -> 'a option;
  protect : 'a. (unit -> 'a) -> 'a;
}

let registered = ref None

let[@inline never] missing () =
  invalid_arg
    "Soil: called from another thread than the program's first one, without the library \
     soil.threads (add it to the libraries in the program's dune file)"

let get () = match !registered with Some blocking -> blocking | None -> missing ()
