//! Index: names, links, replacement, limits.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Content, Known, ROOT, Refusal, Tree, hash};
use crate::{Error, Kind, Walk};

fn file(tree: &mut Tree<u32>, path: &str, contents: u32) -> Result<(), Refusal> {
    tree.add(path, Content::File(contents), Known::default())
}

fn contents(tree: &Tree<u32>, path: &str) -> Option<u32> {
    match tree.content(tree.lookup(path).ok()?)? {
        Content::File(contents) => Some(*contents),
        _ => None,
    }
}

fn listed(tree: &Tree<u32>, path: &str) -> Vec<String> {
    let directory = tree.lookup(path).unwrap();
    let (mut names, mut place) = (Vec::new(), 0);
    while let Some((id, next)) = tree.entry(directory, place) {
        names.push(tree.name(id).to_string());
        place = next;
        if next == 0 {
            break;
        }
    }
    names
}

#[test]
fn directories_come_with_the_files_in_them() {
    let mut tree = Tree::new(usize::MAX);
    file(&mut tree, "a/b/c", 1).unwrap();
    file(&mut tree, "/a/d", 2).unwrap();
    file(&mut tree, "a/b/e", 3).unwrap();
    assert_eq!(listed(&tree, "/a/b"), ["c", "e"]);
    assert_eq!(listed(&tree, "a"), ["b", "d"]);
    assert_eq!(listed(&tree, "/"), ["a"]);
    assert_eq!(contents(&tree, "/a/b/e"), Some(3));
    assert_eq!(tree.lookup("/a/x"), Err(Error::NotFound));
    assert_eq!(tree.lookup("/a/d/x"), Err(Error::NotDirectory));
    assert_eq!(tree.lookup(&"n".repeat(256)), Err(Error::NameTooLong));
    assert_eq!(tree.lookup(""), Ok(ROOT));
    assert!(tree.entry(ROOT, 99).is_none() && tree.entry(ROOT, u64::MAX).is_none());
    let inner = tree.lookup("/a/b/c").unwrap();
    assert!(tree.entry(ROOT, inner.into()).is_none()); // a place in another directory
}

#[test]
fn later_entries_replace_files_only() {
    let mut tree = Tree::new(usize::MAX);
    file(&mut tree, "a", 1).unwrap();
    tree.add_hard_link("b", "a", Known::default()).unwrap();
    assert_eq!(
        tree.stat(tree.lookup("b").unwrap(), |_| 9).unwrap().links,
        2
    );
    file(&mut tree, "a", 2).unwrap();
    assert_eq!(
        (contents(&tree, "a"), contents(&tree, "b")),
        (Some(2), Some(1))
    );
    assert_eq!(
        tree.stat(tree.lookup("b").unwrap(), |_| 9).unwrap().links,
        1
    );
    tree.add("a", Content::Link("b".into()), Known::default())
        .unwrap();
    assert_eq!(
        tree.stat(tree.lookup("a").unwrap(), |_| 9).unwrap().kind,
        Kind::Symlink
    );
    assert_eq!(
        tree.add("a", Content::EMPTY, Known::default()),
        Err(Refusal::Kind)
    );
    tree.add("d", Content::EMPTY, Known::default()).unwrap();
    assert_eq!(file(&mut tree, "d", 1), Err(Refusal::Kind));
    assert_eq!(file(&mut tree, "a/x", 1), Err(Refusal::Kind));
    assert_eq!(file(&mut tree, "d/../x", 1), Err(Refusal::Name));
    assert_eq!(file(&mut tree, "/", 1), Err(Refusal::Kind));
    assert_eq!(
        tree.add_hard_link("x", "none", Known::default()),
        Err(Refusal::Target)
    );
    assert_eq!(
        tree.add_hard_link("x", "d", Known::default()),
        Err(Refusal::Kind)
    );
    assert_eq!(
        tree.add_hard_link("d", "b", Known::default()),
        Err(Refusal::Kind)
    );
    assert_eq!(listed(&tree, ""), ["a", "b", "d"]);
}

#[test]
fn links_are_found_where_a_path_meets_them() {
    let mut tree = Tree::new(usize::MAX);
    file(&mut tree, "d/f", 1).unwrap();
    assert_eq!(tree.resolve("/d/f", true), Walk::Plain);
    tree.add("l", Content::Link("d".into()), Known::default())
        .unwrap();
    let target = "d".to_string();
    assert_eq!(tree.resolve("/l/f", false), Walk::Link { end: 2, target });
    assert_eq!(tree.resolve("/l", false), Walk::Plain);
    assert_eq!(tree.resolve("/x/l", true), Walk::Plain);
}

#[test]
fn memory_has_a_limit() {
    let mut tree = Tree::new(100_000);
    let added = (0..100_000).take_while(|n| file(&mut tree, &format!("/{n}"), *n).is_ok());
    let added = added.count();
    assert!((500..3000).contains(&added), "{added}");
    assert_eq!(file(&mut tree, "/0", 1), Err(Refusal::Full));
    assert_eq!(contents(&tree, "/7"), Some(7));
}

#[test]
fn a_hundred_thousand_names_are_found() {
    let mut tree = Tree::new(usize::MAX);
    for n in 0..100_000 {
        file(&mut tree, &format!("/{}/{n}", n % 10), n).unwrap();
    }
    for n in (0..100_000).step_by(77) {
        assert_eq!(contents(&tree, &format!("/{}/{n}", n % 10)), Some(n));
    }
    assert_eq!(listed(&tree, "/3").len(), 10_000);
}

#[test]
fn names_that_were_made_to_collide_are_refused() {
    let mut tree: Tree<u32> = Tree::new(usize::MAX);
    file(&mut tree, "/x", 0).unwrap();
    // A search for such names takes long, so force the hash of "y" on others.
    let names: Vec<String> = (0..=super::COLLISIONS).map(|n| format!("c{n}")).collect();
    let add = |name: &String| tree.insert_node(ROOT, name, 0).unwrap();
    let ids: Vec<u32> = names.iter().map(add).collect();
    for (name, id) in names.iter().zip(ids) {
        let place = hash(ROOT, name);
        let found = tree.table.find_entry(place, |other| *other == id);
        found.unwrap().remove();
        let wanted = hash(ROOT, "y");
        tree.table.insert_unique(wanted, id, |_| wanted);
    }
    assert_eq!(file(&mut tree, "/y", 1), Err(Refusal::Hash));
    assert_eq!(file(&mut tree, "/z", 1), Ok(()));
}
