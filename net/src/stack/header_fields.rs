//! IP header fields of what a socket sends: hop limit and DSCP.

use super::Stack;
use crate::types::{Error, Handle};

/// The IP header of sockets.
impl Stack {
    /// The hop limit of what a connection or UDP socket sends from now on (RFC 9293, 3.9.2,
    /// MUST-49; RFC 1122, 4.1.4); 0, as in the beginning: what is usual on the link, 64 unless a
    /// router says otherwise. What UDP sends to groups has another one,
    /// [`Stack::udp_set_multicast_hops`]. Of a listener: of its answers to SYNs, and what the
    /// connections begin with that it establishes from now on.
    pub fn set_hop_limit(&mut self, socket: Handle, hops: u8) -> Result<(), Error> {
        self.sockets.header_fields_mut(socket)?.hop_limit = hops;
        Ok(())
    }

    /// The DSCP (RFC 2474, 3) of what a connection or UDP socket sends from now on, or of a
    /// listener as with [`Stack::set_hop_limit`] (RFC 9293, 3.9.1.8, MUST-48; RFC 1122, 4.1.4): six
    /// bits, 0 in the beginning. The two bits below it are the stack's (RFC 3168).
    /// [`Error::InvalidArgument`]: more than six bits.
    pub fn set_dscp(&mut self, socket: Handle, dscp: u8) -> Result<(), Error> {
        if dscp > 63 {
            return Err(Error::InvalidArgument);
        }
        self.sockets.header_fields_mut(socket)?.traffic_class = dscp << 2;
        Ok(())
    }
}
