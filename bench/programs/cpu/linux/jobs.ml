let beside _ n compute serve =
  for _ = 1 to n do
    ignore (Thread.create compute ())
  done;
  serve ()
