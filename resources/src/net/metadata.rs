//! The client of metadata services in an image: asks one before the program starts, if
//! `SOIL_METADATA` names it and no disk had metadata.
//!
//! The machine that answers at 169.254.169.254 configures the program, so nothing is asked by
//! default.

use super::{status, tcp};
use crate::Runtime;
use crate::current::{Current, boot, part};
use crate::metadata::{VARIABLE, adopt};
use crate::runtime;
use crate::types::Int;
use crate::types::constants::FIRST_TOKEN_OF_THREADS;
use ::metadata::Instance;
use ::metadata::http::{Parser, Response};
use ::metadata::imds::{ADDRESS, Client, Next, PORT};
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use platform::error::{Answer, Error, Stop};
use platform::{Clock, Direction, Metadata, System};
use reactor::table::Fd;

/// Timeout of all requests together, from the first address on, in nanoseconds. cloud-init waits
/// two minutes; a provider's own machines answer within a second.
const PATIENCE_NS: u64 = 30_000_000_000;
/// Timeout of one request.
const REQUEST_NS: u64 = 5_000_000_000;
/// Pause before a request is repeated.
const PAUSE_NS: u64 = 1_000_000_000;

part! {
    static ASK: boot::Hooks = ask, in ".soil_part.boot.network";
}

/// Makes an image that contains the caller ask before its program starts.
#[inline(always)]
pub fn keep() {
    part::keep(&ASK);
}

extern "C" fn ask() {
    let name = Current::variable(VARIABLE).unwrap_or_default();
    if matches!(name.as_str(), "" | "none" | "disks") || !matches!(Current::instance(), Ok(None)) {
        return;
    }
    let Some(mut client) = Client::new(&name) else {
        log::error!(
            "{VARIABLE}: \"{name}\": give none, disks, auto, ec2, gce, openstack, hetzner or digitalocean"
        );
        return;
    };
    match (Asker { token: 0 }).fetch(&mut client) {
        Ok(instance) => adopt(instance),
        Err(detail) => log::warn!("no metadata from {ADDRESS}: {detail}"),
    }
}

/// Why a request has no response.
enum Failed {
    /// The service is not reachable yet.
    Transient(String),
    /// The response is malformed.
    Permanent(String),
}

/// Makes requests, each on a connection of its own, and waits.
struct Asker {
    /// Of the last operation that was waited for.
    token: Int,
}

impl Asker {
    fn fetch(&mut self, client: &mut Client) -> Result<Instance, String> {
        self.wait_for_address()?;
        let until = Current::monotonic_ns().saturating_add(PATIENCE_NS);
        loop {
            let request = client.request();
            let end = Current::monotonic_ns()
                .saturating_add(REQUEST_NS)
                .min(until);
            let failure = match self.exchange(&request, end) {
                Ok(response) => match client.answer(response) {
                    Ok(Next::Done(instance)) => return Ok(*instance),
                    Ok(Next::Request) => continue,
                    Ok(Next::Retry) => String::from("the service is busy"),
                    Err(error) => return Err(format!("{error}")),
                },
                Err(Failed::Transient(failure)) => failure,
                Err(Failed::Permanent(failure)) => return Err(failure),
            };
            let again = Current::monotonic_ns().saturating_add(PAUSE_NS);
            if again >= until {
                return Err(format!("{}: {failure}", client.service().name()));
            }
            // No completion comes.
            let _ = self.wait(Some(again));
        }
    }

    fn wait_for_address(&mut self) -> Result<(), String> {
        let token = self.next_token();
        let up = runtime::enter(|rt| status::up(rt, token));
        let up = match up {
            // It ends by itself, after the timeout of `status`.
            Err(Stop::Pending) => self.wait(None),
            other => other,
        };
        up.map(|_| ()).map_err(|stop| described("no network", stop))
    }

    /// Sends a request and receives the response.
    fn exchange(&mut self, request: &[u8], until: u64) -> Result<Response, Failed> {
        let server = SocketAddr::new(ADDRESS.into(), PORT);
        let mut fd = None;
        runtime::enter(|rt| {
            let connection = tcp::connect_to(rt, server, 0)?;
            fd = Fd::decode(connection as Int).ok();
            Ok(0)
        })
        .map_err(|stop| for_now("connecting failed", stop))?;
        let fd = fd.ok_or_else(|| for_now("connecting failed", Stop::WouldBlock))?;
        let response = self.exchange_on(fd, request, until);
        let _ = runtime::enter(|rt| rt.close(fd));
        response
    }

    fn exchange_on(&mut self, fd: Fd, request: &[u8], until: u64) -> Result<Response, Failed> {
        self.complete(fd, Direction::Write, until, |rt| tcp::connected(rt, fd))
            .map_err(|stop| for_now("connecting failed", stop))?;
        let mut rest = request;
        while !rest.is_empty() {
            let sent = self
                .complete(fd, Direction::Write, until, |rt| rt.write(fd, rest))
                .map_err(|stop| for_now("sending failed", stop))?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        let mut parser = Parser::new();
        let mut piece = [0; 2048];
        let for_good = |error| Failed::Permanent(format!("{error}"));
        loop {
            let count = self
                .complete(fd, Direction::Read, until, |rt| rt.read(fd, &mut piece))
                .map_err(|stop| for_now("receiving failed", stop))?;
            let bytes = piece.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return parser.end().map_err(for_good);
            }
            if let Some(response) = parser.push(bytes).map_err(for_good)? {
                return Ok(response);
            }
        }
    }

    /// Repeats an operation on a descriptor until it is done.
    fn complete(
        &mut self,
        fd: Fd,
        direction: Direction,
        until: u64,
        mut operation: impl FnMut(&mut Runtime) -> Answer,
    ) -> Answer {
        loop {
            match runtime::enter(&mut operation) {
                Err(Stop::WouldBlock) => {}
                other => return other,
            }
            let token = self.next_token();
            match runtime::enter(|rt| rt.park(fd, direction, token)) {
                Err(Stop::Pending) => self.wait(Some(until))?,
                other => other?,
            };
        }
    }

    /// Waits for the last operation; `TimedOut` if it isn't complete at the time `until`.
    fn wait(&mut self, until: Option<u64>) -> Answer {
        let token = self.token;
        loop {
            let waited = runtime::wait(token as u64, until, |rt| {
                rt.take_completion(token as u64)
                    .unwrap_or(Err(Stop::WouldBlock))
            });
            let late = until.is_some_and(|until| Current::monotonic_ns() >= until);
            match waited {
                // A signal ended the wait: the program will handle it.
                Err(Stop::WouldBlock) if !late => {}
                Err(Stop::WouldBlock) => {
                    let _ = runtime::enter(|rt| rt.cancel(token));
                    return Err(Error::TimedOut.into());
                }
                other => return other,
            }
        }
    }

    fn next_token(&mut self) -> Int {
        self.token = self.token.max(FIRST_TOKEN_OF_THREADS) + 1;
        self.token
    }
}

fn for_now(what: &str, stop: Stop) -> Failed {
    Failed::Transient(described(what, stop))
}

fn described(what: &str, stop: Stop) -> String {
    match stop {
        Stop::Error(Error::TimedOut) => format!("{what}: no answer in time"),
        Stop::Error(Error::ConnectionRefused) => format!("{what}: connection refused"),
        _ => String::from(what),
    }
}
