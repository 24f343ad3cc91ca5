//! `soil/settings.txt`: the program's environment and arguments, a word to a line.

use crate::failure::{Context as _, Failure};
use crate::options::{Variable, given};
use crate::words;
use crate::zone;
use firmware::command_line::CommandLine;
use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;

/// The first line of new settings.
const HEADER: &str = "# Variables, then -- and the program's arguments. soil image --edit changes \
                      this file.";
/// The variable with `argv[0]`.
const NAME: &str = "SOIL_ARGV0";

/// The words of the settings.
pub struct Settings {
    /// Lines of comments, in order.
    comments: Vec<String>,
    /// `NAME=value`.
    variables: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
}

impl Settings {
    /// New settings of the program `name`.
    pub fn of(
        name: &OsStr,
        variables: &[Variable],
        arguments: &[OsString],
    ) -> Result<Self, Failure> {
        let mut settings = Self {
            comments: vec![HEADER.to_owned()],
            variables: Vec::new(),
            arguments: Vec::new(),
        };
        settings.rename(name);
        settings.change(variables, arguments)?;
        Ok(settings)
    }

    /// Reads settings. Words without a meaning are dropped.
    pub fn parse(text: &str) -> Self {
        let is_comment = |line: &&str| line.trim_start().starts_with('#');
        let line = CommandLine::parse(joined(text).as_bytes());
        Self {
            comments: text.lines().filter(is_comment).map(str::to_owned).collect(),
            variables: line.environment,
            arguments: line.arguments,
        }
    }

    /// Gives the program another name.
    pub fn rename(&mut self, name: &OsStr) {
        self.set_bytes(NAME.as_bytes(), name.as_bytes());
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.set_bytes(name.as_bytes(), value.as_bytes());
    }

    fn set_bytes(&mut self, name: &[u8], value: &[u8]) {
        let beginning = [name, b"="].concat();
        let word = [&beginning[..], value].concat();
        let mut same = self.variables.iter_mut();
        match same.find(|variable| variable.starts_with(&beginning)) {
            Some(variable) => *variable = word,
            None => self.variables.push(word),
        }
    }

    /// Sets a variable that isn't set; returns whether it did.
    pub fn set_default(&mut self, name: &str, value: &str) -> bool {
        let beginning = format!("{name}=");
        let mut variables = self.variables.iter();
        let is_set = variables.any(|variable| variable.starts_with(beginning.as_bytes()));
        if !is_set {
            self.set(name, value);
        }
        !is_set
    }

    /// Sets the variables of the options, and the arguments if there are any.
    pub fn change(
        &mut self,
        variables: &[Variable],
        arguments: &[OsString],
    ) -> Result<(), Failure> {
        for (name, value) in given(variables) {
            let value = match name.as_str() {
                "TZ" => zone::value(&value),
                _ => value,
            };
            self.set_bytes(name.as_bytes(), value.as_bytes());
        }
        if !arguments.is_empty() {
            let bytes = arguments.iter().map(|word| word.as_bytes().to_vec());
            self.arguments = bytes.collect();
        }
        self.text().map(drop)
    }

    /// The text of the file.
    pub fn text(&self) -> Result<String, Failure> {
        let words = words::words(
            self.variables.iter().map(Vec::as_slice),
            self.arguments.iter().map(Vec::as_slice),
        );
        let lines = self.comments.iter().chain(&words);
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        check(&text)?;
        Ok(text)
    }
}

/// The command line that the loaders make of the text.
fn joined(text: &str) -> String {
    let mut line = vec![0; text.len() + 1];
    let len = loader::settings::join(text.as_bytes(), &mut line).unwrap_or(0);
    line.truncate(len);
    String::from_utf8(line).unwrap_or_default()
}

/// Refuses settings that the loaders or the kernel can't use.
fn check(text: &str) -> Result<(), Failure> {
    if text.contains('\0') {
        return Err(Failure::on("settings", "a zero byte"));
    }
    let line = joined(text);
    if line.len() > words::LIMIT {
        let (len, limit) = (line.len(), words::LIMIT);
        let reason = format!("arguments and environment take {len} bytes; a machine reads {limit}");
        return Err(Failure::on("settings", reason).remedy("pass long data on the data partition"));
    }
    match CommandLine::parse(line.as_bytes()).unknown.first() {
        Some(word) => {
            let word = String::from_utf8_lossy(word);
            Err(
                Failure::on("settings", format!("'{word}' isn't NAME=VALUE"))
                    .remedy("write arguments behind a line with --"),
            )
        }
        None => Ok(()),
    }
}

/// Returns new settings: what the user's editor makes of the old ones on a terminal, standard input
/// otherwise.
pub fn edited(old: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin()
            .take(1 << 20)
            .read_to_string(&mut text)
            .on("standard input")?;
        if text.is_empty() {
            return Err(Failure::on("standard input", "empty").remedy(
                "give the new settings there, or --env NAME=VALUE and arguments behind --",
            ));
        }
        check(&text)?;
        return Ok(text);
    }
    let mut file = tempfile::Builder::new()
        .prefix("settings-")
        .suffix(".txt")
        .tempfile()
        .on(std::env::temp_dir())?;
    file.write_all(old.as_bytes()).on(file.path())?;
    edit(file.path())?;
    let text = std::fs::read_to_string(file.path()).on(file.path())?;
    match check(&text) {
        Ok(()) => Ok(text),
        Err(failure) => {
            let (_, kept) = file.keep().on("settings")?;
            let remedy = format!("mend {0}, then soil image --edit DISK <{0}", kept.display());
            Err(Failure::new(failure).remedy(remedy))
        }
    }
}

/// Runs the user's editor on the file.
fn edit(file: &Path) -> Result<(), Failure> {
    let named = ["VISUAL", "EDITOR"]
        .into_iter()
        .filter_map(std::env::var_os);
    let editor = named
        .filter(|editor| !editor.is_empty())
        .chain([OsString::from("editor")])
        .next()
        .unwrap_or_default();
    // The variables may have arguments of the editor; sensible-editor(1) splits them in this way.
    let status = Command::new("sh")
        .arg("-c")
        .arg("$0 \"$1\"")
        .arg(&editor)
        .arg(file)
        .status()
        .on(Path::new(&editor))?;
    match status.success() {
        true => Ok(()),
        false => Err(
            Failure::on(Path::new(&editor), "the editor failed; nothing was changed")
                .remedy("set EDITOR"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, check, joined};
    use firmware::command_line::CommandLine;
    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    fn settings(arguments: &[&str]) -> Settings {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Settings::of("main.exe".as_ref(), &[], &arguments).expect("valid")
    }

    #[test]
    fn each_word_has_a_line() {
        let text = settings(&["-v", "# no comment", "two\nlines", ""])
            .text()
            .expect("short");
        let lines: Vec<&str> = text.lines().skip(1).collect();
        let expected = [
            "SOIL_ARGV0=main.exe",
            "--",
            "-v",
            "\"# no comment\"",
            "\"two\\nlines\"",
            "\"\"",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_change_keeps_the_rest() {
        let text = "# mine\nA=1\n  # too\nB=2\n--\nold\n";
        let mut settings = Settings::parse(text);
        settings.set("A", "x y");
        settings.set("C", "3");
        assert_eq!(
            settings.text().expect("short"),
            "# mine\n  # too\n\"A=x y\"\nB=2\nC=3\n--\nold\n"
        );
        settings
            .change(&["D=4".parse().expect("a variable")], &["new".into()])
            .expect("short");
        let text = settings.text().expect("short");
        assert!(text.ends_with("C=3\nD=4\n--\nnew\n"), "{text}");
    }

    #[test]
    fn a_default_changes_no_variable() {
        let mut settings = Settings::parse("AB=1\nC=\n");
        assert!(settings.set_default("A", "2") && !settings.set_default("C", "3"));
        assert_eq!(settings.text().expect("short"), "AB=1\nC=\nA=2\n");
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let refused = |text: &str| check(text).expect_err("refused").to_string();
        assert!(refused("A=1\nloud\n").contains("'loud' isn't NAME=VALUE"));
        assert!(refused(&"A=1 ".repeat(20_000)).contains("bytes"));
        assert!(refused("A=\0").contains("zero byte"));
        assert_eq!(check("# loud\nA=1\n--\nloud"), Ok(()));
    }

    proptest! {
        /// By the loaders' and the kernel's rules.
        #[test]
        fn every_byte_survives(
            variables in vec(("[A-Z_][A-Z0-9_]{0,8}", vec(1u8.., 0..20)), 0..6),
            arguments in vec(vec(1u8.., 0..20), 0..6),
        ) {
            let words: Vec<OsString> =
                arguments.iter().map(|word| OsString::from_vec(word.clone())).collect();
            let mut settings = Settings::of("a b".as_ref(), &[], &words).expect("short");
            for (name, value) in &variables {
                settings.set_bytes(name.as_bytes(), value);
            }
            let line = joined(&settings.text().expect("short"));
            let decoded = CommandLine::parse(line.as_bytes());
            prop_assert_eq!(&decoded.environment, &settings.variables);
            prop_assert_eq!(decoded.arguments, arguments);
        }
    }
}
