//! Two machines, or a machine and a script, over a link in virtual time.

mod basic;
mod endings;
mod flow;
mod link;
mod loss;
mod script;
mod states;
