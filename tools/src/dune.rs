//! The dune workspace around the current folder: its root, its builds and its programs.

pub mod sources;
pub mod turn;

use crate::arch::Arch;
use crate::child::terminated_at_our_end;
use crate::failure::{Context as _, Failure};
use crate::program::Form;
use crate::project;
use crate::sexp::{self, Sexp};
use crate::toolchain;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A dune workspace.
pub struct Workspace {
    root: PathBuf,
}

/// An executable or a test of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// Its folder relative to the root.
    pub folder: PathBuf,
    /// Its name in the dune file.
    pub name: String,
    /// Whether it is a test.
    pub test: bool,
    /// The condition for running a test.
    enabled_if: Option<Sexp>,
    /// How to run a test's program; `None`: the action needs dune.
    pub action: Option<Action>,
}

/// The way to run a test's program in the folder of its dune file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    pub arguments: Vec<String>,
    /// The file with the expected standard output.
    pub expected: Option<String>,
}

impl Stanza {
    /// `folder/name`, and the arguments.
    pub fn shown(&self) -> String {
        let name = self.folder.join(&self.name).display().to_string();
        let arguments = self.action.iter().flat_map(|action| &action.arguments);
        arguments.fold(name, |name, argument| name + " " + argument)
    }

    /// Whether dune runs this test in the context of a form. Evaluates only comparisons with the
    /// context's name; assumes that other conditions hold.
    pub fn enabled(&self, form: Form) -> bool {
        let condition = self.enabled_if.as_ref();
        condition.and_then(|it| holds(it, context(form))) != Some(false)
    }
}

impl Workspace {
    /// Finds the workspace of the current folder by dune's rule: the outermost folder with a
    /// `dune-workspace`, else the outermost with a `dune-project`. Fails unless the workspace
    /// file has the context that links images.
    pub fn find() -> Result<Self, Failure> {
        let here = std::env::current_dir().on(".")?;
        let outermost = |file: &str| {
            let folders: Vec<&Path> = here.ancestors().collect();
            folders
                .into_iter()
                .rev()
                .find(|folder| folder.join(file).is_file())
        };
        let root = outermost("dune-workspace")
            .or_else(|| outermost("dune-project"))
            .ok_or_else(|| {
                Failure::new("neither dune-project nor dune-workspace is here or above")
                    .remedy("run it in a project, or 'soil new NAME' for a new one")
            })?;
        if !project::has_context(root, Arch::HOST)? {
            let reason = "its workspace has no context that links images";
            return Err(Failure::on(root, reason).remedy("run 'soil init' there"));
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The root's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Builds everything in all contexts. Dune prints its errors and progress.
    pub fn build(&self, release: bool) -> Result<(), Failure> {
        let foreign = self.foreign();
        if let Some(arch) = foreign.filter(|arch| !names_toolchain(*arch)) {
            toolchain::check(arch).map_err(|why| {
                let context = arch.context();
                let subject = format!("OCaml for {arch}, which the context {context} needs");
                Failure::on(subject, why).remedy(format!("soil doctor --arch {arch} --fix"))
            })?;
        }
        let mut command = self.dune(release);
        terminated_at_our_end(&mut command);
        let turn = turn::wait(&self.build_folder());
        let status = command.status().map_err(not_started)?;
        drop(turn);
        if status.success() {
            return Ok(());
        }
        let missing = foreign.map(|arch| (arch, toolchain::missing(arch, self.libraries())));
        match missing {
            Some((arch, missing)) if !missing.is_empty() => {
                let names: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
                let subject = format!("no libraries for {arch}");
                Err(Failure::on(subject, names.join(", "))
                    .remedy(toolchain::remedy(arch, &missing)))
            }
            _ => Err(Failure::new("dune could not build everything")),
        }
    }

    /// The command that builds everything in both contexts.
    pub fn dune(&self, release: bool) -> Command {
        let mut command = Command::new("dune");
        if let Some(configuration) = self.foreign_toolchain() {
            command.env("OCAMLFIND_CONF", configuration);
        }
        command.arg("build").arg("--root").arg(&self.root);
        // Keeps dune from announcing the root ("Entering directory …").
        command.arg("--no-print-directory");
        if release {
            command.args(["--profile", "release"]);
        }
        command
    }

    /// The other architecture for which the workspace has a context.
    pub fn foreign(&self) -> Option<Arch> {
        let mut all = [Arch::X86_64, Arch::Aarch64].into_iter();
        all.find(|arch| {
            !arch.is_host() && project::has_context(&self.root, *arch).is_ok_and(|has| has)
        })
    }

    /// The configuration of findlib that has the toolchain of another architecture, if the
    /// workspace has a context for it and the environment names none.
    fn foreign_toolchain(&self) -> Option<PathBuf> {
        let foreign = self.foreign().filter(|arch| !names_toolchain(*arch))?;
        let file = foreign.tree()?.join("findlib.conf");
        file.is_file().then_some(file)
    }

    /// The libraries that the dune files name, except those of conditional forms.
    fn libraries(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.each_dune_file(|_, items| {
            for item in items {
                add_libraries(item, &mut names);
            }
        });
        names
    }

    /// The file that dune builds from a stanza in the context of this form. It need not exist.
    pub fn executable(&self, stanza: &Stanza, form: Form) -> PathBuf {
        self.executable_in(stanza, context(form))
    }

    /// The image of a stanza for an architecture. It need not exist.
    pub fn image_for(&self, stanza: &Stanza, arch: Arch) -> PathBuf {
        self.executable_in(stanza, arch.context())
    }

    fn executable_in(&self, stanza: &Stanza, context: &str) -> PathBuf {
        let mut folder = self.folder_in(stanza, context);
        let mut name = stanza.name.as_str();
        while let Some(rest) = name.strip_prefix("../") {
            folder.pop();
            name = rest;
        }
        folder.join(format!("{name}.exe"))
    }

    /// The folder of a stanza in the context of this form.
    pub fn folder(&self, stanza: &Stanza, form: Form) -> PathBuf {
        self.folder_in(stanza, context(form))
    }

    fn folder_in(&self, stanza: &Stanza, context: &str) -> PathBuf {
        self.build_folder().join(context).join(&stanza.folder)
    }

    /// Dune's build folder.
    pub fn build_folder(&self) -> PathBuf {
        let folder = std::env::var_os("DUNE_BUILD_DIR").unwrap_or_else(|| "_build".into());
        self.root.join(folder)
    }

    /// Returns a path relative to the root if the current folder is the root.
    pub fn shown(&self, file: &Path) -> String {
        let inside = match std::env::current_dir() {
            Ok(here) => file.strip_prefix(here).unwrap_or(file),
            Err(_) => file,
        };
        inside.display().to_string()
    }

    /// Returns the stanzas of all dune files, sorted. Skips dune files in OCaml syntax, and may
    /// include folders that dune excludes: callers check that a stanza's executable exists.
    pub fn stanzas(&self) -> Vec<Stanza> {
        let mut found = Vec::new();
        let crams = self.each_dune_file(|folder, items| collect(folder, items, &mut found));
        found.extend(crams.iter().map(|folder| Stanza::of_dune(folder, None)));
        found.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
        found
    }

    /// Calls `each` with the folder and the contents of every dune file that isn't in OCaml syntax.
    /// Returns the folder of each cram test.
    fn each_dune_file(&self, mut each: impl FnMut(&Path, &[Sexp])) -> Vec<PathBuf> {
        let mut crams = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(self.root.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let plain = !name.to_string_lossy().starts_with(['.', '_']);
                let cram = plain && name.to_string_lossy().ends_with(".t");
                match entry.file_type() {
                    Ok(kind) if cram && (!kind.is_dir() || entry.path().join("run.t").exists()) => {
                        crams.push(folder.clone());
                    }
                    // Dune's default.
                    Ok(kind) if kind.is_dir() && plain => folders.push(folder.join(&name)),
                    Ok(kind) if !kind.is_dir() && name == "dune" => {
                        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                        each(&folder, &sexp::parse(&text).unwrap_or_default());
                    }
                    _ => {}
                }
            }
        }
        crams
    }
}

impl Stanza {
    /// A test that only dune can run.
    fn of_dune(folder: &Path, enabled_if: Option<Sexp>) -> Self {
        Self {
            folder: folder.to_owned(),
            name: "runtest".to_owned(),
            test: true,
            enabled_if,
            action: None,
        }
    }
}

/// Whether the environment selects a configuration of findlib with a toolchain for `arch`. One
/// without, such as that of Soil's own installation, is a part of the toolchain's configuration.
fn names_toolchain(arch: Arch) -> bool {
    let Some(mut folder) = std::env::var_os("OCAMLFIND_CONF") else {
        return false;
    };
    folder.push(".d");
    Path::new(&folder).join(format!("{arch}.conf")).is_file()
}

/// Adds the names in all fields `libraries` of a stanza.
fn add_libraries(item: &Sexp, names: &mut BTreeSet<String>) {
    let Sexp::List(items) = item else { return };
    match item.stanza("libraries") {
        Some(libraries) => {
            let plain = libraries.iter().filter_map(Sexp::atom);
            names.extend(plain.map(str::to_owned));
        }
        None => items.iter().for_each(|item| add_libraries(item, names)),
    }
}

/// The name of the context that builds this form.
const fn context(form: Form) -> &'static str {
    match form {
        Form::Process => "default",
        Form::Image => "soil",
    }
}

/// Evaluates a condition (dune's manual, "Boolean Language") in a context. `None` if the result
/// depends on anything else.
fn holds(condition: &Sexp, context: &str) -> Option<bool> {
    let Sexp::List(items) = condition else {
        return condition.atom().and_then(|word| word.parse().ok());
    };
    let (Sexp::Atom(operator), operands) = items.split_first()? else {
        return None;
    };
    let mut each = operands.iter().map(|operand| holds(operand, context));
    match (operator.as_str(), operands) {
        ("not", [operand]) => holds(operand, context).map(|holds| !holds),
        (operator @ ("and" | "or"), _) => {
            // One such operand decides, whatever the others are.
            let decisive = operator == "or";
            let others = each.try_fold(Some(!decisive), |all, one| match one {
                Some(one) if one == decisive => Err(decisive),
                one => Ok(all.and(one)),
            });
            others.unwrap_or_else(Some)
        }
        ("=" | "<>", [Sexp::Atom(variable), Sexp::Atom(name)]) if variable == "%{context_name}" => {
            Some((name == context) == (operator == "="))
        }
        _ => None,
    }
}

/// The error for a failure to start dune.
pub fn not_started(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::on("dune", "not on this machine")
            .remedy("'soil doctor' says how to install it"),
        _ => Failure::on("dune", format!("did not start: {error}")),
    }
}

/// Adds the executables and tests among the stanzas of a dune file.
fn collect(folder: &Path, items: &[Sexp], found: &mut Vec<Stanza>) {
    for item in items {
        if let Some([Sexp::Atom(inside), rest @ ..]) = item.stanza("subdir") {
            collect(&folder.join(inside), rest, found);
            continue;
        }
        if let Some(fields) = item.stanza("rule") {
            found.extend(rule(folder, fields, items));
            continue;
        }
        for (kind, field, test) in [
            ("executable", "name", false),
            ("executables", "names", false),
            ("test", "name", true),
            ("tests", "names", true),
        ] {
            let fields = item.stanza(kind).unwrap_or_default();
            let names = fields.iter().find_map(|given| given.stanza(field));
            let names = names.unwrap_or_default().iter().filter_map(Sexp::atom);
            let enabled_if = condition(fields);
            let action = match action(fields) {
                None => Some(Action::default()),
                Some(Sexp::List(words)) => match words.split_first() {
                    Some((Sexp::Atom(run), words)) if test && run == "run" => arguments(words)
                        .filter(|(program, _)| *program == "%{test}")
                        .map(|(_, arguments)| Action {
                            arguments,
                            expected: None,
                        }),
                    _ => None,
                },
                Some(Sexp::Atom(_)) => None,
            };
            found.extend(names.map(|name| Stanza {
                name: name.to_owned(),
                test,
                action: action.clone(),
                ..Stanza::of_dune(folder, enabled_if.clone())
            }));
        }
    }
}

/// The condition of a stanza.
fn condition(fields: &[Sexp]) -> Option<Sexp> {
    let mut conditions = fields.iter().filter_map(|given| given.stanza("enabled_if"));
    conditions.next()?.first().cloned()
}

/// The action of a stanza.
fn action(fields: &[Sexp]) -> Option<&Sexp> {
    let mut actions = fields.iter().filter_map(|given| given.stanza("action"));
    actions.next()?.first()
}

/// The program and arguments of a `run`, if all are plain words or files of the folder.
fn arguments(words: &[Sexp]) -> Option<(&str, Vec<String>)> {
    let (program, words) = words.split_first()?;
    let argument = |word: &Sexp| {
        let word = word.atom()?;
        let file = word
            .strip_prefix("%{dep:")
            .and_then(|rest| rest.strip_suffix('}'));
        let word = file.unwrap_or(word);
        (!word.contains("%{")).then(|| word.to_owned())
    };
    let arguments: Option<Vec<String>> = words.iter().map(argument).collect();
    Some((program.atom()?, arguments?))
}

/// Returns the test that a rule of the alias `runtest` defines: `(run ./x.exe …)`, or a `diff` of
/// the output of such a program, which this rule or another one in the file runs.
fn rule(folder: &Path, fields: &[Sexp], items: &[Sexp]) -> Option<Stanza> {
    let is_runtest = |field: &Sexp| {
        let names = field.stanza("alias").or_else(|| field.stanza("aliases"));
        names.is_some_and(|names| names.iter().any(|name| name.atom() == Some("runtest")))
    };
    fields.iter().find(|field| is_runtest(field))?;
    let of_dune = Stanza::of_dune(folder, condition(fields));
    let understood = || {
        let action = action(fields)?;
        let steps = match action.stanza("progn") {
            Some(steps) => steps,
            None => std::slice::from_ref(action),
        };
        let (run, expected) = match steps {
            [one] if one.stanza("run").is_some() => (one.stanza("run")?, None),
            [one] => {
                let (expected, output) = diff(one)?;
                (
                    items.iter().find_map(|item| printing(item, output))?,
                    Some(expected),
                )
            }
            [first, second] => {
                let (expected, output) = diff(second)?;
                (printed_to(first, output)?, Some(expected))
            }
            _ => return None,
        };
        let (program, arguments) = arguments(run)?;
        let inside = ["%{exe:", "%{dep:"]
            .iter()
            .find_map(|start| program.strip_prefix(start));
        let path = match inside {
            Some(rest) => rest.strip_suffix('}')?,
            None => program.starts_with('.').then_some(program)?,
        };
        let path = path.strip_suffix(".exe")?;
        let path = path.strip_prefix("./").unwrap_or(path);
        (!path.contains("%{")).then_some(())?;
        Some(Stanza {
            name: path.to_owned(),
            action: Some(Action {
                arguments,
                expected: expected.map(str::to_owned),
            }),
            ..of_dune.clone()
        })
    };
    Some(understood().unwrap_or(of_dune))
}

/// The two files of a `diff`.
fn diff(action: &Sexp) -> Option<(&str, &str)> {
    match action.stanza("diff").or_else(|| action.stanza("diff?"))? {
        [expected, output] => Some((expected.atom()?, output.atom()?)),
        _ => None,
    }
}

/// The words of the `run` in `(with-stdout-to FILE (run …))`.
fn printed_to<'a>(action: &'a Sexp, file: &str) -> Option<&'a [Sexp]> {
    match action.stanza("with-stdout-to")? {
        [target, run] if matches!(target.atom()?, it if it == file || it == "%{targets}") => {
            run.stanza("run")
        }
        _ => None,
    }
}

/// Like [`printed_to`], for a rule of the long or the short form.
fn printing<'a>(item: &'a Sexp, file: &str) -> Option<&'a [Sexp]> {
    let fields = item.stanza("rule")?;
    printed_to(action(fields).or_else(|| fields.first())?, file)
}

#[cfg(test)]
mod tests {
    use super::{Action, Stanza, Workspace, collect};
    use crate::program::Form;
    use crate::sexp;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn stanza(folder: &str, name: &str, test: bool) -> Stanza {
        Stanza {
            folder: PathBuf::from(folder),
            name: name.to_owned(),
            test,
            enabled_if: None,
            action: Some(Action::default()),
        }
    }

    #[test]
    fn actions_are_understood_or_left_to_dune() {
        let cases = [
            (
                "(test (name t) (action (run %{test} a %{dep:f.txt})))",
                "t a f.txt",
            ),
            ("(tests (names t) (action (run ./other %{test})))", "-"),
            (
                "(test (name t) (action (run %{test} %{version:soil})))",
                "-",
            ),
            (
                "(rule (alias runtest) (action (run ./x.exe --all)))",
                "x --all",
            ),
            (
                "(rule (aliases check runtest) (action (run %{exe:../b/x.exe})))",
                "../b/x",
            ),
            ("(rule (alias check) (action (run ./x.exe)))", ""),
            ("(rule (alias runtest) (action (run x.exe)))", "-"),
            ("(rule (alias runtest) (action (system \"./x.exe\")))", "-"),
            (
                "(rule (with-stdout-to x.out (run ./x.exe 1)))
                 (rule (alias runtest) (action (diff x.expected x.out)))",
                "x 1 = x.expected",
            ),
            (
                "(rule (targets o) (action (with-stdout-to %{targets} (run ./x.exe))))
                 (rule (alias runtest) (action (diff e o)))",
                "x = e",
            ),
            (
                "(rule (alias runtest)
                  (action (progn (with-stdout-to o (run ./x.exe)) (diff e o))))",
                "x = e",
            ),
            ("(rule (alias runtest) (action (diff e o)))", "-"),
            ("(rule (alias runtest))", "-"),
            ("(rule (action (run ./x.exe)))", ""),
        ];
        for (text, expected) in cases {
            let mut found = Vec::new();
            let items = sexp::parse(text).expect("well formed");
            collect(Path::new(""), &items, &mut found);
            let shown = found.iter().map(|stanza| match &stanza.action {
                None => "-".to_owned(),
                Some(Action {
                    expected: Some(file),
                    ..
                }) => stanza.shown() + " = " + file,
                Some(_) => stanza.shown(),
            });
            assert_eq!(shown.collect::<Vec<_>>().join("; "), expected, "{text}");
        }
    }

    #[test]
    fn a_test_is_run_in_the_contexts_that_its_condition_names() {
        let both = (true, true);
        for (condition, expected) in [
            ("(= %{context_name} default)", (true, false)),
            ("(<> %{context_name} default)", (false, true)),
            ("(not (= %{context_name} soil))", (true, false)),
            (
                "(and %{bin-available:x} (= %{context_name} default))",
                (true, false),
            ),
            ("(or (= %{context_name} soil) (= a b))", both),
            ("(or (= %{context_name} soil) false)", (false, true)),
            ("(>= %{ocaml_version} 5.3)", both),
            ("%{bin-available:x}", both),
            ("false", (false, false)),
        ] {
            let text = format!("(test (name t) (enabled_if {condition}))");
            let mut found = Vec::new();
            collect(
                Path::new(""),
                &sexp::parse(&text).expect("well formed"),
                &mut found,
            );
            let [test] = found.as_slice() else {
                panic!("{found:?}")
            };
            let enabled = (test.enabled(Form::Process), test.enabled(Form::Image));
            assert_eq!(enabled, expected, "{condition}");
        }
    }

    #[test]
    fn executables_and_tests_of_all_folders_are_found() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write(
            "dune",
            "(library (name l)) (executable (name main) (libraries l))",
        );
        write(
            "a/dune",
            "(tests (names t1 t2)) (subdir b (test (name t3) (libraries x.y (select a from))))",
        );
        write("c/dune", "(* -*- tuareg -*- *) let () = (");
        write("d/cram.t", "  $ true");
        write("e/folder.t/run.t", "  $ true");
        write("_build/dune", "(test (name no))");
        write(".git/dune", "(test (name no))");
        let workspace = Workspace {
            root: root.path().to_owned(),
        };
        let expected = [
            stanza("", "main", false),
            stanza("a", "t1", true),
            stanza("a", "t2", true),
            stanza("a/b", "t3", true),
            Stanza::of_dune(Path::new("d"), None),
            Stanza::of_dune(Path::new("e"), None),
        ];
        assert_eq!(workspace.stanzas(), expected);
        let libraries: Vec<String> = workspace.libraries().into_iter().collect();
        assert_eq!(libraries, ["l", "x.y"]);
        assert_eq!(expected[3].shown(), "a/b/t3");
    }
}
