let on_two f = f (if Unix.fork () = 0 then 1 else 0)
