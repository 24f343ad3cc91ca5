//! The kinds of open files: one module, one kind. Each implements [`File`](crate::file::File); no
//! system call names a kind but the one that opens it or sets what only it has.

pub mod devices;
pub mod directory;
pub mod epoll;
pub mod eventfd;
pub mod pipe;
pub mod proc;
pub mod signalfd;
pub mod timerfd;
pub mod volume;
