//! No folder of a crate, or of OCaml's libraries, has parts that refer to each other in a circle.

use layers::circles::find;

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
    let found = find(&references);
    assert!(
        found.is_empty(),
        "parts that refer to each other in a circle: {found:#?}"
    );
}
