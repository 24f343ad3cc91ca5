//! QEMU's guest agent, on the virtio-serial port `org.qemu.guest_agent.0`.
//!
//! The first use of the network or of volumes starts it, so that a program with neither links no
//! part of it; each supplies what the agent reports or freezes. The host's requests are served by
//! the wait, one at a time, in bounded steps.

use crate::current::{Current, Interest};
use crate::{Driver, Runtime};
use ::agent::{Answer, Request, Shutdown};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use platform::error::Error;
use platform::{Clock, End, Ports, System};

/// The name of the port by which QEMU's tools and libvirt find the agent.
const PORT: &str = "org.qemu.guest_agent.0";
/// Maximum number of steps per poll; each handles one request, or one piece of input.
const STEPS: usize = 4;
/// Bytes of a piece of input.
const PIECE: usize = 512;

/// The port of the agent.
pub(crate) type Port = Box<dyn platform::port::Port<Current>>;

/// The freezes of a program's volumes.
pub struct Volumes {
    /// Makes the volumes consistent on their disks and holds their changes; then calls [`frozen`],
    /// perhaps before it returns.
    pub freeze: fn(&mut Runtime),
    /// Ends that; returns the number of volumes that were frozen.
    pub thaw: fn(&mut Runtime) -> u32,
}

/// Lists the network interfaces.
type Interfaces = fn(&mut Runtime) -> Vec<::agent::Interface>;

/// The agent, and what it serves.
pub struct GuestAgent {
    /// Whether its port was searched for.
    begun: bool,
    served: Option<&'static mut Served>,
    interfaces: Option<Interfaces>,
    volumes: Option<&'static Volumes>,
}

/// The protocol on its port.
struct Served {
    protocol: ::agent::Agent,
    port: Port,
    /// Input that the protocol hasn't taken yet.
    input: Vec<u8>,
    /// The last poll ended before the work did.
    has_more: bool,
}

impl GuestAgent {
    /// An agent that isn't started.
    pub const NONE: GuestAgent = GuestAgent {
        begun: false,
        served: None,
        interfaces: None,
        volumes: None,
    };
}

/// Starts the agent of a program with a network.
pub fn serve_network(rt: &mut Runtime, interfaces: Interfaces) -> Result<(), Error> {
    rt.resources.guest_agent.interfaces = Some(interfaces);
    begin(rt)
}

/// Starts the agent of a program with volumes.
pub fn serve_volumes(rt: &mut Runtime, volumes: &'static Volumes) -> Result<(), Error> {
    rt.resources.guest_agent.volumes = Some(volumes);
    begin(rt)
}

/// Starts the agent once, if the machine has a device for its port.
fn begin(rt: &mut Runtime) -> Result<(), Error> {
    if !Current::HAS_PORTS || core::mem::replace(&mut rt.resources.guest_agent.begun, true) {
        return Ok(());
    }
    match Current::port(PORT) {
        Some(port) => install(rt, port),
        None => Ok(()),
    }
}

/// Starts the agent on this port.
fn install(rt: &mut Runtime, port: Port) -> Result<(), Error> {
    rt.register(&Driver {
        poll: |rt, _| poll(rt),
        deadline: |rt| {
            let served = rt.resources.guest_agent.served.as_deref();
            served.is_some_and(|served| served.has_more).then_some(0)
        },
        interest,
        finish: |_| true,
        counter: |_, _| 0,
    })?;
    rt.resources.guest_agent.served = Some(Box::leak(Box::new(Served {
        protocol: ::agent::Agent::new(env!("CARGO_PKG_VERSION")),
        port,
        input: Vec::new(),
        has_more: false,
    })));
    Ok(())
}

fn interest(rt: &mut Runtime, interest: &mut Interest) {
    if let Some(served) = rt.resources.guest_agent.served.as_deref_mut() {
        // While the protocol takes no input, more of it must not end each sleep at once.
        let reads = served.input.is_empty();
        served.port.arm(interest, reads);
    }
}

impl Served {
    /// Moves bytes between port and protocol; returns the next request that the program answers,
    /// and whether there may be more to do.
    fn step(&mut self) -> (Option<Request>, bool) {
        if self.input.is_empty() {
            self.input.resize(PIECE, 0);
            let read = self.port.read(&mut self.input);
            self.input.truncate(read);
        }
        // After the read: a new host's bytes come after the news of it.
        if self.port.take_opened() {
            self.protocol.drop_output();
        }
        let taken = self.protocol.push(&self.input);
        self.input.drain(..taken);
        let request = self.protocol.next_request();
        let sent = self.send();
        (request, taken > 0 || sent)
    }

    /// Sends output as far as the port takes it; returns whether it took some.
    fn send(&mut self) -> bool {
        let sent = match self.protocol.output() {
            [] => 0,
            output => self.port.write(output),
        };
        self.protocol.consume(sent);
        sent > 0
    }

    fn answer(&mut self, answer: Result<Answer, String>) {
        self.protocol.answer(answer);
        self.send();
    }
}

/// Serves the host, for a bounded number of steps.
fn poll(rt: &mut Runtime) {
    let mut has_more = true;
    for _ in 0..STEPS {
        let Some(served) = rt.resources.guest_agent.served.as_deref_mut() else {
            return;
        };
        let (request, is_busy) = served.step();
        has_more = is_busy || request.is_some();
        match request {
            Some(request) => handle(rt, request),
            None if !has_more => break,
            None => {}
        }
    }
    if let Some(served) = rt.resources.guest_agent.served.as_deref_mut() {
        served.has_more = has_more;
    }
}

/// Answers a request. A freeze is answered by [`frozen`].
fn handle(rt: &mut Runtime, request: Request) {
    let agent = &rt.resources.guest_agent;
    let result = match request {
        Request::Interfaces => {
            let list = agent.interfaces.map(|interfaces| interfaces(rt));
            Ok(Answer::Interfaces(list.unwrap_or_default()))
        }
        Request::Shutdown(mode) => {
            Current::request_stop(match mode {
                Shutdown::PowerDown => End::PowerOff,
                Shutdown::Halt => End::Halt,
                Shutdown::Reboot => End::Restart,
            });
            Ok(Answer::Done)
        }
        Request::Freeze => match agent.volumes {
            Some(volumes) => return (volumes.freeze)(rt),
            None => Ok(Answer::Volumes(0)),
        },
        Request::Thaw => {
            let count = agent.volumes.map(|volumes| (volumes.thaw)(rt));
            Ok(Answer::Volumes(count.unwrap_or(0)))
        }
        Request::Time => i64::try_from(Current::wall_ns())
            .map(Answer::Time)
            .map_err(|_| "the time is after 2262".into()),
        Request::SetTime(time) => set_time(time),
    };
    answer(rt, result);
}

fn set_time(time: Option<i64>) -> Result<Answer, String> {
    let wanted = match time {
        Some(time) => u64::try_from(time).map_err(|_| "the time is before 1970")?,
        None => Current::machine_wall_ns().ok_or("this machine has no clock: give a time")?,
    };
    let offset = i128::from(wanted) - i128::from(Current::wall_ns());
    let offset = i64::try_from(offset).map_err(|_| "the time is too far away")?;
    Current::adjust_wall(offset);
    Ok(Answer::Set)
}

fn answer(rt: &mut Runtime, answer: Result<Answer, String>) {
    if let Some(served) = rt.resources.guest_agent.served.as_deref_mut() {
        served.answer(answer);
        // The next request may have waited for this answer.
        served.has_more = true;
    }
}

/// A freeze has ended with this number of frozen volumes, or has failed.
pub fn frozen(rt: &mut Runtime, result: Result<u32, String>) {
    answer(rt, result.map(Answer::Volumes));
}

/// The volumes have thawed without a request.
pub fn thawed(rt: &mut Runtime) {
    if let Some(served) = rt.resources.guest_agent.served.as_deref_mut() {
        served.protocol.thawed();
    }
}

#[cfg(test)]
mod tests;
