//! Two machines, or a machine and a script, over a link in virtual time.

mod basic;
mod close;
mod cost;
mod hostile;
pub(super) mod link;
mod loss;
mod receiver;
mod recovery;
mod script;
mod sender;
mod spurious;
mod states;
mod urgent;
mod windows;
