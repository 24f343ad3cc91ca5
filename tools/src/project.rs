//! `soil new` and `soil init`: a dune project whose workspace has the `soil` context. The projects
//! of `soil new` are in `tools/templates`, where dune builds them too.

use crate::arch::Arch;
use crate::cli::Template;
use crate::failure::{Context as _, Failure};
use crate::sexp::{self, Sexp};
use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

/// The oldest version of dune's language that supports the context below.
const DUNE: (u32, u32) = (3, 17);

/// The context that links images, beside the default one: the same compiler and objects, another
/// link driver.
const CONTEXT: &str =
    "; The image, in _build/soil: the same sources and compiler, linked by soil-cc.
; The driver is named twice, for executables that set one of the two fields without :standard, and
; once more in the compilers' environment, for those that set both. A program that doesn't use Soil
; and can't be linked into an image (a C library without a static archive) is reported, and a
; program that says so when it is run takes its place; without SOIL_UNLINKABLE that is an error.

(context
 (default
  (name soil)
  (host default)
  (disable_dynamically_linked_foreign_archives true)
  (env
   (_
    (env-vars
     (OCAMLPARAM \"cc=soil-cc,_\")
     (SOIL_UNLINKABLE report))
    (ocamlopt_flags
     (:standard
      -cc
      %{bin:soil-cc}
      -ccopt
      %{lib:soil:libsoil_image.a}))
    (link_flags
     (:standard
      -cc
      %{bin:soil-cc}
      -ccopt
      %{lib:soil:libsoil_image.a}))))))
";

/// The context that links images for an architecture.
fn context_of(arch: Arch) -> Cow<'static, str> {
    if arch.is_host() {
        return CONTEXT.into();
    }
    let (_, body) = CONTEXT.split_once("\n\n").unwrap_or(("", CONTEXT));
    let name = arch.context();
    let body = body.replacen(
        "  (name soil)\n  (host default)\n",
        &format!("  (name {name})\n  (host default)\n  (toolchain {arch})\n"),
        1,
    );
    let comment = format!(
        "; The image for {arch}, in _build/{name}: the same sources, compiled by OCaml's compiler \
        for it\n; ('soil doctor --arch {arch} --fix' fetches it) and linked by soil-cc. 'soil build' \
        finds that\n; compiler; for 'dune build' alone name it: export \
        OCAMLFIND_CONF=~/.cache/soil/{arch}/root/findlib.conf\n\n"
    );
    (comment + &body).into()
}

/// The files of a template, without those common to all projects.
macro_rules! template {
    ($name:literal: $($file:literal)*) => {
        &[$(($file, include_str!(concat!("../templates/", $name, "/", $file)))),*]
    };
}

impl Template {
    /// Paths and contents; `@NAME@` stands for the project's name.
    const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tcp => template!(
                "tcp": "README.md" "dune" "main.ml" "echo.ml" "test/dune" "test/test.ml"
            ),
            Self::Kv => template!(
                "kv": "README.md" "dune" "main.ml" "protocol.ml" "test/dune" "test/test.ml"
            ),
            Self::Http => template!(
                "http": "README.md" "dune" "main.ml" "site.ml" "test/dune" "test/test.ml"
            ),
            Self::Cli => template!(
                "cli": "README.md" "dune" "main.ml" "count.ml" "test/dune" "test/test.ml"
            ),
            Self::Simulation => template!(
                "simulation": "README.md" "dune" "main.ml" "register.ml" "test/dune"
                "test/test.ml" "test/simulate.ml"
            ),
        }
    }

    /// The command that prepares the first run.
    const fn preparation(self) -> &'static str {
        match self {
            Self::Kv | Self::Simulation => "\n  soil disk make data.img --fs ext4 --size 64M",
            Self::Tcp | Self::Http | Self::Cli => "",
        }
    }

    /// The options of `soil run` for the first run.
    const fn options(self) -> &'static str {
        match self {
            Self::Tcp => " --forward 7007:7",
            Self::Kv | Self::Simulation => " --disk data=data.img",
            Self::Http => " --forward 8080:80",
            Self::Cli => " < README.md",
        }
    }
}

/// Runs `soil new NAME` and returns the text to print.
pub fn new(name: &str, template: Template) -> Result<String, Failure> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        return Err(Failure::new(format!("'{name}' is no project name"))
            .remedy("a letter, then letters, digits, '_' or '-'"));
    }
    let folder = Path::new(name);
    make_folder(folder)?;
    let (major, minor) = DUNE;
    let project = format!("(lang dune {major}.{minor})\n\n(name {name})\n");
    let common = [
        ("dune-project", project),
        ("dune-workspace", workspace()),
        (".gitignore", "/_build/\n*.img\n".to_owned()),
    ];
    let own = template.files().iter();
    let own = own.map(|(file, text)| (*file, text.replace("@NAME@", name)));
    for (file, content) in common.into_iter().chain(own) {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).on(parent)?;
        }
        std::fs::write(&path, content).on(&path)?;
    }
    let (before, options) = (template.preparation(), template.options());
    Ok(format!(
        "{name} is made. Next:\n  cd {name}\n  soil build\n  soil test{before}\n\
        \x20 soil run _build/default/main.exe{options}   # a Linux process\n\
        \x20 soil run _build/soil/main.exe{options}      # a virtual machine"
    ))
}

/// Creates the project's folder; accepts an empty one.
fn make_folder(folder: &Path) -> Result<(), Failure> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => return made.on(folder),
    }
    let entries = std::fs::read_dir(folder).on(folder)?;
    if entries.count() == 0 {
        return Ok(());
    }
    let remedy = "choose another name, or run 'soil init' in it";
    Err(Failure::on(folder, "already exists, and not empty").remedy(remedy))
}

fn workspace() -> String {
    let (major, minor) = DUNE;
    format!("(lang dune {major}.{minor})\n\n(context default)\n\n{CONTEXT}")
}

/// Whether the workspace in `root` has the context that links images for `arch`.
pub fn has_context(root: &Path, arch: Arch) -> Result<bool, Failure> {
    let text = text_of(&root.join("dune-workspace"))?.unwrap_or_default();
    let stanzas = sexp::parse(&text).unwrap_or_default();
    let ours = |(name, ours): (String, bool)| name == arch.context() && ours;
    Ok(stanzas.iter().filter_map(context).any(ours))
}

/// The text of a file; `None` if there is no such file.
pub fn text_of(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => text.map(Some).on(path),
    }
}

/// Runs `soil init` in `folder`, for images for `arch`, and returns the text to print.
pub fn init(folder: &Path, arch: Arch) -> Result<String, Failure> {
    let name = arch.context();
    if !matches!(arch, Arch::Aarch64) && !arch.is_host() {
        let reason = format!("images for {arch} can't be built here, on {}", Arch::HOST);
        return Err(Failure::on(format!("--arch {arch}"), reason).remedy("build them there"));
    }
    let path = folder.join("dune-workspace");
    let shown = path.display();
    let before = text_of(&path)?;
    if before.is_none() && !folder.join("dune-project").exists() {
        let remedy = "run it in a workspace's root, or 'soil new NAME' for a new project";
        return Err(Failure::new("neither dune-project nor dune-workspace is here").remedy(remedy));
    }
    match change(&path, before.as_deref(), arch)? {
        None => Ok(format!("{shown} has the context {name} already")),
        Some(text) => {
            replace(&path, &text).on(&path)?;
            let verb = match before {
                Some(_) => "added",
                None => "made with",
            };
            Ok(format!(
                "{shown}: {verb} the context {name}. '{}' makes an image of each program in \
                    _build/{name}; add soil to the libraries of a program to use its modules",
                if arch.is_host() {
                    "dune build"
                } else {
                    "soil build"
                },
            ) + &by_dune_alone(arch))
        }
    }
}

/// What dune needs to find the compiler for another architecture without `soil build`.
fn by_dune_alone(arch: Arch) -> String {
    match arch.is_host() {
        true => String::new(),
        false => format!(
            ". For 'dune build' alone: export OCAMLFIND_CONF=~/.cache/soil/{arch}/root/findlib.conf"
        ),
    }
}

/// Writes a temporary file and renames it, so that the file is never incomplete.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // Keeps a symbolic link and replaces its target.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut part = path.clone().into_os_string();
    part.push(".soil-part");
    let mut file = std::fs::File::create(&part)?;
    file.write_all(text.as_bytes())?;
    if let Ok(metadata) = std::fs::metadata(&path) {
        file.set_permissions(metadata.permissions())?;
    }
    file.sync_all()?;
    std::fs::rename(&part, &path)
}

/// Returns the new text of the workspace file at `path`, which keeps its existing contents; `None`
/// if it has the context already.
fn change(path: &Path, before: Option<&str>, arch: Arch) -> Result<Option<String>, Failure> {
    let Some(before) = before else {
        let mut text = workspace();
        if !arch.is_host() {
            text = text + "\n" + &context_of(arch);
        }
        return Ok(Some(text));
    };
    let ours_is = arch.context();
    let stanzas = sexp::parse(before)
        .map_err(|(line, why)| Failure::on(path, format!("line {line} can't be read: {why}")))?;
    let version = stanzas
        .iter()
        .find_map(|stanza| match stanza.stanza("lang")? {
            [Sexp::Atom(language), Sexp::Atom(version)] if language == "dune" => Some(version),
            _ => None,
        });
    let (major, minor) = DUNE;
    let numbers = |text: &str| {
        let (first, second) = text.split_once('.')?;
        Some((first.parse::<u32>().ok()?, second.parse::<u32>().ok()?))
    };
    match version.map(|version| numbers(version)) {
        Some(Some(found)) if found >= DUNE => {}
        Some(_) => {
            let reason =
                format!("the {ours_is} context needs (lang dune {major}.{minor}) or later");
            return Err(Failure::on(path, reason).remedy("change the first line"));
        }
        None => {
            let remedy = format!("write (lang dune {major}.{minor}) into its first line");
            return Err(Failure::on(path, "it has no (lang dune …)").remedy(remedy));
        }
    }
    let contexts: Vec<(String, bool)> = stanzas.iter().filter_map(context).collect();
    if let Some((_, ours)) = contexts.iter().find(|(name, _)| name == ours_is) {
        return if *ours {
            Ok(None)
        } else {
            let reason =
                format!("it has a context called {ours_is} that doesn't link with soil-cc");
            Err(Failure::on(path, reason).remedy("give that another name"))
        };
    }
    let mut text = before.to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    if contexts.is_empty() {
        // Without any context dune uses the default one; ours alone would disable it.
        text.push_str("\n(context default)\n");
    } else if !contexts.iter().any(|(name, _)| name == "default") {
        let reason = format!("it has no context called default, which the {ours_is} context needs");
        return Err(Failure::on(path, reason).remedy("add (context default)"));
    }
    text.push('\n');
    text.push_str(&context_of(arch));
    Ok(Some(text))
}

/// Returns a context's name and whether it links with our driver.
fn context(stanza: &Sexp) -> Option<(String, bool)> {
    match stanza.stanza("context")?.first()? {
        Sexp::Atom(kind) => Some((kind.clone(), false)),
        Sexp::List(items) => {
            let (kind, fields) = items.split_first()?;
            // An opam context without a name takes that of its switch.
            let name = Sexp::field(fields, "name").or_else(|| match kind.atom()? {
                "opam" => Sexp::field(fields, "switch"),
                kind => Some(kind),
            })?;
            Some((name.to_owned(), fields.iter().any(mentions_driver)))
        }
    }
}

fn mentions_driver(sexp: &Sexp) -> bool {
    match sexp {
        Sexp::Atom(word) => word.contains("soil-cc"),
        Sexp::List(items) => items.iter().any(mentions_driver),
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTEXT, change, context_of, has_context, init, make_folder, new, workspace};
    use crate::arch::Arch;
    use crate::cli::Template;
    use crate::sexp;
    use proptest::prelude::proptest;

    const FILE: &str = "dune-workspace";

    fn changed(before: &str) -> String {
        match change(FILE.as_ref(), Some(before), Arch::HOST) {
            Ok(Some(text)) => text,
            other => panic!("{other:?} for {before}"),
        }
    }

    #[test]
    fn what_is_written_needs_no_second_change() {
        let unchanged = change(FILE.as_ref(), Some(&workspace()), Arch::HOST);
        assert_eq!(unchanged, Ok(None));
        let made = change(FILE.as_ref(), None, Arch::HOST);
        assert_eq!(made, Ok(Some(workspace())));
    }

    #[test]
    fn soils_own_workspace_has_the_same_context() {
        let (_, context) = CONTEXT
            .split_once("\n\n")
            .expect("a comment and the context");
        assert!(include_str!("../../dune-workspace").contains(context));
    }

    #[test]
    fn the_context_of_another_architecture_stands_beside_the_first() {
        let foreign = match Arch::HOST {
            Arch::X86_64 => Arch::Aarch64,
            Arch::Aarch64 => Arch::X86_64,
        };
        let own = context_of(foreign);
        for before in [None, Some(workspace())] {
            let Ok(Some(text)) = change(FILE.as_ref(), before.as_deref(), foreign) else {
                panic!("no change of {before:?}");
            };
            assert_eq!(text, workspace() + "\n" + &own);
            let again = change(FILE.as_ref(), Some(&text), foreign);
            assert_eq!(again, Ok(None));
        }
        if foreign == Arch::Aarch64 {
            let (_, context) = own.split_once("\n\n").expect("a comment and the context");
            assert!(own.contains("OCAMLFIND_CONF=~/.cache/soil/aarch64/root/findlib.conf"));
            assert!(context.contains("(toolchain aarch64)"));
            assert!(include_str!("../../dune-workspace.aarch64").contains(context));
        }
    }

    #[test]
    fn the_default_context_is_kept_alive() {
        let before = "(lang dune 3.17)\n; mine\n(profile release)";
        let text = changed(before);
        assert!(text.starts_with(before) && text.ends_with(CONTEXT));
        assert!(text.contains("\n(context default)\n"));
        let again = change(FILE.as_ref(), Some(&text), Arch::HOST);
        assert_eq!(again, Ok(None));
        let two = "(lang dune 3.18)\n(context (default (name default)))\n\
            (context (opam (switch 4.14)))\n";
        assert_eq!(changed(two), format!("{two}\n{CONTEXT}"));
    }

    #[test]
    fn what_can_not_be_done_is_said() {
        for (before, named) in [
            ("(lang dune 3.17", "line 1"),
            ("(context default)", "lang dune"),
            ("(lang dune 2.9)", "3.17"),
            ("(lang dune x)", "3.17"),
            (
                "(lang dune 3.17) (context (opam (switch 5.2)))",
                "called default",
            ),
            (
                "(lang dune 3.17) (context (default (name soil)))",
                "another name",
            ),
        ] {
            let error = change(FILE.as_ref(), Some(before), Arch::HOST)
                .expect_err(before)
                .to_string();
            assert!(error.contains(named), "{before}: {error}");
        }
    }

    #[test]
    fn a_name_is_a_folder_and_nothing_else() {
        for bad in ["", ".", "..", "a/b", "-x", "1a", "a b", "é"] {
            assert!(new(bad, Template::Tcp).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_project_is_made_in_a_new_or_empty_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(make_folder(folder.path()), Ok(()));
        assert_eq!(make_folder(&folder.path().join("new")), Ok(()));
        let error = make_folder(folder.path())
            .expect_err("not empty")
            .to_string();
        assert!(
            error.contains("not empty") && error.contains("soil init"),
            "{error}"
        );
    }

    #[test]
    fn a_workspace_is_made_where_a_project_is() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(
            init(folder.path(), Arch::HOST)
                .expect_err("no project")
                .to_string()
                .contains("soil new")
        );
        std::fs::write(folder.path().join("dune-project"), "(lang dune 3.17)\n").expect("written");
        assert!(!has_context(folder.path(), Arch::HOST).expect("readable"));
        let text = init(folder.path(), Arch::HOST).expect("made");
        assert!(text.contains("made"), "{text}");
        assert!(has_context(folder.path(), Arch::HOST).expect("readable"));
        let text = init(folder.path(), Arch::HOST).expect("there");
        assert!(text.contains("already"), "{text}");
        if Arch::HOST == Arch::X86_64 {
            let text = init(folder.path(), Arch::Aarch64).expect("added");
            assert!(
                text.contains("export OCAMLFIND_CONF=~/.cache/soil/aarch64"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_that_stood_there_is_lost(
            extra in "(\\((env|profile) [a-z]{1,5}\\)|; [a-z(]{0,9}\n|\n){0,6}",
        ) {
            let before = format!("(lang dune 3.17)\n{extra}");
            let text = changed(&before);
            assert!(text.starts_with(&before));
            let old = sexp::parse(&before).expect("parsed");
            let new = sexp::parse(&text).expect("parsed");
            assert_eq!(&new[..old.len()], &old[..]);
        }
    }
}
