//! What images change of the C library's resolver.
//!
//! musl's asks for A and AAAA and fails if one of the answers is an error, and it knows nothing of
//! truncated answers, of DHCP and of what Soil's resolver has cached. The link driver puts the two
//! functions of this module in front of its own (`tools/src/link.rs`): all lookups of names
//! (`getaddrinfo`, `gethostbyname`) go through the first, all messages (`res_query`, `getnameinfo`)
//! through the second. Both make a system call, which the part for sockets answers
//! (`posix/src/sockets/resolver.rs`). A program that refers to none of these functions contains
//! none of this.
//!
//! Source: musl's `src/network/lookup.h`, unchanged since 1.1.

use core::ffi::{CStr, c_char, c_int, c_long, c_uint};
use core::slice;
use posix::sockets::resolver::{ADDRESSES_IN_USE, EXCHANGE_DNS, RESOLVE_NAME};

/// Maximum number of addresses of a lookup (`MAXADDRS`), and length of a canonical name.
const ADDRESSES: usize = 48;
const CANONICAL: usize = 256;
/// IPv4 as IPv6 (RFC 4291, 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// `struct address`.
#[repr(C)]
pub struct Address {
    family: c_int,
    scope: c_uint,
    octets: [u8; 16],
    sort_key: c_int,
}

unsafe extern "C" {
    fn __real___lookup_name(
        into: *mut Address,
        canonical: *mut c_char,
        name: *const c_char,
        family: c_int,
        flags: c_int,
    ) -> c_int;
    fn __real___res_msend(
        count: c_int,
        queries: *const *const u8,
        query_lens: *const c_int,
        answers: *const *mut u8,
        answer_lens: *mut c_int,
        room: c_int,
    ) -> c_int;
}

/// The result of a system call, or the error number.
fn result(answer: c_long) -> Result<usize, c_int> {
    usize::try_from(answer).map_err(|_| {
        // SAFETY: the place of this thread's number.
        unsafe { *libc::__errno_location() }
    })
}

/// Replaces `__lookup_name`: at most [`ADDRESSES`] addresses of `name`, and its canonical name in
/// [`CANONICAL`] bytes. Returns their number, or one of `EAI_*`.
///
/// # Safety
/// As musl calls it: the places are of these sizes, and the name is null or a string.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___lookup_name(
    into: *mut Address,
    canonical: *mut c_char,
    name: *const c_char,
    family: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's arguments. Addresses as text, and no name, are the C library's.
    let numeric = unsafe {
        __real___lookup_name(into, canonical, name, family, flags | libc::AI_NUMERICHOST)
    };
    if numeric != libc::EAI_NONAME || name.is_null() || flags & libc::AI_NUMERICHOST != 0 {
        return numeric;
    }
    // SAFETY: a string.
    let text = unsafe { CStr::from_ptr(name) }.to_bytes();
    if text.is_empty() || text.len() >= CANONICAL - 1 {
        return libc::EAI_NONAME;
    }
    let maps = flags & libc::AI_V4MAPPED != 0 && family == libc::AF_INET6;
    let wanted = match family {
        _ if maps => libc::AF_UNSPEC,
        libc::AF_UNSPEC if flags & libc::AI_ADDRCONFIG != 0 => ADDRESSES_IN_USE,
        family => family,
    };
    let mut found = [0u8; CANONICAL + 16 * ADDRESSES];
    // SAFETY: the call reads the name and writes to `found`.
    let answer = unsafe {
        libc::syscall(
            RESOLVE_NAME as c_long,
            text.as_ptr(),
            text.len(),
            wanted as c_long,
            found.as_mut_ptr(),
            found.len(),
        )
    };
    let len = match result(answer) {
        Ok(len) => len,
        // SAFETY: the caller's arguments.
        Err(libc::ENOSYS) => unsafe {
            return __real___lookup_name(into, canonical, name, family, flags);
        },
        Err(libc::ENOENT | libc::EINVAL) => return libc::EAI_NONAME,
        Err(libc::ENOMEM) => return libc::EAI_MEMORY,
        Err(_) => return libc::EAI_AGAIN,
    };
    let found = found.get(..len).unwrap_or_default();
    let (owner, octets) = match found {
        [owner, rest @ ..] => rest.split_at_checked((*owner).into()).unwrap_or_default(),
        [] => Default::default(),
    };
    // SAFETY: the caller's places, of these sizes.
    let (into, canonical) = unsafe {
        (
            slice::from_raw_parts_mut(into, ADDRESSES),
            slice::from_raw_parts_mut(canonical.cast::<u8>(), CANONICAL),
        )
    };
    if !owner.is_empty() && owner.len() < CANONICAL {
        for (to, from) in canonical.iter_mut().zip(owner.iter().chain(&[0])) {
            *to = *from;
        }
    }
    let all = octets.as_chunks::<16>().0;
    let is_v4 = |octets: &[u8; 16]| octets.starts_with(&MAPPED);
    // RFC 3493, 6.1: IPv4 in the form of IPv6 only where there is none, or AI_ALL asks for both.
    let without_v4 = maps && flags & libc::AI_ALL == 0 && !all.iter().all(is_v4);
    let all = all.iter().filter(|octets| !without_v4 || !is_v4(octets));
    let mut count = 0;
    for (to, octets) in into.iter_mut().zip(all) {
        let v4 = is_v4(octets) && !maps;
        *to = Address {
            family: if v4 { libc::AF_INET } else { libc::AF_INET6 },
            scope: 0,
            octets: *octets,
            sort_key: 0,
        };
        if v4 {
            to.octets = [0; 16];
            for (to, from) in to.octets.iter_mut().zip(octets.iter().skip(MAPPED.len())) {
                *to = *from;
            }
        }
        count += 1;
    }
    if count == 0 { libc::EAI_NONAME } else { count }
}

/// Replaces `__res_msend`: sends `count` queries, and stores each response, of at most `room`
/// bytes, and its length, 0 without one. Returns 0.
///
/// # Safety
/// As musl calls it: there are `count` queries, places and lengths.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap___res_msend(
    count: c_int,
    queries: *const *const u8,
    query_lens: *const c_int,
    answers: *const *mut u8,
    answer_lens: *mut c_int,
    room: c_int,
) -> c_int {
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's queries and places; the call reads one and writes to the other.
        let answer = unsafe {
            libc::syscall(
                EXCHANGE_DNS as c_long,
                *queries.add(at),
                c_long::from(*query_lens.add(at)),
                *answers.add(at),
                c_long::from(room),
            )
        };
        let len = match result(answer) {
            Ok(len) => len,
            // SAFETY: the caller's arguments.
            Err(libc::ENOSYS) => unsafe {
                return __real___res_msend(count, queries, query_lens, answers, answer_lens, room);
            },
            Err(_) => 0,
        };
        // SAFETY: the caller's place.
        unsafe { *answer_lens.add(at) = len as c_int };
    }
    0
}
