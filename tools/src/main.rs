//! The `soil` command.
fn main() {}
