//! A server's message, and its options (RFC 2132): also those in the fields `file` and `sname`
//! (option overload, 9.3), and an option in several parts as one (RFC 3396).

use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::ops::Range;

use crate::ip::wire::header::{Mac, mac, v4};
use crate::types::{be16, be32};

/// BOOTREPLY, Ethernet and the length of its addresses (RFC 2131, 2).
const KIND: [u8; 3] = [2, 1, 6];
const SNAME: Range<usize> = 44..108;
const FILE: Range<usize> = 108..236;
/// RFC 2131, 3.
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;

const PAD: u8 = 0;
const END: u8 = 255;
const OVERLOAD: u8 = 52;

/// A message of a server.
pub(super) struct Reply {
    pub(super) xid: u32,
    pub(super) hardware: Mac,
    /// The address that it gives the client (`yiaddr`).
    pub(super) address: Ipv4Addr,
    /// Code and contents, each code once.
    options: Vec<(u8, Vec<u8>)>,
}

impl Reply {
    /// `None` unless it is a message of a server about Ethernet.
    pub(super) fn parse(message: &[u8]) -> Option<Reply> {
        if !message.starts_with(&KIND) || message.get(236..OPTIONS)? != COOKIE {
            return None;
        }
        let mut reply = Reply {
            xid: be32(message, 4)?,
            address: v4(message, 16)?,
            hardware: mac(message, 28)?,
            options: Vec::new(),
        };
        reply.read(message.get(OPTIONS..)?);
        // RFC 3396, 5: in this order.
        let overload = reply.byte(OVERLOAD).unwrap_or(0);
        for (bit, field) in [(1, FILE), (2, SNAME)] {
            if overload & bit != 0 {
                reply.read(message.get(field)?);
            }
        }
        Some(reply)
    }

    /// Adds the options of a field, up to the first that is malformed.
    fn read(&mut self, mut field: &[u8]) {
        loop {
            field = match field {
                [PAD, rest @ ..] => rest,
                [] | [END, ..] | [_] => return,
                [code, len, rest @ ..] => {
                    let Some((contents, rest)) = rest.split_at_checked(usize::from(*len)) else {
                        return;
                    };
                    match self.options.iter_mut().find(|(known, _)| known == code) {
                        Some((_, known)) => known.extend(contents),
                        None => self.options.push((*code, contents.to_vec())),
                    }
                    rest
                }
            };
        }
    }

    /// The contents of an option, at least one byte.
    pub(super) fn get(&self, code: u8) -> Option<&[u8]> {
        let mut options = self.options.iter();
        let (_, contents) = options.find(|(known, _)| *known == code)?;
        Some(contents.as_slice()).filter(|contents| !contents.is_empty())
    }

    pub(super) fn byte(&self, code: u8) -> Option<u8> {
        self.get(code)?.first().copied()
    }

    pub(super) fn u16(&self, code: u8) -> Option<u16> {
        be16(self.get(code)?, 0)
    }

    pub(super) fn u32(&self, code: u8) -> Option<u32> {
        be32(self.get(code)?, 0)
    }

    pub(super) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        v4(self.get(code)?, 0)
    }
}
