//! Two machines, or a machine and a script, over a link in virtual time.

mod basic;
mod link;
mod loss;
