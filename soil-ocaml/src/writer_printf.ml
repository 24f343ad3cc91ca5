let printf w format = Printf.ksprintf (fun s -> Output.string w s) format
