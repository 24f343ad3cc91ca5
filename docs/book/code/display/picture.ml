let () =
  Soil.run @@ fun () ->
  Soil_display.with_display @@ fun display ->
  Soil_display.with_frames display @@ fun frames ->
  let p = Soil_display.pixels frames in
  for y = 0 to Bigarray.Array2.dim1 p - 1 do
    for x = 0 to Bigarray.Array2.dim2 p - 1 do
      let red = x land 0xFF and green = y land 0xFF in
      p.{y, x} <- Int32.of_int ((red lsl 16) lor (green lsl 8) lor 0x40)
    done
  done;
  Soil_display.flip frames
