The library in a toplevel, which is bytecode: `#require` loads it with its Rust half, and each `run`
is a phrase of its own.

  $ cat > script.ml <<'END'
  > #use "topfind";;
  > #require "soil";;
  > #require "soil.memory";;
  > #require "soil.tls";;
  > let double n =
  >   Soil.run @@ fun () ->
  >   Soil.Task.scope @@ fun scope ->
  >   let task = Soil.Task.spawn scope (fun () -> Soil.Clock.sleep 0.001; 2 * n) in
  >   Soil.Task.await task;;
  > Printf.printf "%d %d\n%!" (double 21) (double 4);;
  > Format.printf "%a@." Soil.Net.Address.pp (Soil.Net.Address.of_string "fe80::1");;
  > Soil.run (fun () -> Soil.Fs.read_file "/nowhere");;
  > END
  $ OCAMLRUNPARAM=b=0 SOIL_NET=none ocaml -noinit script.ml
  42 8
  fe80::1
  Exception:
  Soil.Error: open /nowhere: nothing is mounted at /nowhere: no disk nowhere: run with --disk nowhere=FILE
  [2]

A bytecode program finds it where it is installed, and the debugger steps through it.

  $ cat > main.ml <<'END'
  > let answer () = Soil.Clock.sleep 0.001; 42
  > let () = print_int (Soil.run answer)
  > END
  $ ocamlfind ocamlc -g -linkpkg -package soil main.ml -o main.bc
  $ SOIL_NET=none ./main.bc
  42
  $ cat > commands <<'END'
  > set checkpoints off
  > break @ Main 2
  > run
  > END
  $ SOIL_NET=none ocamldebug ./main.bc < commands | grep -e '^Breakpoint: ' -e '<|a|>'
  done.
  Breakpoint: 1
  2 let () = print_int (Soil.run answer)<|a|>
