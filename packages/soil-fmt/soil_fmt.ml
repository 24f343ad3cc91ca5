let error = Soil.Error.pp
let error_code = Fmt.using Soil.Error.message Fmt.string

let exn f = function
  | Soil.Error e -> error f e
  | Soil.Task.Cancelled -> Fmt.string f "cancelled"
  | Soil.Task.Timeout seconds -> Fmt.pf f "not done in %g s" seconds
  | e -> Fmt.exn f e

let result ~ok = Fmt.result ~ok ~error
let kv_error = Fmt.using Soil.Kv.error_to_string Fmt.string
let address = Soil.Net.Address.pp
let endpoint = Soil.Net.Endpoint.pp
let mac = Soil.Net.Mac.pp
let prefix = Soil.Net.Prefix.pp

let interface f (i : Soil.Net.interface) =
  let list printer = Fmt.(list ~sep:(any ", ")) printer in
  Fmt.pf f "%s %a mtu %d" i.name mac i.mac i.mtu;
  if i.addresses <> [] then Fmt.pf f " %a" (list prefix) i.addresses;
  Option.iter (Fmt.pf f " gateway %a" address) i.gateway;
  if i.name_servers <> [] then Fmt.pf f " dns %a" (list address) i.name_servers

(* The largest span that [Fmt.uint64_ns_span] shows, about 292 years. *)
let longest = 9.2e9

let seconds f s =
  if s >= 0. && s < longest then Fmt.uint64_ns_span f (Int64.of_float (s *. 1e9))
  else Fmt.pf f "%gs" s

let size = Fmt.byte_size

let kind f (kind : Soil.Fs.kind) =
  Fmt.string f (match kind with File -> "file" | Directory -> "directory" | Symlink -> "symlink")

let fs_health f (health : Soil.Fs.health) =
  match health with
  | Writable -> Fmt.string f "writable"
  | Unflushed -> Fmt.string f "writable, without flushes"
  | Read_only -> Fmt.string f "read-only"
  | Corrupt damage -> Fmt.pf f "corrupt (%s)" damage

let volume f (v : Soil.Fs.volume) =
  Fmt.pf f "%s: %s, %a, %a of %a free" v.point v.source fs_health v.health size v.free size v.total

let memory f (m : Soil.Machine.memory) =
  Fmt.pf f "%a of %a in use, %a free, at most %a so far" size m.in_use size m.total size m.free size
    m.high_water

let health = Soil.Supervisor.pp_health

let formatter w =
  Format.make_formatter
    (fun s off len -> Soil.Writer.string ~off ~len w s)
    (fun () -> Soil.Writer.flush w)
