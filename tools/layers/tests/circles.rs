//! No folder of a crate, or of OCaml's libraries, has parts that refer to each other in a circle.

use layers::circles::find;
use std::collections::BTreeSet;
use std::path::Path;

/// Circles that still exist, by folder, and one part of each.
const KNOWN: &[(&str, &str)] = &[("kernel/src/threads", "dispatch")];

#[test]
fn no_folder_has_a_circle() {
    let mut references = layers::ocaml_references();
    assert!(references.len() > 400, "OCaml: {}", references.len());
    let crates = layers::crates();
    assert!(crates.len() > 25, "{crates:?}");
    // The models' modules stand for the kernel's, by their names.
    for folder in crates
        .iter()
        .filter(|folder| !folder.ends_with("tools/models"))
    {
        references.extend(layers::references(folder));
    }
    assert!(references.len() > 3000, "{}", references.len());
    let mut known: BTreeSet<_> = KNOWN.iter().collect();
    let mut found = find(&references);
    found.retain(|circle| {
        let is_this = |(folder, part): &(&str, &str)| {
            circle.folder == Path::new(folder) && circle.parts.contains(*part)
        };
        let place = known.iter().find(|place| is_this(place)).copied();
        !place.is_some_and(|place| known.remove(place))
    });
    assert!(
        found.is_empty(),
        "parts that refer to each other in a circle: {found:#?}"
    );
    assert!(
        known.is_empty(),
        "no circles any more, take them off the list: {known:?}"
    );
}
