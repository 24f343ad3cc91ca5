//! The events of a run, as the test writes them: one JSON object in each line.

use serde::Deserialize;
use std::fmt::Write as _;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Event {
    /// The virtual time in nanoseconds.
    pub t: u64,
    /// The details.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of events. Times are in virtual nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum What {
    /// A node's process starts.
    Start { node: String },
    /// It ends.
    Exit {
        node: String,
        #[serde(default)]
        status: i64,
        /// The end in words, in place of the status.
        #[serde(default)]
        how: String,
    },
    /// A node sends a message, which arrives at `at`; `None`: it is lost.
    Send {
        from: String,
        to: String,
        at: Option<u64>,
        #[serde(default)]
        bytes: u64,
        #[serde(default)]
        what: String,
        #[serde(default)]
        why: String,
    },
    /// A node prints a line.
    Log { node: String, text: String },
    /// A fault begins.
    Fault {
        id: u64,
        name: String,
        #[serde(default)]
        what: String,
    },
    /// It ends.
    Heal { id: u64 },
    /// A client begins an operation.
    Invoke { client: String, op: String, id: u64 },
    /// The operation ends.
    Return {
        id: u64,
        #[serde(default)]
        result: String,
    },
    /// A node's disk works until `until`.
    Disk {
        node: String,
        what: String,
        #[serde(default)]
        sector: u64,
        #[serde(default)]
        count: u64,
        until: Option<u64>,
    },
    /// A check fails.
    Check {
        name: String,
        #[serde(default)]
        message: String,
    },
    /// Another event, which isn't drawn.
    #[serde(other)]
    Other,
}

impl Event {
    /// The event in one line, without its time.
    pub fn described(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = match &self.what {
            What::Start { node } => write!(text, "{node} starts"),
            What::Exit { node, status, how } => match how.as_str() {
                "" => write!(text, "{node} ends with status {status}"),
                how => write!(text, "{node} ends: {how}"),
            },
            What::Send {
                from,
                to,
                at,
                bytes,
                what,
                why,
            } => {
                let fate = match (at, why.as_str()) {
                    (Some(at), _) => format!("arrives at {}", time(*at)),
                    (None, "") => "lost".to_owned(),
                    (None, why) => format!("lost: {why}"),
                };
                write!(text, "{from} → {to}: {what}, {bytes} bytes, {fate}")
            }
            What::Log { node, text: line } => write!(text, "{node}: {line}"),
            What::Fault { id, name, what } => write!(text, "fault {id}: {name} {what}"),
            What::Heal { id } => write!(text, "fault {id} ends"),
            What::Invoke { client, op, id } => write!(text, "{client}: {op} (operation {id})"),
            What::Return { id, result } => write!(text, "operation {id} returns {result}"),
            What::Disk {
                node,
                what,
                sector,
                count,
                ..
            } => write!(text, "{node}: disk {what}, {count} sectors from {sector}"),
            What::Check { name, message } => write!(text, "FAILED {name}: {message}"),
            What::Other => write!(text, "another event"),
        };
        text
    }
}

/// A virtual time in seconds, to the microsecond.
pub fn time(ns: u64) -> String {
    let us = ns / 1000;
    format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
}

/// Reads the events that can be drawn, in the order of their times. The last line may be
/// incomplete: the run was killed. Errors: the first line that can't be read, and the reason.
pub fn parse(text: &str) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    let mut lines = text.split('\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Event>(line) {
            Ok(Event {
                what: What::Other, ..
            }) => {}
            Ok(event) => events.push(event),
            Err(_) if lines.peek().is_none() => {}
            Err(error) => return Err(format!("line {} of its events: {error}", number + 1)),
        }
    }
    events.sort_by_key(|event| event.t);
    Ok(events)
}

/// The events that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The index of the first event.
    pub first: usize,
    /// The index behind the last one.
    pub end: usize,
    /// The number of all events.
    pub total: usize,
    /// The time of the first, in nanoseconds.
    pub from: u64,
    /// The time of the last, in nanoseconds; later than `from`.
    pub to: u64,
}

impl Part {
    /// The last `limit` events up to the first failure, or to the end.
    pub fn before_failure(events: &[Event], limit: usize) -> Self {
        let is_failure = |event: &Event| matches!(event.what, What::Check { .. });
        let end = events.iter().position(is_failure);
        let end = end.map_or(events.len(), |index| index + 1);
        let first = end.saturating_sub(limit.max(1));
        let at = |index: usize| events.get(index).map_or(0, |event| event.t);
        let from = if first == 0 { 0 } else { at(first) };
        Self {
            first,
            end,
            total: events.len(),
            from,
            to: at(end.saturating_sub(1)).max(from + 1),
        }
    }

    /// The part in words.
    pub fn described(&self) -> String {
        let Self { end, total, .. } = self;
        let (from, to) = (time(self.from), time(self.to));
        match self.end - self.first == self.total {
            true => format!("all {total} events, {from} to {to}"),
            false => {
                let first = self.first + 1;
                format!("events {first} to {end} of {total}, {from} to {to}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, parse};

    #[test]
    fn each_kind_of_event_is_read_and_described() {
        let text = r#"{"t":1,"k":"start","node":"db0"}
            {"t":2,"k":"send","from":"db0","to":"db1","at":1500,"bytes":74,"what":"tcp 7000 PA"}
            {"t":3,"k":"send","from":"db0","to":"db1","at":null,"bytes":9,"what":"arp","why":"cut"}
            {"t":4,"k":"log","node":"db0","text":"term 3"}
            {"t":5,"k":"fault","id":3,"name":"partition","what":"db0 | db1"}
            {"t":6,"k":"heal","id":3}
            {"t":7,"k":"invoke","client":"client0","op":"put x 1","id":7}
            {"t":8,"k":"return","id":7,"result":"ok"}
            {"t":9,"k":"disk","node":"db0","what":"write","sector":8,"count":2,"until":20}
            {"t":9,"k":"wait","node":"db0","until":12}
            {"t":9,"k":"send","from":"db0","to":"db1","bytes":9,"what":"arp","why":"cut"}
            {"t":9,"k":"exit","node":"db0","how":"signal 9"}
            {"t":10,"k":"exit","node":"db0","status":2}
            {"t":11,"k":"check","name":"one leader","message":"two"}
            {"t":12,"k":"lo"#;
        let events = parse(text).expect("valid");
        let described: Vec<String> = events.iter().map(|event| event.described()).collect();
        assert_eq!(
            described,
            [
                "db0 starts",
                "db0 → db1: tcp 7000 PA, 74 bytes, arrives at 0.000001 s",
                "db0 → db1: arp, 9 bytes, lost: cut",
                "db0: term 3",
                "fault 3: partition db0 | db1",
                "fault 3 ends",
                "client0: put x 1 (operation 7)",
                "operation 7 returns ok",
                "db0: disk write, 2 sectors from 8",
                "db0 → db1: arp, 9 bytes, lost: cut",
                "db0 ends: signal 9",
                "db0 ends with status 2",
                "FAILED one leader: two",
            ]
        );
        let error = parse("{\"t\":1,\"k\":\"log\"}\n{\"t\":2,\"k\":\"x\"}\n").expect_err("no node");
        assert!(
            error.starts_with("line 1 of its events: missing field"),
            "{error}"
        );
    }

    #[test]
    fn the_end_before_the_failure_is_drawn() {
        let mut text: String = (0..100)
            .map(|t| format!("{{\"t\":{t},\"k\":\"heal\",\"id\":1}}\n"))
            .collect();
        text.push_str("{\"t\":60,\"k\":\"check\",\"name\":\"a\"}\n");
        let events = parse(&text).expect("valid");
        let part = Part::before_failure(&events, 10);
        // The failure follows the event of its time.
        assert_eq!((part.first, part.end, part.from, part.to), (52, 62, 52, 60));
        assert!(part.described().starts_with("events 53 to 62 of 101"));
        let all = Part::before_failure(&events[..20], 1000);
        assert_eq!((all.first, all.end, all.from, all.to), (0, 20, 0, 19));
        assert!(all.described().starts_with("all 20 events"));
        let one = Part::before_failure(&events[..1], 1);
        assert_eq!((one.from, one.to), (0, 1));
    }
}
