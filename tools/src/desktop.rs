//! Detects the user's desktop, which windows need.

/// Whether a desktop is available.
pub fn has_desktop() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    ["WAYLAND_DISPLAY", "DISPLAY"].into_iter().any(is_set)
}
