use std::net::{Ipv4Addr, Ipv6Addr};
use std::vec::Vec;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Agent, Answer, Interface, MAX_LINE, Request, Shutdown};

/// Sends a line, and takes the response.
fn ask(agent: &mut Agent, request: &Value) -> Value {
    let line = format!("{request}\n");
    assert_eq!(agent.push(line.as_bytes()), line.len());
    assert_eq!(agent.next_request(), None);
    response(agent)
}

fn response(agent: &mut Agent) -> Value {
    let output = agent.output().to_vec();
    agent.consume(output.len());
    assert_eq!(output.last(), Some(&b'\n'));
    serde_json::from_slice(&output).unwrap()
}

/// Asks for a freeze, which the owner answers so, and takes the response.
fn freeze(agent: &mut Agent, answer: Result<Answer, String>) -> Value {
    agent.push(b"{\"execute\":\"guest-fsfreeze-freeze\"}\n");
    assert_eq!(agent.next_request(), Some(Request::Freeze));
    agent.answer(answer);
    response(agent)
}

#[test]
fn the_agent_answers_by_itself() {
    let mut agent = Agent::new("1.0");
    let sync = json!({ "execute": "guest-sync", "arguments": { "id": -7 }, "id": [1, "x"] });
    assert_eq!(
        ask(&mut agent, &sync),
        json!({ "return": -7, "id": [1, "x"] })
    );
    assert_eq!(
        ask(&mut agent, &json!({ "execute": "guest-ping" })),
        json!({ "return": {} })
    );
    let info = ask(&mut agent, &json!({ "execute": "guest-info" }));
    assert_eq!(info["return"]["version"], "1.0");
    assert_eq!(
        info["return"]["supported_commands"]
            .as_array()
            .unwrap()
            .len(),
        12
    );
    let system = ask(&mut agent, &json!({ "execute": "guest-get-osinfo" }));
    assert_eq!(system["return"]["id"], "soil");
    assert_eq!(system["return"]["version"], "1.0");
    for command in info["return"]["supported_commands"].as_array().unwrap() {
        let quiet = command["name"] == "guest-shutdown";
        assert_eq!(command["success-response"], !quiet);
        // Each announced command exists: another error than `CommandNotFound` tells.
        let wrong = json!({ "execute": command["name"], "arguments": { "nonsense": 1 } });
        assert_eq!(ask(&mut agent, &wrong)["error"]["class"], "GenericError");
    }
}

#[test]
fn a_delimiter_resets_the_parser_and_precedes_the_response() {
    let mut agent = Agent::new("1.0");
    agent.push(b"{\"execute\": \"guest-pi\xff");
    agent.push(b"{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":5}}\n");
    assert_eq!(agent.next_request(), None);
    assert_eq!(agent.output(), b"\xff{\"return\":5}\n");
}

#[test]
fn errors_have_the_form_of_qmp() {
    let mut agent = Agent::new("1.0");
    for (request, class, text) in [
        (
            json!({ "execute": "guest-exec" }),
            "CommandNotFound",
            "guest-exec",
        ),
        (json!({ "execute": 5 }), "GenericError", "string"),
        (json!({}), "GenericError", "lacks member 'execute'"),
        (json!([]), "GenericError", "object"),
        (
            json!({ "execute": "guest-sync" }),
            "GenericError",
            "'id' is missing",
        ),
        (
            json!({ "execute": "guest-ping", "x": 1 }),
            "GenericError",
            "'x' is unexpected",
        ),
        (
            json!({ "execute": "guest-ping", "arguments": [] }),
            "GenericError",
            "object",
        ),
        (
            json!({ "execute": "guest-shutdown", "arguments": { "mode": "up" } }),
            "GenericError",
            "expected powerdown, halt or reboot",
        ),
    ] {
        let answer = ask(&mut agent, &request);
        assert_eq!(answer["error"]["class"], class, "{request}");
        assert!(
            answer["error"]["desc"].as_str().unwrap().contains(text),
            "{answer}"
        );
    }
}

#[test]
fn the_program_answers_for_the_network_and_shutdown() {
    let mut agent = Agent::new("1.0");
    agent.push(b"{\"execute\":\"guest-network-get-interfaces\",\"id\":1}\n");
    agent.push(b"{\"execute\":\"guest-shutdown\",\"arguments\":{\"mode\":\"reboot\"}}\n");
    assert_eq!(agent.next_request(), Some(Request::Interfaces));
    assert_eq!(agent.next_request(), None, "an answer is due");
    agent.answer(Ok(Answer::Interfaces(vec![Interface {
        name: "net0".into(),
        hardware_address: Some([0x52, 0x54, 0, 1, 2, 0xff]),
        addresses: vec![
            (Ipv4Addr::new(10, 0, 2, 15).into(), 24),
            (Ipv6Addr::LOCALHOST.into(), 128),
        ],
    }])));
    assert_eq!(agent.next_request(), None, "there is output");
    let expected = json!({ "id": 1, "return": [{
        "name": "net0",
        "hardware-address": "52:54:00:01:02:ff",
        "ip-addresses": [
            { "ip-address": "10.0.2.15", "ip-address-type": "ipv4", "prefix": 24 },
            { "ip-address": "::1", "ip-address-type": "ipv6", "prefix": 128 },
        ],
    }] });
    assert_eq!(response(&mut agent), expected);
    assert_eq!(
        agent.next_request(),
        Some(Request::Shutdown(Shutdown::Reboot))
    );
    agent.answer(Ok(Answer::Done));
    assert!(agent.output().is_empty());
}

#[test]
fn only_some_commands_work_while_volumes_are_frozen() {
    let mut agent = Agent::new("1.0");
    let status = json!({ "execute": "guest-fsfreeze-status" });
    let failed = freeze(&mut agent, Err("the disk doesn't answer".into()));
    assert_eq!(failed["error"]["desc"], "the disk doesn't answer");
    assert_eq!(ask(&mut agent, &status)["return"], "thawed");

    assert_eq!(freeze(&mut agent, Ok(Answer::Volumes(1)))["return"], 1);
    assert_eq!(ask(&mut agent, &status)["return"], "frozen");
    for name in [
        "guest-shutdown",
        "guest-fsfreeze-freeze",
        "guest-network-get-interfaces",
    ] {
        let answer = ask(&mut agent, &json!({ "execute": name }));
        assert_eq!(answer["error"]["class"], "CommandNotFound");
    }
    assert_eq!(
        ask(&mut agent, &json!({ "execute": "guest-ping" })),
        json!({ "return": {} })
    );

    agent.push(b"{\"execute\":\"guest-fsfreeze-thaw\"}\n");
    assert_eq!(agent.next_request(), Some(Request::Thaw));
    agent.answer(Ok(Answer::Volumes(1)));
    response(&mut agent);
    assert_eq!(ask(&mut agent, &status)["return"], "thawed");
    assert!(!agent.is_frozen());
}

#[test]
fn the_program_answers_for_the_time() {
    let mut agent = Agent::new("1.0");
    agent.push(b"{\"execute\":\"guest-get-time\"}\n");
    agent.push(b"{\"execute\":\"guest-set-time\",\"arguments\":{\"time\":7}}\n");
    agent.push(b"{\"execute\":\"guest-set-time\"}\n");
    for (request, answer, expected) in [
        (Request::Time, Answer::Time(-5), json!({ "return": -5 })),
        (
            Request::SetTime(Some(7)),
            Answer::Set,
            json!({ "return": {} }),
        ),
        (Request::SetTime(None), Answer::Set, json!({ "return": {} })),
    ] {
        assert_eq!(agent.next_request(), Some(request));
        agent.answer(Ok(answer));
        assert_eq!(response(&mut agent), expected);
    }
    let wrong = json!({ "execute": "guest-set-time", "arguments": { "time": 1.5 } });
    let error = ask(&mut agent, &wrong);
    assert!(
        error["error"]["desc"].as_str().unwrap().contains("'time'"),
        "{error}"
    );
}

#[test]
fn a_freeze_of_no_volume_freezes_nothing() {
    let mut agent = Agent::new("1.0");
    assert_eq!(freeze(&mut agent, Ok(Answer::Volumes(0)))["return"], 0);
    assert!(!agent.is_frozen());
}

#[test]
fn the_owner_may_thaw() {
    let mut agent = Agent::new("1.0");
    freeze(&mut agent, Ok(Answer::Volumes(1)));
    agent.thawed();
    let status = json!({ "execute": "guest-fsfreeze-status" });
    assert_eq!(ask(&mut agent, &status)["return"], "thawed");
}

/// Values that no command takes are kept as text, so their depth costs no stack.
#[test]
fn depth_is_bounded_by_the_line_only() {
    let mut agent = Agent::new("1.0");
    let depth = MAX_LINE / 2 - 40;
    let deep = "[".repeat(depth) + &"]".repeat(depth);
    agent.push(format!("{{\"execute\":\"guest-ping\",\"id\":{deep}}}\n").as_bytes());
    assert_eq!(agent.next_request(), None);
    let expected = format!("{{\"return\":{{}},\"id\":{deep}}}\n");
    assert_eq!(agent.output(), expected.as_bytes());
}

#[test]
fn a_new_host_gets_no_response_to_the_old_one() {
    let mut agent = Agent::new("1.0");
    // One response is in the output, another one is due.
    agent.push(b"{\"execute\":\"guest-ping\",\"id\":1}\n");
    assert_eq!(agent.next_request(), None);
    agent.drop_output();
    assert!(agent.output().is_empty());
    agent.push(b"{\"execute\":\"guest-fsfreeze-freeze\",\"id\":2}\n");
    assert_eq!(agent.next_request(), Some(Request::Freeze));
    agent.drop_output();
    agent.push(b"{\"execute\":\"guest-fsfreeze-status\",\"id\":3}\n");
    assert_eq!(agent.next_request(), None, "an answer is due");
    agent.answer(Ok(Answer::Volumes(1)));
    assert_eq!(agent.next_request(), None);
    let expected = json!({ "return": "frozen", "id": 3 });
    assert_eq!(response(&mut agent), expected);
}

#[test]
fn a_line_that_is_too_long_is_one_error() {
    let mut agent = Agent::new("1.0");
    let mut errors = 0;
    for _ in 0..10 {
        let piece = [b'['; MAX_LINE];
        assert_eq!(agent.push(&piece), MAX_LINE);
        assert_eq!(agent.next_request(), None);
        if !agent.output().is_empty() {
            assert_eq!(response(&mut agent)["error"]["class"], "GenericError");
            errors += 1;
        }
    }
    assert_eq!(errors, 1);
    agent.push(b"\n");
    assert_eq!(
        ask(&mut agent, &json!({ "execute": "guest-ping" })),
        json!({ "return": {} })
    );
}

/// Input of a hostile host: pieces of requests, and any bytes.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "{\"execute\":\"guest-sync\",\"arguments\":{\"id\":1}}\n",
        "{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":99999999999999999999}}\n",
        "{\"execute\":\"guest-fsfreeze-freeze\"}\n",
        "{\"execute\":\"guest-fsfreeze-thaw\"}\n",
        "{\"execute\":\"guest-shutdown\",\"id\":1e300}\n",
        "{\"execute\":\"guest-network-get-interfaces\"",
        "[[[[",
        "\"\\ud800",
        "}\n",
    ]);
    prop_oneof![
        6 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => Just(vec![0xff]),
        1 => Just(vec![b'['; 3000]),
        1 => prop::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    /// However the input is cut, the agent goes on, stays within its bounds, and answers the next
    /// `guest-sync-delimited`.
    #[test]
    fn hostile_input_is_survived(
        pieces in prop::collection::vec((piece(), any::<bool>()), 0..40),
        cut in 1..200usize,
    ) {
        let mut agent = Agent::new("1.0");
        let mut bytes = Vec::new();
        let mut succeeds = Vec::new();
        for (piece, success) in pieces {
            bytes.extend(piece);
            succeeds.push(success);
        }
        bytes.extend(b"\xff{\"execute\":\"guest-sync-delimited\",\"arguments\":{\"id\":42}}\n");
        let mut last = Vec::new();
        let mut answers = succeeds.into_iter().cycle();
        let mut rest = bytes.as_slice();
        loop {
            let taken = agent.push(&rest[..rest.len().min(cut)]);
            rest = &rest[taken..];
            prop_assert!(agent.input.len() <= MAX_LINE);
            let request = agent.next_request();
            if let Some(request) = request {
                let answer = match request {
                    Request::Interfaces => Answer::Interfaces(Vec::new()),
                    Request::Shutdown(_) => Answer::Done,
                    Request::Freeze | Request::Thaw => Answer::Volumes(1),
                    Request::Time => Answer::Time(0),
                    Request::SetTime(_) => Answer::Set,
                };
                let good = answers.next().unwrap_or(true);
                agent.answer(if good { Ok(answer) } else { Err("no".into()) });
            }
            prop_assert!(agent.output().len() <= 4 * MAX_LINE);
            let idle = request.is_none() && agent.output().is_empty();
            if !agent.output().is_empty() {
                last = agent.output().to_vec();
                let json = last.strip_prefix(b"\xff").unwrap_or(&last);
                let value: Value = serde_json::from_slice(json).unwrap();
                prop_assert!(value.get("return").is_some() != value.get("error").is_some());
                agent.consume(last.len());
            }
            if idle && rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(last.as_slice(), b"\xff{\"return\":42}\n");
    }
}
