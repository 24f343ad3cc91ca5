//! `soil-cc`: the link driver for images, which `ocamlopt` runs by its option `-cc`.

// The command soil uses the rest.
#[allow(dead_code)]
mod arch;
mod failure;
mod installed;
mod link;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(link::run(std::env::args_os().skip(1).collect()))
}
