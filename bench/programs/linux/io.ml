type buffer = (char, Bigarray.int8_unsigned_elt, Bigarray.c_layout) Bigarray.Array1.t
type listener = Unix.file_descr
type connection = Unix.file_descr
type file = Unix.file_descr

external open_direct : string -> Unix.file_descr = "bench_open_direct"
external disk_buffer : int -> buffer = "bench_aligned"

let buffer = disk_buffer

let run main =
  Sys.set_signal Sys.sigpipe Sys.Signal_ignore;
  main ()

let listen port =
  let socket = Unix.socket ~cloexec:true PF_INET SOCK_STREAM 0 in
  Unix.setsockopt socket SO_REUSEADDR true;
  Unix.bind socket (ADDR_INET (Unix.inet_addr_any, port));
  Unix.listen socket 1024;
  socket

let rec write_bytes fd data offset length =
  if length > 0 then
    match Unix.single_write fd data offset length with
    | n -> write_bytes fd data (offset + n) (length - n)
    | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) ->
        ignore (Unix.select [] [ fd ] [] (-1.));
        write_bytes fd data offset length

(* A select loop: measured faster than a thread for each connection. *)
let serve_chunks listener client ~response =
  Unix.set_nonblock listener;
  let clients = Hashtbl.create 64 and watched = ref [ listener ] in
  let chunk = Bytes.create 65536 in
  let accept () =
    match Unix.accept ~cloexec:true listener with
    | fd, _ ->
        Unix.set_nonblock fd;
        Unix.setsockopt fd TCP_NODELAY true;
        Hashtbl.replace clients fd (client ());
        watched := fd :: !watched
    | exception Unix.Unix_error _ -> ()
  in
  let close fd =
    Unix.close fd;
    Hashtbl.remove clients fd;
    watched := List.filter (( <> ) fd) !watched
  in
  let receive fd =
    match Unix.read fd chunk 0 (Bytes.length chunk) with
    | 0 -> close fd
    | n ->
        for _ = 1 to (Hashtbl.find clients fd) chunk n do
          write_bytes fd response 0 (Bytes.length response)
        done
    | exception Unix.Unix_error ((EAGAIN | EWOULDBLOCK), _, _) -> ()
  in
  while true do
    let ready, _, _ = Unix.select !watched [] [] (-1.) in
    let serve fd =
      if fd == listener then accept () else try receive fd with Unix.Unix_error _ -> close fd
    in
    List.iter serve ready
  done

let serve_one listener f =
  while true do
    let fd, _ = Unix.accept ~cloexec:true listener in
    (try
       Unix.setsockopt fd TCP_NODELAY true;
       f fd
     with Unix.Unix_error _ -> ());
    Unix.close fd
  done

let rec write_from fd (data : buffer) offset length =
  if length > 0 then
    let n = Unix.write_bigarray fd data offset length in
    write_from fd data (offset + n) (length - n)

let read fd data = Unix.read_bigarray fd data 0 (Bigarray.Array1.dim data)
let write fd data length = write_from fd data 0 length

type socket = Unix.file_descr
type address = Unix.sockaddr

let bind port =
  let socket = Unix.socket ~cloexec:true PF_INET SOCK_DGRAM 0 in
  Unix.bind socket (ADDR_INET (Unix.inet_addr_any, port));
  socket

let receive socket data = Unix.recvfrom socket data 0 (Bytes.length data) []
let send socket address data length = ignore (Unix.sendto socket data 0 length [] address)
let open_disk () = open_direct (Option.value (Sys.getenv_opt "DISK") ~default:"/dev/vda")

let read_disk fd data ~at =
  ignore (Unix.LargeFile.lseek fd (Int64.of_int at) SEEK_SET);
  if read fd data <> Bigarray.Array1.dim data then failwith "short read"

let write_disk fd data ~at =
  ignore (Unix.LargeFile.lseek fd (Int64.of_int at) SEEK_SET);
  if Unix.write_bigarray fd data 0 (Bigarray.Array1.dim data) <> Bigarray.Array1.dim data then
    failwith "short write"

external submit_all : Unix.file_descr -> bool -> int -> int -> int array -> unit = "bench_transfers"

let transfers fd ~write ~depth ~size positions = submit_all fd write depth size positions
let directory = Option.value (Sys.getenv_opt "DIRECTORY") ~default:"/mnt/"

let open_file name ~write =
  Unix.openfile (directory ^ name)
    (if write then [ O_WRONLY; O_CREAT; O_TRUNC ] else [ O_RDONLY ])
    0o644

let read_file = read
let write_file fd data = write_from fd data 0 (Bigarray.Array1.dim data)

external sync : unit -> unit = "bench_sync"

let flush = Unix.fsync
let flush_all = sync
let close_file = Unix.close

let finish_file fd =
  flush fd;
  close_file fd

let now = Unix.gettimeofday
