//! Requirements of the standards, tested from outside: a stack through its public interface and its
//! frames, with a scripted other end. Each test names the section that it shows.
#![allow(missing_docs)]

mod closing;
mod complexity;
mod conflicts;
mod datagrams;
mod dhcp;
mod drops;
mod filter;
mod fragments;
mod handshake;
mod header_fields;
mod icmp;
mod icmp_messages;
mod listener;
mod lower_layers;
mod matrix;
mod neighbors;
mod overload;
mod recovery;
mod redirects;
mod routers;
mod segments;
mod support;
mod timing;
mod transfers;
mod windows;
