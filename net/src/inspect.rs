//! What an administrator asks for: the sockets that there are, and what was counted.

use core::net::SocketAddr;

use crate::shared::Socket;
use crate::tcp::machine::{Info, State};
use crate::{Kind, Stack};

/// What is known about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// What it is.
    pub kind: Kind,
    /// The address of this end, or what it is bound to.
    pub local: SocketAddr,
    /// The address of the other end, if it has one.
    pub remote: Option<SocketAddr>,
    /// Of TCP: the state's name as in RFC 9293, 3.3.2; otherwise empty.
    pub state: &'static str,
    /// Bytes received that nobody has read; of a listener: connections that nobody has accepted.
    pub unread: usize,
    /// Bytes written that aren't acknowledged.
    pub unsent: usize,
    /// Of a connection that isn't over: what [`Stack::tcp_info`] says, also where the program has
    /// no handle.
    pub tcp: Option<Info>,
}

fn info(socket: &Socket) -> Option<SocketInfo> {
    Some(match socket {
        Socket::Listener(listener) => SocketInfo {
            kind: Kind::Listener,
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
                kind: Kind::Connection,
                local: connection.local,
                remote: Some(connection.remote),
                state: machine.map_or("CLOSED", |machine| machine.state().name()),
                unread: machine.map_or(0, |machine| machine.unread()),
                unsent: machine.map_or(0, |machine| machine.unacknowledged()),
                tcp: machine.map(|machine| machine.info()),
            }
        }
        Socket::Udp(udp) => SocketInfo {
            kind: Kind::Udp,
            local: udp.local,
            remote: udp.peer,
            state: "",
            unread: udp.queued().0,
            unsent: udp.queued().1,
            tcp: None,
        },
        // They have no address.
        Socket::Ethernet(_) | Socket::Echo(_) => return None,
    })
}

/// Sight.
impl Stack {
    /// Calls `f` for each socket, in no particular order: those too that nobody has accepted yet,
    /// or that the program has closed and that still deliver. After them the handshakes that peers
    /// haven't finished (SYN-RECEIVED), and what is in TIME-WAIT.
    pub fn sockets(&self, f: &mut dyn FnMut(&SocketInfo)) {
        let sockets = &self.core.sockets;
        for handle in sockets.handles() {
            if let Some(info) = sockets.get(handle).and_then(info) {
                f(&info);
            }
        }
        let tcp = &self.core.tcp;
        let embryos = tcp.half_open.flows().map(|key| (key, State::SynReceived));
        let waiting = tcp.time_wait.flows().map(|key| (key, State::TimeWait));
        for (key, state) in embryos.chain(waiting) {
            f(&SocketInfo {
                kind: Kind::Connection,
                local: key.local().into(),
                remote: Some(key.remote().into()),
                state: state.name(),
                unread: 0,
                unsent: 0,
                tcp: None,
            });
        }
    }

    /// Calls `f` with the name and the value of everything that is counted: what wraps, and what is
    /// the case now.
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
        f("tcp.half-open", self.core.tcp.half_open.len() as u64);
        f("tcp.time-wait", self.core.tcp.time_wait.len() as u64);
        self.core.tcp.counters.each(f);
    }
}

#[cfg(test)]
mod tests {
    use crate::Kind;
    use crate::tests::{connected, pair};

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
        assert_eq!((info.kind, info.state), (Kind::Connection, "ESTABLISHED"));
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
