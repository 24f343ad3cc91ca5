//! Statistics: the sockets in use, and counters.

use core::net::SocketAddr;

use super::Stack;
use crate::sockets::Socket;
use crate::tcp::TcpCounters;
use crate::tcp::connection::{Connection, Phase};
use crate::tcp::machine::{Info, State};
use crate::types::SocketKind;

/// Statistics of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its type.
    pub kind: SocketKind,
    /// Local or bound address.
    pub local: SocketAddr,
    /// Peer address, if any.
    pub remote: Option<SocketAddr>,
    /// TCP state, named as in RFC 9293, 3.3.2; empty for other types.
    pub state: &'static str,
    /// Bytes received and not read; for a listener, connections not accepted.
    pub unread: usize,
    /// Bytes written and not acknowledged.
    pub unsent: usize,
    /// The values of [`Stack::tcp_info`] for a connection that isn't over, even without a handle.
    pub tcp: Option<Info>,
}

fn info(socket: &Socket) -> Option<SocketInfo> {
    Some(match socket {
        Socket::Listener(listener) => SocketInfo {
            kind: SocketKind::Listener,
            local: listener.local,
            remote: None,
            state: if listener.listening {
                "LISTEN"
            } else {
                "CLOSED"
            },
            unread: listener.queue.len(),
            unsent: 0,
            tcp: None,
        },
        Socket::Connection(connection) => {
            let machine = connection.machine.as_ref();
            SocketInfo {
                kind: SocketKind::Connection,
                local: connection.local,
                remote: Some(connection.remote),
                state: machine.map_or("CLOSED", |machine| machine.state().name()),
                unread: machine.map_or(0, |machine| machine.unread()),
                unsent: machine.map_or(0, |machine| machine.unacknowledged()),
                tcp: machine.map(|machine| machine.info()),
            }
        }
        Socket::Udp(udp) => SocketInfo {
            kind: SocketKind::Udp,
            local: udp.local,
            remote: udp.peer,
            state: "",
            unread: udp.queued().0,
            unsent: udp.queued().1,
            tcp: None,
        },
        // They have no address.
        Socket::Ethernet(_) | Socket::Ping(_) => return None,
    })
}

/// Statistics.
impl Stack {
    /// Calls `f` for each socket in no particular order, including connections that aren't accepted
    /// yet and closed ones that still deliver data. Handshakes in progress (SYN-RECEIVED) and
    /// records in TIME-WAIT follow.
    pub fn sockets(&self, f: &mut dyn FnMut(&SocketInfo)) {
        let sockets = &self.sockets.table;
        for handle in sockets.handles() {
            if let Some(info) = sockets.get(handle).and_then(info) {
                f(&info);
            }
        }
        let tcp = &self.sockets.tcp;
        let embryos = tcp.half_open.flows().map(|key| (key, State::SynReceived));
        let waiting = tcp.time_wait.flows().map(|key| (key, State::TimeWait));
        for (key, state) in embryos.chain(waiting) {
            f(&SocketInfo {
                kind: SocketKind::Connection,
                local: key.local().into(),
                remote: Some(key.remote().into()),
                state: state.name(),
                unread: 0,
                unsent: 0,
                tcp: None,
            });
        }
    }

    /// Calls `f` with the name and the value of each statistic: counters, which wrap, and gauges.
    pub fn statistics(&self, f: &mut dyn FnMut(&'static str, u64)) {
        let mut sums = [0u64; 4];
        for id in self.interfaces() {
            if let Some(status) = self.interface_status(id) {
                let counters = status.counters;
                let values = [
                    counters.rx_frames,
                    counters.rx_bytes,
                    counters.tx_frames,
                    counters.tx_bytes,
                ];
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = sum.wrapping_add(value);
                }
            }
        }
        let names = [
            "link.frames-in",
            "link.bytes-in",
            "link.frames-out",
            "link.bytes-out",
        ];
        for (name, sum) in names.into_iter().zip(sums) {
            f(name, sum);
        }
        self.drops().for_each(|(name, count)| f(name, count));
        f("tcp.memory", self.tcp_memory_used() as u64);
        f("tcp.connections", self.connections() as u64);
        f("tcp.undelivered", self.undelivered() as u64);
        f("tcp.half-open", self.sockets.tcp.half_open.len() as u64);
        f("tcp.time-wait", self.sockets.tcp.time_wait.len() as u64);
        self.sockets.tcp.counters.each(f);
    }
}

/// All sockets.
impl Stack {
    fn connections_where(&self, f: impl Fn(&Connection) -> bool) -> usize {
        let sockets = &self.sockets.table;
        let connections = sockets
            .handles()
            .filter(|handle| match sockets.get(*handle) {
                Some(Socket::Connection(connection)) => f(connection),
                _ => false,
            });
        connections.count()
    }

    /// Number of connections in any state: handshakes, unaccepted connections, closed ones that
    /// still deliver data, and TIME-WAIT records. Takes time in proportion to the sockets.
    pub fn connections(&self) -> usize {
        let tcp = &self.sockets.tcp;
        self.connections_where(|_| true) + tcp.half_open.len() + tcp.time_wait.len()
    }

    /// Whether a wait for a socket is nothing but a request that the system has. This stack waits for
    /// timers and interrupts.
    pub fn waits_by_requests(&self) -> bool {
        false
    }

    /// Number of closed connections with data or a FIN that the peer hasn't acknowledged yet, which
    /// would be lost if the machine stopped now.
    pub fn undelivered(&self) -> usize {
        self.connections_where(|connection| {
            let state = connection.machine.as_ref().map(|machine| machine.state());
            connection.phase == Phase::Orphan
                && matches!(
                    state,
                    Some(State::FinWait1 | State::Closing | State::LastAck)
                )
        })
    }

    /// TCP counters since the stack was created.
    pub fn tcp_counters(&self) -> TcpCounters {
        self.sockets.tcp.counters
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{connected, pair};
    use crate::types::SocketKind;

    #[test]
    fn sockets_and_counters_are_shown() {
        let mut world = pair();
        let (client, _) = connected(&mut world);
        world.stacks[0].tcp_write(client, b"hello").expect("room");
        world.advance(1_000_000);
        let mut seen = Vec::new();
        world.stacks[1].sockets(&mut |info| seen.push(*info));
        let [info] = seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(
            (info.kind, info.state),
            (SocketKind::Connection, "ESTABLISHED")
        );
        assert_eq!(info.local, "10.0.0.2:80".parse().expect("an address"));
        let remote = world.stacks[0].local_address(client).ok();
        assert_eq!(info.remote, remote);
        assert_eq!(info.tcp.map(|tcp| tcp.bytes_received), Some(5));
        let mut counts = Vec::new();
        world.stacks[1].statistics(&mut |name, value| counts.push((name, value)));
        let count = |name| counts.iter().find(|row| row.0 == name).map(|row| row.1);
        assert_eq!(count("tcp.connections"), Some(1));
        assert!(count("link.frames-in") >= Some(3) && count("drop.malformed") == Some(0));
    }
}
