//! The models: functions for [`weak::check`].

pub mod event;
pub mod kernel;
pub mod queue;
pub mod reactor;
