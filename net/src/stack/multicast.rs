//! Multicast: joining and leaving groups.

use core::net::IpAddr;

use super::Stack;
use crate::types::{Error, Handle, InterfaceId};

/// Groups of one socket.
const GROUPS: usize = 32;

/// Multicast.
impl Stack {
    /// Joins a group, on `interface` or the first one that has an address of the family. Reports it
    /// to routers and switches (IGMPv3, MLDv2). Joining twice is allowed.
    ///
    /// Errors: [`Error::InvalidArgument`] (not a group), [`Error::Unreachable`] (no such
    /// interface), [`Error::OutOfMemory`] (more than 32 groups per socket or 64 per interface).
    pub fn udp_join(
        &mut self,
        socket: Handle,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), Error> {
        if !group.is_multicast() {
            return Err(Error::InvalidArgument);
        }
        let scope = interface.map_or(0, |id| id.0 as u32);
        let interface = self.ip.route(group, scope, None)?.interface;
        let udp = self.sockets.udp_mut(socket)?;
        if udp.groups.contains(&(interface, group)) {
            return Ok(());
        }
        if udp.groups.len() >= GROUPS || !self.ip.net.join(interface, group) {
            return Err(Error::OutOfMemory);
        }
        udp.groups.push((interface, group));
        Ok(())
    }

    /// Leaves a group on `interface`, or on any interface. [`Error::InvalidArgument`] if the socket
    /// isn't a member.
    pub fn udp_leave(
        &mut self,
        socket: Handle,
        group: IpAddr,
        interface: Option<InterfaceId>,
    ) -> Result<(), Error> {
        let udp = self.sockets.udp_mut(socket)?;
        let meant = |joined: &(usize, IpAddr)| {
            joined.1 == group && interface.is_none_or(|id| id.0 == joined.0)
        };
        let at = udp.groups.iter().position(meant);
        let (interface, group) = udp.groups.remove(at.ok_or(Error::InvalidArgument)?);
        self.ip.net.leave(interface, group);
        Ok(())
    }

    /// Sets the hop limit of the socket's multicast datagrams; the initial value 1 keeps them on
    /// the link.
    pub fn udp_set_multicast_hops(&mut self, socket: Handle, hops: u8) -> Result<(), Error> {
        self.sockets.udp_mut(socket)?.group_hops = hops;
        Ok(())
    }
}
