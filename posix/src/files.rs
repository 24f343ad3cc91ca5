//! The kinds of open files: one module per kind. Each implements [`File`](crate::file::File); no
//! system call names a kind except the one that opens it or sets options specific to it.

pub mod devices;
pub mod directory;
pub mod epoll;
pub mod eventfd;
pub mod pipe;
pub mod proc;
pub mod regular;
pub mod signalfd;
pub mod timerfd;
