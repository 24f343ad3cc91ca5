//! The answers to system calls, by number.

use crate::end::finish;
use crate::events::{monotonic_at, nanoseconds, timespec};
use crate::memory::{Pieces, load, store, text};
use crate::objects::{End, Kind};
use crate::poll::Limit;
use crate::sockets::Naming;
use crate::wait::{self, FOREVER, after, now};
use crate::{
    channels, descriptors, epoll, events, files, kernel, options, poll, sockets, state, transfer,
};

/// Flags of the older calls without them.
const NO_FLAGS: i32 = 0;

/// A result as the kernel returns it.
fn raw(result: Result<isize, i32>) -> isize {
    result.unwrap_or_else(|error| -(error as isize))
}

/// The same for a new descriptor.
fn raw_descriptor(result: Result<i32, i32>) -> isize {
    raw(result.map(|fd| fd as isize))
}

/// Answers a call; `None`: it isn't about an object of this crate.
pub fn answer(number: i64, arguments: &[usize; 6]) -> Option<isize> {
    if state::is_in_use() {
        return None;
    }
    on_sockets(number, arguments)
        .or_else(|| on_descriptors(number, arguments))
        .or_else(|| on_waits(number, arguments))
        .or_else(|| on_files(number, arguments))
}

/// Whether the descriptor is one of an object of this crate.
fn is_own(fd: usize) -> bool {
    state::with(|state| state.id(fd as i32).is_some())
}

/// Calls on sockets alone.
const TAKES_SOCKET: &[i64] = &[
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
];

/// The error of such a call on another descriptor; `None` for a socket.
fn not_a_socket(fd: i32) -> Option<i32> {
    let is_socket = state::with(|state| {
        let kind = state.object(fd).map(|object| &object.kind);
        matches!(
            kind,
            Ok(Kind::Socket(_) | Kind::Local | Kind::End(End { socket: true, .. }))
        )
    });
    match is_socket {
        true => None,
        false if kernel::is_open(fd) => Some(libc::ENOTSOCK),
        false => Some(libc::EBADF),
    }
}

fn on_sockets(number: i64, arguments: &[usize; 6]) -> Option<isize> {
    let [a, b, c, d, e, f] = *arguments;
    let fd = a as i32;
    if matches!(number, libc::SYS_socket | libc::SYS_socketpair) {
        return create_socket(number, arguments);
    }
    if TAKES_SOCKET.contains(&number)
        && let Some(error) = not_a_socket(fd)
    {
        return Some(raw(Err(error)));
    }
    Some(raw(match number {
        libc::SYS_bind => return sockets::name(Naming::Bind, fd, b, c).map(raw),
        libc::SYS_connect => return sockets::name(Naming::Connect, fd, b, c).map(raw),
        libc::SYS_listen => sockets::listen(fd, b as i32),
        libc::SYS_accept => sockets::accept(fd, b, c, NO_FLAGS),
        libc::SYS_accept4 => sockets::accept(fd, b, c, d as i32),
        libc::SYS_shutdown => sockets::shutdown(fd, b as i32),
        libc::SYS_getsockname => sockets::address_of(fd, false, b, c),
        libc::SYS_getpeername => sockets::address_of(fd, true, b, c),
        libc::SYS_setsockopt => {
            let option = (b as i32, c as i32);
            wait::block(wait::NOT, |state| options::set(state, fd, option, (d, e)))
        }
        libc::SYS_getsockopt => {
            let option = (b as i32, c as i32);
            wait::block(wait::NOT, |state| options::get(state, fd, option, (d, e)))
        }
        libc::SYS_sendto => {
            let target = transfer::target(e, f);
            target.and_then(|to| transfer::write(fd, &Pieces::one(b, c), d as i32, to))
        }
        libc::SYS_recvfrom => transfer::read(fd, &Pieces::one(b, c), d as i32, (e, f)),
        libc::SYS_sendmsg => transfer::write_message(fd, b, c as i32),
        libc::SYS_recvmsg => transfer::read_message(fd, b, c as i32),
        libc::SYS_sendmmsg => transfer::many(transfer::write_message, fd, (b, c), d as i32),
        libc::SYS_recvmmsg => transfer::many(transfer::read_message, fd, (b, c), d as i32),
        _ => return None,
    }))
}

fn create_socket(number: i64, [domain, kind, _, at, ..]: &[usize; 6]) -> Option<isize> {
    let (domain, kind) = (*domain as i32, *kind as i32);
    if number == libc::SYS_socket {
        return sockets::socket(domain, kind).map(raw_descriptor);
    }
    let flags = kind & (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK);
    let streams = domain == libc::AF_UNIX && kind & !flags == libc::SOCK_STREAM;
    streams.then(|| raw(channels::pair(*at, flags)))
}

fn on_descriptors(number: i64, arguments: &[usize; 6]) -> Option<isize> {
    let [a, b, c, d, ..] = *arguments;
    let fd = a as i32;
    Some(match number {
        libc::SYS_read if is_own(a) => raw(transfer::read(fd, &Pieces::one(b, c), 0, (0, 0))),
        libc::SYS_readv if is_own(a) => raw(transfer::read(fd, &Pieces::of_array(b, c), 0, (0, 0))),
        libc::SYS_write if is_own(a) => raw(transfer::write(fd, &Pieces::one(b, c), 0, None)),
        libc::SYS_writev if is_own(a) => raw(transfer::write(fd, &Pieces::of_array(b, c), 0, None)),
        libc::SYS_close => {
            descriptors::close(fd);
            return None;
        }
        libc::SYS_dup | libc::SYS_dup2 | libc::SYS_dup3 => {
            descriptors::duplicate(number, arguments)
        }
        libc::SYS_fcntl => descriptors::control(arguments),
        libc::SYS_ioctl => return descriptors::device(fd, b as u64, c).map(raw),
        libc::SYS_fstat => descriptors::status(fd, b),
        // fstat(2) by another name.
        libc::SYS_newfstatat if fd >= 0 && text(b).is_empty() => descriptors::status(fd, c),
        libc::SYS_lseek if descriptors::is_stream(fd) => raw(Err(libc::ESPIPE)),
        libc::SYS_lseek => kernel::pass(number, arguments),
        libc::SYS_pipe => raw(channels::pipe(a, NO_FLAGS)),
        libc::SYS_pipe2 => raw(channels::pipe(a, b as i32)),
        libc::SYS_eventfd => raw_descriptor(events::counter(a as u32, NO_FLAGS)),
        libc::SYS_eventfd2 => raw_descriptor(events::counter(a as u32, b as i32)),
        libc::SYS_timerfd_create => raw_descriptor(events::timer(fd, b as i32)),
        libc::SYS_timerfd_settime => raw(events::set_timer(fd, b as i32, c, d)),
        libc::SYS_timerfd_gettime => raw(events::get_timer(fd, b)),
        _ => return None,
    })
}

/// Until when a call waits that has a number of milliseconds, of which negative ones are endless.
fn milliseconds(count: usize) -> u64 {
    u64::try_from(count as i32).map_or(FOREVER, |ms| after(ms * 1_000_000))
}

/// The same for a `struct timespec`; without one the wait is endless.
fn time_at(address: usize) -> u64 {
    match address {
        0 => FOREVER,
        address => after(nanoseconds(load(address))),
    }
}

fn unmasked(until: u64) -> Limit {
    Limit { until, mask: None }
}

/// A limit with the mask of signals at an address, unless that is null.
fn masked(until: u64, mask: usize) -> Limit {
    let mask = (mask != 0).then(|| load(mask));
    Limit { until, mask }
}

/// Nanoseconds until a time.
fn left(until: u64) -> u64 {
    until.saturating_sub(now())
}

/// Sleeps; a signal leaves the rest at `rest_at`.
fn sleep(until: u64, rest_at: usize) -> isize {
    let slept = wait::sleep(until);
    if slept.is_err() {
        store(rest_at, timespec(left(until)));
    }
    raw(slept)
}

fn on_waits(number: i64, arguments: &[usize; 6]) -> Option<isize> {
    let [a, b, c, d, e, _] = *arguments;
    let fd = a as i32;
    Some(match number {
        libc::SYS_poll => raw(poll::poll(a, b, unmasked(milliseconds(c)))),
        libc::SYS_ppoll => raw(poll::poll(a, b, masked(time_at(c), d))),
        libc::SYS_select | libc::SYS_pselect6 => select(number, arguments),
        libc::SYS_epoll_create | libc::SYS_epoll_create1 => {
            let flags = if number == libc::SYS_epoll_create {
                NO_FLAGS
            } else {
                fd
            };
            raw_descriptor(epoll::create(flags))
        }
        libc::SYS_epoll_ctl => raw(epoll::control(fd, b as i32, c as i32, d)),
        libc::SYS_epoll_wait => raw(epoll::wait(fd, b, c, unmasked(milliseconds(d)))),
        libc::SYS_epoll_pwait => raw(epoll::wait(fd, b, c, masked(milliseconds(d), e))),
        libc::SYS_epoll_pwait2 => raw(epoll::wait(fd, b, c, masked(time_at(d), e))),
        libc::SYS_nanosleep => sleep(after(nanoseconds(load(a))), b),
        libc::SYS_clock_nanosleep if b as i32 & libc::TIMER_ABSTIME != 0 => {
            sleep(monotonic_at(fd, nanoseconds(load(c))), 0)
        }
        libc::SYS_clock_nanosleep => sleep(after(nanoseconds(load(c))), d),
        libc::SYS_pause => raw(wait::sleep(FOREVER)),
        libc::SYS_exit | libc::SYS_exit_group => {
            finish();
            return None;
        }
        libc::SYS_kill | libc::SYS_tkill | libc::SYS_tgkill => {
            if sim::signals::ends(number, arguments) {
                finish();
            }
            return None;
        }
        libc::SYS_rt_sigprocmask => {
            if b != 0 {
                wait::unblock(fd, load(b));
            }
            return None;
        }
        _ => return None,
    })
}

/// select(2) and pselect6(2), which store the time left.
fn select(number: i64, [len, read, write, except, timeout, mask]: &[usize; 6]) -> isize {
    // An `int`, whose upper half means nothing.
    let Ok(len) = usize::try_from(*len as i32) else {
        return raw(Err(libc::EINVAL));
    };
    let micros = number == libc::SYS_select;
    let until = match *timeout {
        0 => FOREVER,
        at => {
            let [seconds, part]: [i64; 2] = load(at);
            after(nanoseconds([
                seconds,
                if micros {
                    part.saturating_mul(1000)
                } else {
                    part
                },
            ]))
        }
    };
    // The mask is behind a pointer: a call has six arguments.
    let mask = match *mask {
        at if at != 0 && !micros => load(at),
        _ => 0,
    };
    let result = poll::select(len, [*read, *write, *except], masked(until, mask));
    if *timeout != 0 {
        let [seconds, part] = timespec(left(until));
        store(*timeout, [seconds, if micros { part / 1000 } else { part }]);
    }
    raw(result)
}

fn on_files(number: i64, [a, b, c, ..]: &[usize; 6]) -> Option<isize> {
    match number {
        libc::SYS_open => files::open(&text(*a), *b as i32).map(raw),
        libc::SYS_openat => files::open(&text(*b), *c as i32).map(raw),
        libc::SYS_stat | libc::SYS_lstat => files::status(&text(*a), *b).map(raw),
        libc::SYS_newfstatat => files::status(&text(*b), *c).map(raw),
        _ => None,
    }
}
