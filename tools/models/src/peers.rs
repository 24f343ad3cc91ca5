//! As in `kernel`.

/// A set of processors.
pub type Set = u64;

/// Functions of a program with several processors.
#[expect(missing_docs, reason = "as in `kernel`")]
pub struct Peers {
    pub interrupt: fn(Set),
    pub set_idle: fn(bool),
}

/// Those of all models.
pub fn get() -> Option<&'static Peers> {
    Some(&Peers {
        interrupt: crate::image::threads::kick,
        set_idle: |_| (),
    })
}

/// One turn of a loop that waits for another processor.
pub fn relax() {
    sync::hint::spin_loop();
}
