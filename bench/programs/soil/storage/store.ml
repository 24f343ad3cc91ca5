let store = ref None
let ok = function Ok value -> value | Error e -> failwith (Soil.Kv.error_to_string e)
let connect () = store := Some (ok (Soil.Kv.connect "/data/store"))
let set key value = ok (Soil.Kv.set (Option.get !store) (Soil.Kv.Key.v key) value)

let set_together tasks count value =
  let task number =
    for _ = 1 to count do
      set ("key " ^ string_of_int number) value
    done
  in
  Soil.Task.iter task (List.init tasks Fun.id)

let embed name contents = Soil.Embedded.register ~at:"/embedded" [| (name, contents) |]
let contents name = Option.get (Soil.Fs.contents ("/embedded/" ^ name))
let read name f = Soil.Fs.with_file ("/data/" ^ name) (fun file -> Soil.In_place.iter file f)

let mount () =
  Soil.Fs.mount "ext4:data" "/mounted";
  ignore (Soil.Fs.list "/mounted")

let rename name other = Soil.Fs.rename ("/data/" ^ name) ("/data/" ^ other)
let unlink name = Soil.Fs.unlink ("/data/" ^ name)
let make_directory name = Soil.Fs.mkdir ("/data/" ^ name)

let entries directory =
  let count = ref 0 in
  Soil.Fs.iter ("/data/" ^ directory) (fun _ _ -> incr count);
  !count

let append_together files count data =
  let append file =
    for _ = 1 to count do
      Io.write_file file data;
      Io.flush file
    done
  in
  Soil.Task.iter append files
