(* Four threads that each write, read, rename and remove files of their own below each directory
   that is named, while a fifth computes. *)

let directories = List.tl (Array.to_list Sys.argv)
let put name text = Out_channel.with_open_bin name (fun c -> Out_channel.output_string c text)
let get name = In_channel.with_open_bin name In_channel.input_all

let work number =
  let right = ref 0 in
  List.iter
    (fun directory ->
      for round = 1 to 20 do
        let name = Printf.sprintf "%s/thread-%d-%d" directory number round in
        let text = String.init (1000 * round) (fun i -> Char.chr (i * number land 255)) in
        put name text;
        let fd = Unix.openfile name [ O_RDWR ] 0 in
        Unix.fsync fd;
        Unix.close fd;
        Sys.rename name (name ^ ".new");
        if get (name ^ ".new") = text then incr right;
        Sys.remove (name ^ ".new")
      done)
    directories;
  !right

let stopped = Atomic.make false

let compute () =
  let n = ref 0 in
  while not (Atomic.get stopped) do
    incr n
  done;
  !n > 0

let () =
  let results = Array.make 4 0 and computed = ref false in
  let busy = Thread.create (fun () -> computed := compute ()) () in
  let threads = List.init 4 (fun i -> Thread.create (fun () -> results.(i) <- work (i + 1)) ()) in
  List.iter Thread.join threads;
  Atomic.set stopped true;
  Thread.join busy;
  Array.iteri (fun i right -> Printf.printf "thread %d: %d right\n" (i + 1) right) results;
  Printf.printf "computed: %b\n" !computed;
  List.iter
    (fun directory ->
      let left =
        List.filter
          (fun name -> String.starts_with ~prefix:"thread-" name)
          (Array.to_list (Sys.readdir directory))
      in
      Printf.printf "%s: %d left\n" (Filename.basename directory) (List.length left))
    directories
