use super::{Port, Volumes, install, serve_network, serve_volumes, thawed};
use crate::Runtime;
use crate::current::{Current, Interest};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::string::String;
use std::vec;
use std::vec::Vec;

/// The host's end of the port.
#[derive(Default)]
struct Host {
    input: RefCell<VecDeque<u8>>,
    output: RefCell<Vec<u8>>,
    /// Bytes that the device takes.
    room: Cell<usize>,
    opened: Cell<bool>,
    /// Whether input ends the next wait.
    reads: Cell<bool>,
}

struct Fake(Rc<Host>);

impl platform::port::Port<Current> for Fake {
    fn read(&mut self, into: &mut [u8]) -> usize {
        let mut input = self.0.input.borrow_mut();
        let len = into.len().min(input.len());
        for byte in &mut into[..len] {
            *byte = input.pop_front().expect("counted");
        }
        len
    }

    fn write(&mut self, from: &[u8]) -> usize {
        let len = from.len().min(self.0.room.get());
        self.0.room.set(self.0.room.get() - len);
        self.0.output.borrow_mut().extend(&from[..len]);
        len
    }

    fn take_opened(&mut self) -> bool {
        self.0.opened.take()
    }

    fn arm(&mut self, _: &mut Interest, reads: bool) {
        self.0.reads.set(reads);
    }
}

fn start() -> (Runtime, Rc<Host>) {
    let host = Rc::new(Host::default());
    host.room.set(usize::MAX);
    let mut rt = Runtime::new();
    install(&mut rt, Box::new(Fake(Rc::clone(&host))) as Port).expect("room");
    (rt, host)
}

fn send(host: &Host, text: &str) {
    host.input.borrow_mut().extend(text.as_bytes());
}

/// Polls the agent as the wait does: only while it is due, or the device has news that it asked
/// for. Returns its output.
fn run(rt: &mut Runtime, host: &Host) -> String {
    let driver = rt.drivers()[0].expect("the agent's");
    for _ in 0..1000 {
        let mut interest = <Interest as platform::Interest>::EMPTY;
        super::interest(rt, &mut interest);
        let has_input = host.reads.get() && !host.input.borrow().is_empty();
        let is_woken = has_input || host.opened.get();
        if !is_woken && (driver.deadline)(rt).is_none() {
            return String::from_utf8(core::mem::take(&mut host.output.borrow_mut()))
                .expect("text");
        }
        (driver.poll)(rt, 0);
    }
    panic!("the agent never rests");
}

fn ask(rt: &mut Runtime, host: &Host, command: &str) -> String {
    send(host, &std::format!("{{\"execute\":\"{command}\"}}\n"));
    run(rt, host)
}

#[test]
fn a_program_without_network_and_volumes_has_none() {
    let (mut rt, host) = start();
    let none = "{\"return\":[]}\n";
    assert_eq!(ask(&mut rt, &host, "guest-network-get-interfaces"), none);
    assert_eq!(
        ask(&mut rt, &host, "guest-fsfreeze-freeze"),
        "{\"return\":0}\n"
    );
    assert_eq!(
        ask(&mut rt, &host, "guest-fsfreeze-thaw"),
        "{\"return\":0}\n"
    );
}

#[test]
fn interfaces_are_the_networks() {
    let (mut rt, host) = start();
    let list = |_: &mut Runtime| {
        vec![agent::Interface {
            name: "net0".into(),
            hardware_address: None,
            addresses: vec![(Ipv4Addr::new(10, 0, 0, 2).into(), 24)],
        }]
    };
    serve_network(&mut rt, list).expect("started");
    let shown = ask(&mut rt, &host, "guest-network-get-interfaces");
    assert!(shown.contains("\"10.0.0.2\""), "{shown}");
}

#[test]
fn volumes_freeze_later_and_thaw() {
    let (mut rt, host) = start();
    // Like volumes whose disk takes its time.
    static VOLUMES: Volumes = Volumes {
        freeze: |_| (),
        thaw: |_| 2,
    };
    serve_volumes(&mut rt, &VOLUMES).expect("started");
    let reads = |rt: &mut Runtime| {
        let mut interest = <Interest as platform::Interest>::EMPTY;
        super::interest(rt, &mut interest);
        host.reads.get()
    };
    assert_eq!(ask(&mut rt, &host, "guest-fsfreeze-freeze"), "");
    assert!(reads(&mut rt));
    // The next request waits, and more than the agent buffers stays with the device.
    assert_eq!(ask(&mut rt, &host, "guest-fsfreeze-status"), "");
    send(&host, &"\n".repeat(10_000));
    assert_eq!(run(&mut rt, &host), "");
    assert!(!reads(&mut rt));
    super::frozen(&mut rt, Ok(2));
    let answers = "{\"return\":2}\n{\"return\":\"frozen\"}\n";
    assert_eq!(run(&mut rt, &host), answers);
    assert!(reads(&mut rt));
    thawed(&mut rt);
    let status = ask(&mut rt, &host, "guest-fsfreeze-status");
    assert_eq!(status, "{\"return\":\"thawed\"}\n");
    assert_eq!(
        ask(&mut rt, &host, "guest-fsfreeze-thaw"),
        "{\"return\":2}\n"
    );
    ask(&mut rt, &host, "guest-fsfreeze-freeze");
    super::frozen(&mut rt, Err("the disk is full".into()));
    assert!(run(&mut rt, &host).contains("the disk is full"));
}

#[test]
fn a_poll_is_bounded() {
    let (mut rt, host) = start();
    let request = "{\"execute\":\"guest-get-time\"}\n";
    send(&host, &request.repeat(1000));
    let driver = rt.drivers()[0].expect("the agent's");
    (driver.poll)(&mut rt, 0);
    let answered = |host: &Host| host.output.borrow().split(|byte| *byte == b'\n').count() - 1;
    assert!(answered(&host) <= super::STEPS);
    assert_eq!((driver.deadline)(&mut rt), Some(0));
    let all = run(&mut rt, &host);
    assert_eq!(all.matches("return").count(), 1000);
}

/// A host that reads nothing costs no memory; the next one gets no answers to it.
#[test]
fn output_waits_for_the_host_and_is_dropped_for_the_next() {
    let (mut rt, host) = start();
    host.room.set(10);
    send(&host, &"{\"execute\":\"guest-info\"}\n".repeat(1000));
    let shown = run(&mut rt, &host);
    assert_eq!(shown.len(), 10);
    let left = host.input.borrow().len();
    run(&mut rt, &host);
    assert_eq!(host.input.borrow().len(), left, "read without an answer");
    host.room.set(usize::MAX);
    host.opened.set(true);
    // What the device has is lost with the old host.
    host.input.borrow_mut().clear();
    send(
        &host,
        "\n{\"execute\":\"guest-sync\",\"arguments\":{\"id\":7}}\n",
    );
    let shown = run(&mut rt, &host);
    assert!(shown.ends_with("{\"return\":7}\n"), "{shown}");
    assert!(shown.starts_with('{'), "{shown}");
}

#[test]
fn the_time_is_set_within_its_range() {
    let (mut rt, host) = start();
    for (time, found) in [("-1", "before 1970"), ("99999999999999999999", "'time'")] {
        send(
            &host,
            &std::format!("{{\"execute\":\"guest-set-time\",\"arguments\":{{\"time\":{time}}}}}\n"),
        );
        let shown = run(&mut rt, &host);
        assert!(shown.contains(found), "{shown}");
    }
    // A process has no clock of a machine.
    let shown = ask(&mut rt, &host, "guest-set-time");
    assert!(shown.contains("has no clock"), "{shown}");
}
