//! `soil-cc`: the link driver for images, which `ocamlopt` runs by its option `-cc`.

#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

// The command soil uses the rest.
#[allow(dead_code)]
mod arch;
mod failure;
mod installed;
mod link;
mod stand_in;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(link::run(std::env::args_os().skip(1).collect()))
}
