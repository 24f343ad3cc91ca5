//! The modules of a Rust program, and the items of other files that each file refers to.

use crate::tokens::{is_identifier, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// References between files: by the file that refers and the one with the item, the items' names.
pub type References = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

/// A path in the source, such as `super::name`.
type Names = Vec<String>;

/// Depth of re-exports; a greater one is a name that imports itself.
const MAX_IMPORTS: usize = 16;

/// A module: a file, or a part of one.
#[derive(Default)]
struct Module {
    parent: Option<usize>,
    file: PathBuf,
    modules: BTreeMap<String, Vec<usize>>,
    items: BTreeSet<String>,
    /// Paths of imported names.
    imports: BTreeMap<String, Vec<Names>>,
    /// Modules all of whose names are imported.
    globs: Vec<Names>,
    /// Paths that the code refers to.
    references: BTreeSet<Names>,
    /// Names that are imported for others, and those that the code mentions.
    exports: BTreeSet<String>,
    mentioned: BTreeSet<String>,
}

/// What a path leads to.
#[derive(Clone)]
enum Target {
    Module(usize),
    Item(PathBuf, String),
}

/// The modules of one program or library, the root first.
#[derive(Default)]
pub struct Program {
    modules: Vec<Module>,
    /// Files of `macro_rules!` with `#[macro_export]`.
    macros: BTreeMap<String, PathBuf>,
}

impl Program {
    /// Reads the program whose root is `file`, without its unit tests.
    ///
    /// # Panics
    /// If a file can't be read.
    pub fn read(file: &Path) -> Program {
        let mut program = Program::default();
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        program.read_file(file.to_owned(), folder, None);
        program
    }

    /// Adds the references between the files.
    pub fn references(&self, into: &mut References) {
        for (index, module) in self.modules.iter().enumerate() {
            let imports = module.imports.iter().filter(|(name, _)| {
                !module.exports.contains(*name) || module.mentioned.contains(*name)
            });
            let imports = imports.flat_map(|(_, paths)| paths);
            for path in imports.chain(&module.references) {
                for target in self.resolve(index, path, 0) {
                    if let Target::Item(file, name) = target
                        && file != module.file
                    {
                        let names = into.entry((module.file.clone(), file)).or_default();
                        names.insert(name);
                    }
                }
            }
        }
    }

    /// `folder` has the files of the module's own modules.
    fn read_file(&mut self, file: PathBuf, folder: PathBuf, parent: Option<usize>) -> usize {
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let module = self.add(file, parent);
        self.read_items(&words(&text), module, &folder);
        module
    }

    fn add(&mut self, file: PathBuf, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            parent,
            file,
            ..Module::default()
        });
        self.modules.len() - 1
    }

    fn read_items(&mut self, words: &[String], module: usize, folder: &Path) {
        let mut i = 0;
        let (mut path, mut exported, mut public) = (Vec::new(), false, false);
        while let Some(word) = words.get(i) {
            let next = words.get(i + 1).map_or("", |word| word);
            match &word[..] {
                "#" => {
                    let start = i + 1 + usize::from(next == "!");
                    let end = group(words, start);
                    let attribute = &words[start..end];
                    i = end;
                    if is_for_tests(attribute) && next != "!" {
                        i = item(words, i);
                    }
                    exported |= attribute.iter().any(|word| word == "macro_export");
                    let mut given = attribute.windows(3);
                    if let Some(given) = given.find(|it| it[0] == "path" && it[1] == "=") {
                        path.push(given[2].trim_matches('"').to_owned());
                    }
                    continue;
                }
                "pub" => {
                    public = true;
                    i += 1;
                    if next == "(" {
                        i = group(words, i);
                    }
                    continue;
                }
                "mod" if is_identifier(next) => {
                    if words.get(i + 2).is_some_and(|word| word == "{") {
                        let end = group(words, i + 2);
                        let file = self.modules[module].file.clone();
                        let inner = self.add(file, Some(module));
                        self.read_items(&words[i + 3..end - 1], inner, &folder.join(next));
                        self.have(module, next, inner);
                        i = end;
                    } else {
                        for (file, folder) in files(folder, next, &path, &self.modules[module].file)
                        {
                            let inner = self.read_file(file, folder, Some(module));
                            self.have(module, next, inner);
                        }
                        i += 3;
                    }
                }
                "use" => {
                    let end = i + words[i..].iter().take_while(|word| *word != ";").count();
                    self.import(&words[i + 1..end], module, &[], public);
                    i = end + 1;
                }
                "macro_rules" => {
                    let name = &words[i + 2];
                    let file = self.modules[module].file.clone();
                    if exported {
                        self.macros.insert(name.clone(), file);
                    }
                    self.modules[module].items.insert(name.clone());
                    let end = group(words, i + 3);
                    self.read_code(&words[i + 3..end], module);
                    i = end;
                }
                _ => {
                    let end = item(words, i);
                    let code = &words[i..end];
                    self.define(code, module);
                    self.read_code(code, module);
                    i = end;
                }
            }
            path.clear();
            (exported, public) = (false, false);
        }
    }

    fn have(&mut self, module: usize, name: &str, inner: usize) {
        let modules = &mut self.modules[module].modules;
        modules.entry(name.into()).or_default().push(inner);
    }

    /// Adds the names that an item defines: one, or in a macro's call each that follows a keyword.
    fn define(&mut self, code: &[String], module: usize) {
        let is_call = code.get(1).is_some_and(|word| word == "!");
        let is_implementation = code.iter().take(3).any(|word| word == "impl");
        if is_implementation && !is_call {
            return;
        }
        for (word, next) in code.iter().zip(&code[1..]) {
            let mut name = next;
            match &word[..] {
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "mut" => {}
                "static" if next != "mut" => {}
                "{" | "=" if !is_call => return,
                _ => continue,
            }
            if name == "fn" || name == "mut" || name == "unsafe" || !is_identifier(name) {
                continue;
            }
            name = next;
            self.modules[module].items.insert(name.clone());
            if !is_call {
                return;
            }
        }
    }

    /// Adds the paths in code, and what it imports.
    fn read_code(&mut self, words: &[String], module: usize) {
        let mut i = 0;
        while let Some(word) = words.get(i) {
            let previous = i.checked_sub(1).map_or("", |previous| &words[previous]);
            if word == "#" && words.get(i + 1).is_some_and(|word| word == "[") {
                let end = group(words, i + 1);
                let is_test = is_for_tests(&words[i + 1..end]);
                i = if is_test { item(words, end) } else { end };
            } else if word == "use" && words.get(i + 1).is_some_and(|word| is_identifier(word)) {
                let end = i + words[i..].iter().take_while(|word| *word != ";").count();
                self.import(&words[i + 1..end], module, &[], false);
                i = end + 1;
            } else if word == "pub" && words.get(i + 1).is_some_and(|word| word == "(") {
                i = group(words, i + 1);
            } else if is_identifier(word) && previous != "::" && previous != "." {
                let mut path = vec![word.clone()];
                while words.get(i + 1).is_some_and(|word| word == "::")
                    && words.get(i + 2).is_some_and(|word| is_identifier(word))
                {
                    path.push(words[i + 2].clone());
                    i += 2;
                }
                self.modules[module].mentioned.insert(word.clone());
                // A macro's parameter can be any name.
                let known = path
                    .iter()
                    .skip(1)
                    .take_while(|name| !name.starts_with('$'))
                    .count();
                path.truncate(1 + known);
                if path.len() > 1 {
                    self.modules[module].references.insert(path);
                }
                i += 1;
            } else {
                i += 1;
            }
        }
    }

    /// Adds the names that `use` imports below the path `base`.
    fn import(&mut self, words: &[String], module: usize, base: &[String], public: bool) {
        let mut path = base.to_vec();
        let mut i = 0;
        while let Some(word) = words.get(i) {
            match &word[..] {
                "::" if path.is_empty() => return,
                "::" => {}
                "*" => return self.modules[module].globs.push(path),
                "{" => {
                    let end = group(words, i);
                    let (mut start, mut at) = (i + 1, i + 1);
                    while at < end {
                        match &words[at][..] {
                            "{" => at = group(words, at),
                            "," | "}" => {
                                self.import(&words[start..at], module, &path, public);
                                at += 1;
                                start = at;
                            }
                            _ => at += 1,
                        }
                    }
                    return;
                }
                "as" => break,
                "self" if !path.is_empty() => {}
                name => path.push(name.to_owned()),
            }
            i += 1;
        }
        let alias = words
            .iter()
            .position(|word| word == "as")
            .map(|at| &words[at + 1]);
        let Some(name) = alias.or(path.last()).cloned() else {
            return;
        };
        let own = &mut self.modules[module];
        if public {
            own.exports.insert(name.clone());
        }
        own.imports.entry(name).or_default().push(path);
    }

    /// What a path in a module leads to; nothing if that is outside of the program.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Vec<Target> {
        let own = &self.modules[module];
        let Some((first, rest)) = path.split_first() else {
            return vec![Target::Module(module)];
        };
        if depth > MAX_IMPORTS {
            return Vec::new();
        }
        match &first[..] {
            "crate" | "$crate" => {
                if let [name, ..] = rest
                    && let Some(file) = self.macros.get(name)
                {
                    return vec![Target::Item(file.clone(), name.clone())];
                }
                self.inside(0, rest, depth)
            }
            "self" => self.inside(module, rest, depth),
            "super" => match own.parent {
                Some(parent) if rest.first().is_some_and(|name| name == "super") => {
                    self.resolve(parent, rest, depth)
                }
                Some(parent) => self.inside(parent, rest, depth),
                None => Vec::new(),
            },
            name if own.modules.contains_key(name) || own.items.contains(name) => {
                self.inside(module, path, depth)
            }
            name => {
                let imported = own.imports.get(name).into_iter().flatten();
                let imported = imported.filter(|path| path.first().is_some_and(|it| it != name));
                let paths = imported.map(|path| [path, rest].concat());
                paths
                    .flat_map(|path| self.resolve(module, &path, depth + 1))
                    .collect()
            }
        }
    }

    /// What a path leads to from inside a module.
    fn inside(&self, module: usize, path: &[String], depth: usize) -> Vec<Target> {
        let own = &self.modules[module];
        let Some((name, rest)) = path.split_first() else {
            return vec![Target::Module(module)];
        };
        if let Some(modules) = own.modules.get(name) {
            return modules
                .iter()
                .flat_map(|inner| self.inside(*inner, rest, depth))
                .collect();
        }
        let item = Target::Item(own.file.clone(), name.clone());
        if own.items.contains(name) {
            return vec![item];
        }
        if own.imports.contains_key(name) {
            return self.resolve(module, path, depth + 1);
        }
        for glob in &own.globs {
            for target in self.resolve(module, glob, depth + 1) {
                if let Target::Module(other) = target
                    && other != module
                    && self.modules[other].has(name)
                {
                    return self.inside(other, path, depth + 1);
                }
            }
        }
        vec![item]
    }
}

impl Module {
    fn has(&self, name: &str) -> bool {
        self.items.contains(name)
            || self.modules.contains_key(name)
            || self.imports.contains_key(name)
    }
}

/// The files of the module `name`, each with the folder of its own modules: one, or one for each
/// processor if attributes name them.
fn files(folder: &Path, name: &str, paths: &[String], own: &Path) -> Vec<(PathBuf, PathBuf)> {
    if paths.is_empty() {
        let below = folder.join(name);
        let nested = below.join("mod.rs");
        let file = if nested.exists() {
            nested
        } else {
            folder.join(format!("{name}.rs"))
        };
        return vec![(file, below)];
    }
    let beside = own.parent().unwrap_or(folder);
    let found = paths.iter().map(|path| normal(&beside.join(path)));
    found
        .map(|file| (file.clone(), file.parent().unwrap_or(folder).to_owned()))
        .collect()
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(found.pop()),
            part => found.push(part),
        }
    }
    found
}

/// The end of the group in brackets at `start`.
fn group(words: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (index, word) in words.iter().enumerate().skip(start) {
        match &word[..] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    words.len()
}

/// The end of the item, statement or field at `start`.
fn item(words: &[String], start: usize) -> usize {
    let is_kind = |word: &str| {
        !matches!(word, "pub" | "unsafe" | "extern" | "async" | "#") && is_identifier(word)
    };
    let mut kinds = words[start..].iter().filter(|word| is_kind(word));
    let kind = kinds.next().map_or("", |word| word);
    let is_function = kind == "const"
        && kinds
            .next()
            .is_some_and(|word| word == "fn" || word == "unsafe");
    let is_value = matches!(kind, "const" | "static" | "type" | "let" | "use") && !is_function;
    let is_item = matches!(
        kind,
        "fn" | "const" | "impl" | "struct" | "enum" | "trait" | "mod"
    );
    let (mut i, mut angles) = (start, 0);
    while let Some(word) = words.get(i) {
        match &word[..] {
            "<" => angles += 1,
            ">" if words[i - 1] != "-" && words[i - 1] != "=" => angles -= 1,
            "," if angles == 0 && !is_item => return i + 1,
            ";" => return i + 1,
            "{" if !is_value => return group(words, i),
            // The end of the block that the item is in.
            ")" | "]" | "}" => return i,
            _ => {}
        }
        i = if matches!(&word[..], "(" | "[" | "{") {
            group(words, i)
        } else {
            i + 1
        };
    }
    i
}

/// Whether an attribute leaves its item to unit tests.
fn is_for_tests(attribute: &[String]) -> bool {
    let words: Vec<&str> = attribute.iter().map(|word| &word[..]).collect();
    matches!(
        &words[..],
        ["[", "cfg", "(", "test", ")", "]"] | ["[", "cfg", "(", "all", "(", "test", ..]
    ) || words == ["[", "test", "]"]
}
