//! Runs models.

use super::interrupts;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An ordering in a source: file, line, column.
type Site = (&'static str, u32, u32);

// Loom runs the threads of a model on the one of the system's that called it.
thread_local! {
    /// Loom's objects of this execution, by their addresses.
    static OBJECTS: RefCell<HashMap<usize, Rc<dyn Any>>> = RefCell::default();
    /// The orderings that the model has used.
    static SITES: RefCell<BTreeSet<Site>> = RefCell::default();
    /// The one that is ignored.
    static IGNORED: Cell<Option<Site>> = const { Cell::new(None) };
}

/// Loom's object for an address; `make` makes it at the first use.
pub fn object<T: 'static>(at: usize, make: impl FnOnce() -> T) -> Rc<T> {
    interrupts::point();
    let found = OBJECTS.with_borrow(|objects| objects.get(&at).cloned());
    let found = found.unwrap_or_else(|| {
        let made: Rc<dyn Any> = Rc::new(make());
        OBJECTS.with_borrow_mut(|objects| objects.insert(at, made.clone()));
        made
    });
    found.downcast().expect("one type at an address")
}

/// The memory is free.
pub fn forget(at: usize) {
    // Not within the borrow: dropping it may be an operation of loom's. Nor after the end of the
    // thread's variables.
    let _ = OBJECTS.try_with(|objects| objects.borrow_mut().remove(&at));
}

/// The ordering of the caller's caller, unless it is the one to ignore.
#[track_caller]
pub fn order(ordering: Ordering) -> Ordering {
    if ordering == Ordering::Relaxed {
        return ordering;
    }
    let at = Location::caller();
    let site = (at.file(), at.line(), at.column());
    SITES.with_borrow_mut(|sites| sites.insert(site));
    match IGNORED.get() == Some(site) {
        true => Ordering::Relaxed,
        false => ordering,
    }
}

/// Runs `model` in all orders of its threads with at most so many preemptions, and with all values
/// that its loads may see. Long runs try the end of the range, others its start: each preemption
/// multiplies the time. Prints the number of these executions. Panics with the first failure.
pub fn check(preemptions: RangeInclusive<usize>, model: fn()) {
    let executions = Arc::new(AtomicU64::new(0));
    let count = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(match std::env::var_os("SOIL_TEST_LONG") {
        Some(_) => *preemptions.end(),
        None => *preemptions.start(),
    });
    builder.max_branches = 10_000;
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        OBJECTS.take();
        interrupts::reset();
        model();
    });
    OBJECTS.take();
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// Whether [`check`] finds a failure.
pub fn fails(preemptions: RangeInclusive<usize>, model: fn()) -> bool {
    let failure = catch_unwind(AssertUnwindSafe(|| check(preemptions, model))).err();
    OBJECTS.take();
    let text = failure
        .as_ref()
        .and_then(|failure| failure.downcast_ref::<&str>());
    let is_endless = text.is_some_and(|text| text.contains("maximum number of branches"));
    assert!(!is_endless, "a model that doesn't end proves nothing");
    failure.is_some()
}

/// [`check`], then the same for each ordering in a source that ends with `file`, without it.
/// Returns the orderings without which the model doesn't fail, as the lines that have them.
pub fn unneeded(preemptions: RangeInclusive<usize>, file: &str, model: fn()) -> Vec<String> {
    SITES.take();
    check(preemptions.clone(), model);
    let mut sites = SITES.take();
    sites.retain(|(path, ..)| path.ends_with(file));
    assert!(!sites.is_empty(), "the model uses no ordering of {file}");
    let mut unneeded = Vec::new();
    for site in sites {
        IGNORED.set(Some(site));
        let failed = fails(preemptions.clone(), model);
        IGNORED.set(None);
        if !failed {
            unneeded.push(line(site));
        }
    }
    unneeded
}

/// The source's line.
fn line((path, line, _): Site) -> String {
    // The compiler's paths begin at the workspace.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().nth(line as usize - 1);
    line.unwrap_or_default().trim().to_owned()
}
