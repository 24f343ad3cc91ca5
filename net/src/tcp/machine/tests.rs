//! Two machines, or a machine and a script, over a link in virtual time.

mod basic;
mod cost;
mod edges;
mod endings;
mod flow;
mod hostile;
mod link;
mod loss;
mod repair;
mod script;
mod sending;
mod spurious;
mod states;
mod urgent;
