//! IP header fields of a socket's packets: hop limit and DSCP.

use super::Stack;
use crate::types::{Error, Handle};

/// The IP header of sockets.
impl Stack {
    /// Sets the hop limit of a connection or UDP socket for packets from now on (RFC 9293, 3.9.2,
    /// MUST-49; RFC 1122, 4.1.4). 0, the initial value, selects the default of the link: 64 unless
    /// a router advertises another one. UDP multicast has its own,
    /// [`Stack::udp_set_multicast_hops`]. For a listener it applies to SYN-ACKs, and to connections
    /// that it establishes from now on.
    pub fn set_hop_limit(&mut self, socket: Handle, hops: u8) -> Result<(), Error> {
        self.sockets.header_fields_mut(socket)?.hop_limit = hops;
        Ok(())
    }

    /// Sets the DSCP (RFC 2474, 3) of a connection or UDP socket for packets from now on, or of a
    /// listener as in [`Stack::set_hop_limit`] (RFC 9293, 3.9.1.8, MUST-48; RFC 1122, 4.1.4): six
    /// bits, initially 0. The stack controls the two bits below it (RFC 3168).
    /// [`Error::InvalidArgument`] for more than six bits.
    pub fn set_dscp(&mut self, socket: Handle, dscp: u8) -> Result<(), Error> {
        if dscp > 63 {
            return Err(Error::InvalidArgument);
        }
        self.sockets.header_fields_mut(socket)?.traffic_class = dscp << 2;
        Ok(())
    }
}
