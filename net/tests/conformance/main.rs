//! Requirements of the standards, tested from outside: a stack through its public interface and its
//! frames, with the other end played by hand. Each test names the section that it shows.
#![allow(missing_docs)]

mod closing;
mod datagrams;
mod dhcp;
mod filter;
mod fragments;
mod handshake;
mod icmp;
mod listener;
mod lower;
mod marks;
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
mod work;
