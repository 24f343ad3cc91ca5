//! Calls on sockets whose waits are requests of the system: the leader sleeps on when another domain
//! adds some.

use crate::types::Int;
use crate::{Runtime, runtime};
use platform::error::Answer;
use reactor::table::{Fd, Kind};

/// [`runtime::enter`], for one operation on a descriptor.
pub fn enter_on(fd: Int, f: impl FnOnce(&mut Runtime, Fd) -> Answer) -> Answer {
    runtime::enter(|rt| {
        let fd = Fd::decode(fd)?;
        let answer = f(rt, fd);
        if rt.is_slept_on() && waits_by_requests(rt, fd) {
            rt.note_requests_only();
        }
        answer
    })
}

/// Whether the transport waits for this descriptor by requests alone.
fn waits_by_requests(rt: &mut Runtime, fd: Fd) -> bool {
    let is_socket = |kind| matches!(kind, Kind::Tcp | Kind::Listener);
    let kind = rt.table.get(fd).map(|(operations, _)| operations.kind);
    let net = rt.resources.net.as_deref_mut();
    kind.is_ok_and(is_socket) && net.is_some_and(|net| net.stack.waits_by_requests())
}
