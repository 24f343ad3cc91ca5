//! `soil completions` and `soil man`, both generated from the command-line definition.

use crate::cli::{Cli, Shell};
use crate::failure::{Context as _, Failure};
use clap::CommandFactory as _;
use std::path::Path;

/// Prints the completion script.
pub fn completions(shell: Shell) -> Result<(), Failure> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "soil", &mut text);
    match std::io::Write::write_all(&mut std::io::stdout(), &text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::on("standard output", error))
        }
        _ => Ok(()),
    }
}

/// Writes `soil.1` and a page for each subcommand, such as `soil-disk-make.1`.
pub fn pages(directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).on(directory)?;
    clap_mangen::generate_to(Cli::command(), directory).on(directory)
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn each_command_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        pages(folder.path()).expect("written");
        for name in [
            "soil",
            "soil-run",
            "soil-disk",
            "soil-disk-make",
            "soil-test",
        ] {
            let page = folder.path().join(format!("{name}.1"));
            let text = std::fs::read_to_string(page).expect(name);
            assert!(text.contains(".TH"), "{name}");
        }
    }
}
