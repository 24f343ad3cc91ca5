//! Of `kernel`.

pub use kernel::model::scheduler;

pub mod threads;
