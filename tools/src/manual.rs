//! `soil completions` and `soil man`, both generated from the command-line definition; and the page
//! of the variables, from `docs/configuration.md`.

use crate::cli::{Cli, Shell};
use crate::failure::{Context as _, Failure};
use crate::messages;
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
    messages::print(&String::from_utf8_lossy(&text))
}

/// The table of the variables.
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
/// Its section that isn't for users.
const OF_TESTS: &str = "Tests";

/// Writes `man1/soil.1` and a page for each subcommand, such as `man1/soil-disk-make.1`, and
/// `man7/soil-environment.7`.
pub fn pages(directory: &Path) -> Result<(), Failure> {
    let folder = |name| {
        let folder = directory.join(name);
        std::fs::create_dir_all(&folder)
            .on(&folder)
            .map(|()| folder)
    };
    let commands = folder("man1")?;
    clap_mangen::generate_to(Cli::command(), &commands).on(&commands)?;
    let page = folder("man7")?.join("soil-environment.7");
    std::fs::write(&page, environment(CONFIGURATION)).on(page)
}

/// The page of the variables as roff (man(7)), from a document in Markdown: paragraphs, headings,
/// numbered lists and tables.
fn environment(document: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH soil-environment 7 \"\" \"soil {version}\"\n.SH NAME\nsoil\\-environment \\- \
        variables of programs and commands of Soil\n.SH DESCRIPTION\n"
    );
    let mut is_skipped = false;
    for block in document.split("\n\n").map(str::trim) {
        if let Some(heading) = block.strip_prefix("## ") {
            is_skipped = heading == OF_TESTS;
            if !is_skipped {
                page.push_str(&format!(".SH {}\n", plain(&heading.to_uppercase())));
            }
        } else if is_skipped || block.starts_with("# ") || block.starts_with("`cargo ") {
            // The page has its own title, and that is for developers.
        } else if block.starts_with('|') {
            rows(block, &mut page);
        } else if block.starts_with("1. ") {
            for item in block.split("\n").map(str::trim) {
                let (number, text) = match item.split_once(". ") {
                    Some((number, text)) if number.parse::<u8>().is_ok() => (number, text),
                    _ => ("", item),
                };
                if !number.is_empty() {
                    page.push_str(&format!(".IP {number}.\n"));
                }
                page.push_str(&format!("{}\n", plain(text)));
            }
        } else {
            page.push_str(&format!(".PP\n{}\n", plain(&block.replace('\n', " "))));
        }
    }
    page.push_str(".SH SEE ALSO\n.BR soil (1),\n.BR soil-run (1)\n");
    page
}

/// A table's rows as tagged paragraphs. The columns of variables are their name, form, value, what
/// holds without them, and the option of `soil run`.
fn rows(table: &str, page: &mut String) {
    for line in table.lines().skip(2) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let first = cells.next().unwrap_or_default();
        let rest: Vec<&str> = cells.collect();
        page.push_str(&format!(".TP\n{}\n", plain(first)));
        let text = match rest.as_slice() {
            [form, value, without, option] => {
                let option = match option.is_empty() {
                    true => String::new(),
                    false => format!(" Option: {option}."),
                };
                format!("({form}) {value}. Without it: {without}.{option}")
            }
            cells => cells.join(": "),
        };
        page.push_str(&format!("{}\n", plain(&text)));
    }
}

/// Text without links, and with code in bold.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link
            .split_once("](")
            .and_then(|(label, target)| Some((label, target.split_once(')')?.1)));
        shown.push_str(before);
        match parts {
            Some((label, behind)) => {
                shown.push_str(label);
                rest = behind;
            }
            None => {
                shown.push('[');
                rest = link;
            }
        }
    }
    shown.push_str(rest);
    let mut roff = String::new();
    for (index, part) in shown.split('`').enumerate() {
        let part = part.replace('\\', "\\e").replace('-', "\\-");
        match index % 2 {
            0 => roff.push_str(&part),
            _ => roff.push_str(&format!("\\fB{part}\\fR")),
        }
    }
    match roff.starts_with(['.', '\'']) {
        true => format!("\\&{roff}"),
        false => roff,
    }
}

#[cfg(test)]
mod tests {
    use super::{environment, pages, plain};

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
            let page = folder.path().join(format!("man1/{name}.1"));
            let text = std::fs::read_to_string(page).expect(name);
            assert!(text.contains(".TH"), "{name}");
        }
        let page = folder.path().join("man7/soil-environment.7");
        let text = std::fs::read_to_string(page).expect("written");
        for variable in configuration::OF_PROGRAMS
            .iter()
            .chain(configuration::OF_COMMANDS)
        {
            let tag = format!(".TP\n\\fBSOIL_{variable}\\fR\n");
            assert!(text.contains(&tag), "{variable}");
        }
        assert!(!text.contains("FS_SEED") && !text.contains("]("), "{text}");
        // Each line is a request or text, which begins with neither of roff's two characters.
        let known = [".TH ", ".SH ", ".PP", ".TP", ".IP ", ".BR "];
        for line in text.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(
                known.iter().any(|request| line.starts_with(request)),
                "{line}"
            );
        }
    }

    #[test]
    fn a_document_becomes_a_page() {
        let page = environment(
            "# Title\n\nText with `code` and\na [link](x.md#y).\n\n## Some\n\n\
            | variable | form | value | without it | option |\n|---|---|---|---|---|\n\
            | `SOIL_A` | both | a number | 1 | `--a` |\n| `SOIL_B` | tool | b | none | |\n\n\
            ## Tests\n\n| `SOIL_C` | tests | c | d | |\n",
        );
        let (_, text) = page.split_once(".SH DESCRIPTION\n").expect("a head");
        assert_eq!(
            text,
            ".PP\nText with \\fBcode\\fR and a link.\n.SH SOME\n\
            .TP\n\\fBSOIL_A\\fR\n(both) a number. Without it: 1. Option: \\fB\\-\\-a\\fR.\n\
            .TP\n\\fBSOIL_B\\fR\n(tool) b. Without it: none.\n\
            .SH SEE ALSO\n.BR soil (1),\n.BR soil-run (1)\n"
        );
        assert_eq!(plain(".a\\b [x]"), "\\&.a\\eb [x]");
    }
}
