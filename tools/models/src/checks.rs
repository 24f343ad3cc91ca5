//! The models: functions for [`weak::check`].

pub mod kernel;
pub mod queue;
pub mod reactor;
