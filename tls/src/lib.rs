//! TLS 1.2 and 1.3, for clients and servers, over plain byte buffers.
//!
//! A [`Session`] takes the peer's records ([`Session::feed`]), returns its own ([`Session::take`]),
//! and reads and writes plaintext in between. It never waits and does no I/O. The protocol is
//! rustls', the cryptography ring's, the verification of certificates webpki's. This crate adds
//! what they leave to a program without the standard library: bounded buffers, caches of sessions,
//! tickets, certificates that can be replaced while a server runs, and errors that name the
//! certificate they are about.
//!
//! # Environment
//! [`Environment`] provides the time and random numbers. ring draws the keys of a key exchange and
//! of signatures itself, by `getrandom` of the C library.
//!
//! # Bounds
//! A session that buffers [`session::MAX_INCOMING`] bytes of records, or of plaintext, accepts no
//! more, and its output is bounded by its written plaintext, whatever the peer sends. Caches hold
//! at most their configured number of sessions.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod cache;
pub mod certificate;
mod config;
mod credentials;
mod der;
mod environment;
mod error;
mod key;
mod names;
pub mod session;
mod ticket;
mod verify;

pub use config::{ClientOptions, Common, Config, ServerOptions, Trust, Versions};
pub use credentials::{Credentials, mozilla_roots};
pub use environment::Environment;
pub use error::{Error, Kind};
pub use session::{Read, Session};
