let store = ref None
let ok = function Ok value -> value | Error e -> failwith (Soil.Kv.error_to_string e)
let connect () = store := Some (ok (Soil.Kv.connect "/data/store"))
let set key value = ok (Soil.Kv.set (Option.get !store) (Soil.Kv.Key.v key) value)
let embed name contents = Soil.Embedded.register ~at:"/embedded" [| (name, contents) |]
let contents name = Option.get (Soil.Fs.contents ("/embedded/" ^ name))
let look name f = Soil.Fs.with_file ("/data/" ^ name) (fun file -> Soil.In_place.iter file f)
