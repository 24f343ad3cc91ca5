//! The desktop of the user, which windows need.

/// Whether there is one.
pub fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().any(is_set)
}
