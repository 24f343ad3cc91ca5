module D = Soil.File_descriptor

type buffer = D.buffer
type listener = Soil.Tcp.listener
type connection = Soil.Tcp.connection
type file = Disk of Soil.Block.t | File of Soil.Fs.file

let run = Soil.run
let buffer n : buffer = Soil.Block.buffer n
let disk_buffer = Soil.Block.buffer
let listen port = Soil.Tcp.listen ~port ()

(* TCP_NODELAY is the initial state of Soil's connections. *)
let serve_chunks listener client ~response =
  (* One for all connections, as in the peer's loop: [read] stores bytes when it returns. *)
  let chunk = Bytes.create 65536 in
  Soil.Tcp.serve listener @@ fun connection ->
  let respond = client () in
  let rec loop () =
    match D.read connection chunk 0 (Bytes.length chunk) with
    | 0 -> ()
    | n ->
        for _ = 1 to respond chunk n do
          D.write connection response 0 (Bytes.length response)
        done;
        loop ()
  in
  loop ()

let rec serve_one listener f =
  let connection = Soil.Tcp.accept listener in
  (try f connection with Soil.Error _ -> ());
  D.close connection;
  serve_one listener f

let read connection data = D.read_into connection data 0 (Bigarray.Array1.dim data)
let write connection data length = D.write_from connection data 0 length

type socket = Soil.Udp.socket
type address = Soil.Net.endpoint

let bind port = Soil.Udp.bind ~port ()
let receive socket data = Soil.Udp.receive socket data 0 (Bytes.length data)
let send socket address data length = Soil.Udp.send socket address data 0 length
let open_disk () = Disk (Soil.Block.open_ "data")
let wrong () = invalid_arg "a disk where a file is needed, or the other way round"
let disk = function Disk disk -> disk | File _ -> wrong ()

let read_disk file data ~at =
  Soil.Block.read (disk file) ~first_sector:(at / 512) data 0 (Bigarray.Array1.dim data)

let write_disk file data ~at =
  Soil.Block.write (disk file) ~first_sector:(at / 512) data 0 (Bigarray.Array1.dim data)

(* A task for each of the requests under way. *)
let transfers file ~write ~depth ~size positions =
  let disk = disk file and next = ref 0 in
  let transfer d = if write then Soil.Block.write d else Soil.Block.read d in
  let worker () =
    let data = Soil.Block.buffer size in
    while !next < Array.length positions do
      let at = positions.(!next) in
      incr next;
      transfer disk ~first_sector:(at / 512) data 0 size
    done
  in
  Soil.Task.iter worker (List.init depth ignore)

let open_file name ~write =
  File (Soil.Fs.open_ ~mode:(if write then Truncate else Read) ("/data/" ^ name))

let read_file file data = match file with File d -> read d data | Disk _ -> wrong ()

let write_file file data =
  match file with File d -> write d data (Bigarray.Array1.dim data) | Disk _ -> wrong ()

let flush = function File d -> Soil.Fs.sync d | Disk d -> Soil.Block.flush d
let flush_all = Soil.Fs.sync_all
let close_file = function File d -> D.close d | Disk d -> Soil.Block.close d

let finish_file file =
  flush file;
  close_file file

let now = Soil.Clock.monotonic
