let max = 4 * 1024 * 1024

let texts path =
  let folder = (Soil.Fs.stat path).kind = Directory in
  if not folder then [ Soil.Fs.read_file ~max path ]
  else
    let names =
      List.filter_map
        (fun (name, (kind : Soil.Fs.kind)) -> if kind = File then Some name else None)
        (Soil.Fs.list path)
    in
    List.map (fun name -> Soil.Fs.read_file ~max (path ^ "/" ^ name)) (List.sort compare names)

let roots path = Settings.pems (texts path)
let revoked = texts
let read (chain, key) = (Soil.Fs.read_file ~max chain, Soil.Fs.read_file ~max key)
let certificates files = Settings.certificates (List.map read files)
let reload c files = Settings.replace c (List.map read files)
