//! The dune workspace around the current folder: its root, its builds and its programs.

use crate::failure::{Context as _, Failure};
use crate::program::Form;
use crate::project;
use crate::run::signalled_at_our_end;
use crate::sexp::{self, Sexp};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A dune workspace.
pub struct Workspace {
    root: PathBuf,
}

/// An executable or a test of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// Its folder, from the root on.
    pub folder: PathBuf,
    /// Its name in the dune file.
    pub name: String,
    /// Whether it is a test.
    pub test: bool,
    /// The condition under which a test is run.
    enabled_if: Option<Sexp>,
}

impl Stanza {
    /// `folder/name`.
    pub fn shown(&self) -> String {
        self.folder.join(&self.name).display().to_string()
    }

    /// Whether dune runs this test in the context of a form, as far as the condition compares the
    /// context's name; other conditions are taken to hold.
    pub fn enabled(&self, form: Form) -> bool {
        let condition = self.enabled_if.as_ref();
        condition.and_then(|it| holds(it, context(form))) != Some(false)
    }
}

impl Workspace {
    /// The workspace of the current folder by dune's rule: the outermost folder with a
    /// `dune-workspace`, else the outermost with a `dune-project`. Its workspace file has the
    /// context that links images.
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
        if !project::has_context(root)? {
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

    /// Builds everything in both contexts. Dune prints errors and its progress.
    pub fn build(&self, release: bool) -> Result<(), Failure> {
        let mut command = self.dune(release);
        signalled_at_our_end(&mut command, Signal::TERM);
        let status = command.status().map_err(not_started)?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::new("dune could not build everything"))
        }
    }

    /// The command that builds everything in both contexts.
    pub fn dune(&self, release: bool) -> Command {
        let mut command = Command::new("dune");
        command.arg("build").arg("--root").arg(&self.root);
        // Named on the command line it isn't announced ("Entering directory …").
        command.arg("--no-print-directory");
        if release {
            command.args(["--profile", "release"]);
        }
        command
    }

    /// The file that dune makes of a stanza in the context of this form, whether it exists or not.
    pub fn executable(&self, stanza: &Stanza, form: Form) -> PathBuf {
        let folder = std::env::var_os("DUNE_BUILD_DIR").unwrap_or_else(|| "_build".into());
        let mut file = self
            .root
            .join(folder)
            .join(context(form))
            .join(&stanza.folder);
        file.push(format!("{}.exe", stanza.name));
        file
    }

    /// A path as it is written from the current folder, if that is the root.
    pub fn shown(&self, file: &Path) -> String {
        let inside = match std::env::current_dir() {
            Ok(here) => file.strip_prefix(here).unwrap_or(file),
            Err(_) => file,
        };
        inside.display().to_string()
    }

    /// The stanzas of all dune files, sorted. Files in OCaml's syntax say nothing here, and folders
    /// that dune leaves out may be among them: a stanza counts if its executable exists.
    pub fn stanzas(&self) -> Vec<Stanza> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(self.root.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let name = entry.file_name();
                let plain = !name.to_string_lossy().starts_with(['.', '_']);
                match entry.file_type() {
                    // Dune's own default.
                    Ok(kind) if kind.is_dir() && plain => folders.push(folder.join(&name)),
                    Ok(kind) if !kind.is_dir() && name == "dune" => {
                        let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                        let items = sexp::parse(&text).unwrap_or_default();
                        collect(&folder, &items, &mut found);
                    }
                    _ => {}
                }
            }
        }
        found.sort_by(|a, b| (&a.folder, &a.name).cmp(&(&b.folder, &b.name)));
        found
    }
}

/// The context whose executables have this form.
const fn context(form: Form) -> &'static str {
    match form {
        Form::Process => "default",
        Form::Image => "soil",
    }
}

/// Whether a condition (dune's manual, "Boolean Language") holds in a context; none where that
/// depends on something else.
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
        ("and", _) => each
            .try_fold(Some(true), |all, one| match (all, one) {
                (_, Some(false)) => Err(false),
                (all, one) => Ok(all.and(one)),
            })
            .unwrap_or_else(Some),
        ("or", _) => each
            .try_fold(Some(false), |any, one| match (any, one) {
                (_, Some(true)) => Err(true),
                (any, one) => Ok(any.and(one)),
            })
            .unwrap_or_else(Some),
        ("=" | "<>", [Sexp::Atom(variable), Sexp::Atom(name)]) if variable == "%{context_name}" => {
            Some((name == context) == (operator == "="))
        }
        _ => None,
    }
}

/// The error for a dune that doesn't start.
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
        for (kind, field, test) in [
            ("executable", "name", false),
            ("executables", "names", false),
            ("test", "name", true),
            ("tests", "names", true),
        ] {
            let fields = item.stanza(kind).unwrap_or_default();
            let names = fields.iter().find_map(|given| given.stanza(field));
            let names = names.unwrap_or_default().iter().filter_map(Sexp::atom);
            let condition = fields.iter().find_map(|given| given.stanza("enabled_if"));
            found.extend(names.map(|name| Stanza {
                folder: folder.to_owned(),
                name: name.to_owned(),
                test,
                enabled_if: condition.and_then(|given| given.first().cloned()),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Stanza, Workspace, collect};
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
            "(tests (names t1 t2)) (subdir b (test (name t3)))",
        );
        write("c/dune", "(* -*- tuareg -*- *) let () = (");
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
        ];
        assert_eq!(workspace.stanzas(), expected);
        assert_eq!(expected[3].shown(), "a/b/t3");
    }
}
