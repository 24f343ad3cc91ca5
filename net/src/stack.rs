//! The stack: its poll and its events. The operations are in submodules, by protocol.

mod ethernet;
mod header_fields;
mod interfaces;
mod multicast;
mod ping;
mod sockets;
mod statistics;
mod tcp;
mod tcp_lease;
mod tcp_options;
mod udp;

pub use interfaces::RouteInfo;
pub use statistics::SocketInfo;

use alloc::boxed::Box;

use crate::hash::KeyedHash;
use crate::ip::{Ip, LOOPBACK, Loopback, Random};
use crate::sockets::{Socket, Sockets, Turn};
use crate::types::{Config, Handle, RandomBits};

/// Polling interval of a full link, in case its wake-up was lost.
const FULL_NS: u64 = 10_000_000;
/// Rounds over all interfaces in one poll, since the loopback delivers to the stack itself.
const ROUNDS: usize = 4;

/// Remaining work after [`Stack::poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The budget is used up: call again without waiting.
    pub more_work: bool,
    /// Deadline of the next call if nothing happens before, in nanoseconds of the clock given to
    /// [`Stack::poll`]; `None`: only after a frame arrives or an operation is called.
    pub next_deadline_ns: Option<u64>,
    /// Frames wait because [`Link::can_transmit`](crate::Link::can_transmit) returned `false`: call
    /// again when the link has room.
    pub transmit_blocked: bool,
}

/// A TCP/IP stack: interfaces, sockets, and the time of its last [`poll`](Stack::poll).
///
/// The stack does no I/O of its own and reads no clock: it takes frames from its
/// [`Link`](crate::Link)s, and the time as an argument. No method blocks. It is `Send` if its links
/// are, so it can be moved to another thread. It isn't `Sync`, since every call changes it.
///
/// # Methods
///
/// - **Set-up**: [`new`](Stack::new), [`add_interface`](Stack::add_interface),
///   [`add_vlan`](Stack::add_vlan), [`add_route`](Stack::add_route),
///   [`set_filter`](Stack::set_filter). An interface may be added at any time.
/// - **Progress**: [`poll`](Stack::poll) receives, runs timers and sends. It alone receives, and it
///   returns when to call it again ([`Progress`]). [`send_now`](Stack::send_now) sends the data of
///   one connection in between.
/// - **Events**: [`take_events`](Stack::take_events) names the sockets that became ready.
/// - **Operations on sockets**, which create them (`tcp_listen`, `tcp_connect`, `udp_bind`,
///   `ethernet_open`, `ping`), and use them by [`Handle`]: `tcp_…`, `udp_…`, `ethernet_…`,
///   [`ping_result`](Stack::ping_result), [`readiness`](Stack::readiness). Each acts at once or
///   returns [`Error::WouldBlock`](crate::Error::WouldBlock). What they send leaves with the next
///   `poll`. [`close`](Stack::close) and [`abort`](Stack::abort) end a socket.
/// - **Queries**, which change nothing: [`interface_status`](Stack::interface_status),
///   [`sockets`](Stack::sockets), [`statistics`](Stack::statistics), [`drops`](Stack::drops),
///   [`tcp_info`](Stack::tcp_info), [`local_address`](Stack::local_address) …
/// - **The state of the machine**: [`set_memory_short`](Stack::set_memory_short),
///   [`note_idle`](Stack::note_idle), [`renew_keys`](Stack::renew_keys).
/// - **The end**: `close` the connections and `poll` until [`undelivered`](Stack::undelivered) is
///   0; then [`abort_all`](Stack::abort_all) what is left, and `poll`; then
///   [`release_leases`](Stack::release_leases) until it returns true, and `poll` until
///   [`is_drained`](Stack::is_drained).
///
/// # Order of calls
///
/// 1. Call `poll` when a frame arrives, when `next_deadline_ns` passes, after operations, and again
///    at once while `more_work`. With `transmit_blocked`, also when the link has room.
/// 2. Call `take_events` after each `poll`, and retry the operations of the sockets that it names.
/// 3. Try an operation first, and wait for its event only after `WouldBlock`: no event comes
///    without it.
///
/// # Example
///
/// A connection over the loopback interface, which every stack has:
///
/// ```
/// use net::{Config, Error, Stack};
///
/// // Only an example: a stack needs a secure generator.
/// let mut last = 0u64;
/// let mut stack = Stack::new(Config::default(), &mut || {
///     last += 1;
///     let mut state = last;
///     Box::new(move || {
///         state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
///         state
///     })
/// });
/// let address = "127.0.0.1:7".parse().unwrap();
/// let listener = stack.tcp_listen(address, 8)?;
/// let client = stack.tcp_connect(address, None)?;
///
/// let mut now_ns = 0;
/// let server = loop {
///     let progress = stack.poll(now_ns, 64);
///     stack.take_events(&mut |_ready| ()); // A program wakes the tasks that wait for these.
///     match stack.tcp_accept(listener) {
///         Err(Error::WouldBlock) if progress.more_work => {}
///         // A program sleeps until then, or until a frame arrives.
///         Err(Error::WouldBlock) => now_ns = progress.next_deadline_ns.unwrap_or(now_ns),
///         accepted => break accepted?,
///     }
/// };
/// stack.tcp_connect_result(client)?;
/// assert_eq!(stack.tcp_write(client, b"hello")?, 5);
/// stack.poll(now_ns, 64);
/// let mut buffer = [0; 16];
/// assert_eq!(stack.tcp_read(server, &mut buffer)?, 5);
/// assert_eq!(&buffer[..5], b"hello");
/// # Ok::<(), Error>(())
/// ```
pub struct Stack {
    pub(crate) ip: Ip,
    pub(crate) sockets: Sockets,
    generation: u32,
}

/// Time and interfaces.
impl Stack {
    /// Creates a stack with the loopback interface (127.0.0.1/8, ::1/128) only.
    ///
    /// Calls `source` twice. Each generator that it returns yields 64 bits per call and must be
    /// cryptographically secure: the stack draws hash keys, sequence numbers, ports, temporary
    /// addresses, and identifiers of DHCP and fragments from it. Peers see some of the numbers and
    /// must not be able to predict others from them.
    pub fn new(config: Config, source: &mut dyn FnMut() -> RandomBits) -> Stack {
        let mut sockets = Sockets::new(config, source());
        let keyed = KeyedHash::new(&mut sockets.random);
        let random = Random::new(source());
        let ip = Ip::new(Box::new(Loopback::default()), keyed, random);
        Stack {
            ip,
            sockets,
            generation: 0,
        }
    }

    /// Replaces the keys of sequence numbers, timestamps, ports and SYN cookies for new
    /// connections. For a machine that resumes from a snapshot, since another one may resume from
    /// the same. Existing connections stay.
    pub fn renew_keys(&mut self) {
        let Sockets { tcp, random, .. } = &mut self.sockets;
        tcp.renew_keys(random);
    }

    /// Generation counter that changes whenever addresses, gateways or name servers change.
    pub fn configuration_generation(&self) -> u32 {
        self.generation
    }

    /// Bytes in use by the buffers of all TCP connections, out of [`Config::tcp_memory`].
    pub fn tcp_memory_used(&self) -> usize {
        self.sockets.budget.used()
    }

    /// Sets whether the machine is short of memory, independently of [`Config::tcp_memory`].
    /// Meanwhile the stack opens no connections or sockets, limits each connection to its
    /// guaranteed minimum, and drops fragments, and datagrams for a socket that holds one already.
    pub fn set_memory_short(&mut self, short: bool) {
        self.sockets.budget.short = short;
        self.ip.net.memory_short = short;
    }

    /// Sets whether the program that receives has nearly no memory left. Meanwhile windows don't grow,
    /// and shrink as far as possible without taking back what a peer was offered; buffers don't
    /// grow beyond their size at that time.
    pub fn set_program_nearly_full(&mut self, full: bool) {
        self.sockets.budget.set_program_nearly_full(full);
    }

    /// Bytes that are guaranteed to connections and not in use yet.
    pub fn promised_memory(&self) -> usize {
        self.sockets.budget.promised()
    }

    /// Runs the stack: receives at most `budget` frames per interface (16 times as many frames if
    /// they are shed under overload), fires due timers, and sends pending data of the sockets,
    /// about `budget` frames at most.
    ///
    /// `now_ns` is a monotonic clock of the caller's choice; the stack treats a step back as no
    /// progress. Operations since the last call take effect (are sent) here. Never blocks.
    pub fn poll(&mut self, now_ns: u64, budget: usize) -> Progress {
        let Stack {
            ip,
            sockets,
            generation,
        } = self;
        sockets.set_now(now_ns);
        let now_ns = sockets.clock_ns();
        ip.set_now(now_ns);
        let mut progress = Progress::default();
        let cookies = !sockets.tcp.half_open.has_room();
        ip.net.overload.begin(now_ns, cookies);
        let mut round = 0;
        let mut full = false;
        loop {
            // After the first round only the loopback may have new frames, which were just sent to
            // it.
            let count = if round == 0 { ip.ports.len() } else { 1 };
            for port in 0..count {
                sockets.unblock(ip.take_unblocked(port));
                let more = ip.receive(port, budget, sockets);
                progress.more_work |= more;
                full |= more && port != LOOPBACK;
            }
            if round == 0 {
                ip.net.overload.end(full);
            }
            ip.maintain();
            for interface in 0..ip.net.interfaces.len() {
                sockets.on_neighbors_resolved(
                    ip.net
                        .take_resolved(interface, 2 * sockets.table.len() + 64),
                );
            }
            for error in ip.net.take_errors() {
                sockets.error(&mut ip.net, &error);
            }
            let lost = ip.net.take_lost();
            if !lost.is_empty() {
                sockets.addresses_lost(&ip.net, &lost);
            }
            if core::mem::take(&mut ip.net.changed) {
                *generation = generation.wrapping_add(1);
            }
            if round == 0 {
                // After the input: if the machine was suspended for longer than a timer takes, the
                // reply that the timer waits for may have arrived.
                sockets.run_timers();
                sockets.run_handshakes(&mut ip.net);
            }
            progress.more_work |= transmit(sockets, ip, budget);
            round += 1;
            if !ip.is_under_way() {
                break;
            }
            if round == ROUNDS {
                progress.more_work = true;
                break;
            }
        }
        progress.transmit_blocked = ip.flush();
        let full_ns = progress.transmit_blocked.then(|| now_ns + FULL_NS);
        let deadlines = [
            sockets.timers.next_ns(),
            sockets.tcp.time_wait.next_ns(),
            sockets.tcp.half_open.next_ns(),
        ];
        let sockets_ns = deadlines.into_iter().flatten().min();
        let sockets_ns = sockets_ns.map(|at_ns| at_ns.saturating_add(sockets.paused_ns));
        progress.next_deadline_ns = [ip.next_ns(), full_ns, sockets_ns]
            .into_iter()
            .flatten()
            .min();
        sockets.due_ns = match progress.more_work {
            true => Some(now_ns),
            false => progress.next_deadline_ns,
        };
        progress
    }

    /// Reports that the caller was idle for `idle_ns` since the last report. For a caller that
    /// reports, the stack limits SYN-ACKs while idle time is scarce and more handshakes are in
    /// progress than it stores (`Config::half_open_max`).
    pub fn note_idle(&mut self, idle_ns: u64) {
        self.ip.net.overload.note_idle(idle_ns);
    }

    /// Sends the pending data of a connection at `now_ns` instead of with the next [`Stack::poll`].
    /// For a task that is about to wait for its peer while others still have work to do. Pure
    /// acknowledgements still wait, because a later one covers more. Does nothing for other
    /// sockets. Never blocks.
    pub fn send_now(&mut self, handle: Handle, now_ns: u64) {
        let Stack { ip, sockets, .. } = self;
        match sockets.table.get(handle) {
            Some(Socket::Connection(connection))
                if connection.dirty
                    && connection
                        .machine
                        .as_ref()
                        .is_some_and(|machine| machine.wants_data()) => {}
            _ => return,
        }
        sockets.set_now(now_ns);
        ip.set_now(sockets.clock_ns());
        // Usually it was listed last. Otherwise it stays listed, and has nothing to send in its
        // turn.
        if sockets.dirty.back() == Some(&handle) {
            sockets.dirty.pop_back();
        }
        if let Turn::More(_) = sockets.send(ip, handle) {
            sockets.mark_dirty(handle);
        }
        ip.flush();
    }

    /// Calls `f` once for each socket that became ready since the last call.
    ///
    /// A socket is reported if an operation on it returned
    /// [`Error::WouldBlock`](crate::Error::WouldBlock) (or [`Stack::readiness`] found it not ready)
    /// and it may be ready now, for reading or writing. So try first, and wait for the event only
    /// after `WouldBlock`. Spurious events are possible, lost ones are not. Takes time in
    /// proportion to the reported sockets. Call it after each [`Stack::poll`]: events are kept
    /// until then, including those of closed sockets.
    pub fn take_events(&mut self, f: &mut dyn FnMut(Handle)) {
        let mut events = core::mem::take(&mut self.sockets.events);
        for handle in events.drain(..) {
            let wakes = match self.sockets.table.get_mut(handle) {
                Some(Socket::Connection(connection)) => &mut connection.wakes,
                Some(Socket::Listener(listener)) => &mut listener.wakes,
                Some(Socket::Udp(udp)) => &mut udp.wakes,
                Some(Socket::Ethernet(ethernet)) => &mut ethernet.wakes,
                Some(Socket::Ping(ping)) => &mut ping.wakes,
                None => continue,
            };
            wakes.listed = false;
            f(handle);
        }
        // Its memory is kept for the next events.
        self.sockets.events = events;
    }
}

/// Gives each socket with possible output its turn; returns whether there is more.
fn transmit(sockets: &mut Sockets, ip: &mut Ip, budget: usize) -> bool {
    let mut frames = 0;
    while let Some(handle) = sockets.dirty.pop_front() {
        match sockets.send(ip, handle) {
            Turn::Done(sent) | Turn::Blocked(sent) => frames += sent as usize,
            Turn::More(sent) => {
                frames += sent as usize;
                sockets.mark_dirty(handle);
            }
        }
        // A turn that sends nothing also counts: the work of one call is bounded.
        frames += 1;
        if frames >= budget.max(1) * 2 {
            break;
        }
    }
    !sockets.dirty.is_empty()
}
