//! The models: functions for [`sync::model::check`].

pub mod bell;
pub mod calls;
pub mod event;
pub mod kernel;
pub mod lines;
pub mod lock;
pub mod nvme;
pub mod once;
pub mod queue;
pub mod reactor;
pub mod shootdown;
pub mod threads;
pub mod ticker;
pub mod trace;
