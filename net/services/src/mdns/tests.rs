//! The responder against scripted hosts; each test names the section of RFC 6762.

mod answers;
mod lab;
mod naming;

use proptest::prelude::{any, proptest};
use proptest::prop_assert;

use crate::testing::SECOND;
use lab::{ASK_A, OTHER, OTHERS_A, ask, established, message, say};

#[test]
fn rfc6762_section_5_5_and_11_unicast_queries_come_from_the_link() {
    let mut lab = established();
    lab.receive_at(OTHER, "10.0.0.1:5353", &ask(&[ASK_A]));
    let said = lab.pass(2 * SECOND);
    assert_eq!(
        (said.len(), said[0].to),
        (1, OTHER.parse().expect("an address"))
    );
    lab.receive_at("192.0.2.7:5353", "10.0.0.1:5353", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
    // Nor is a forged response accepted.
    lab.receive_at("192.0.2.7:5353", "10.0.0.1:5353", &say(&[OTHERS_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
    // A query to the group counts as from the link, with any source; but no response leaves the
    // link.
    lab.receive("192.0.2.7:5353", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND)[0].is_to_all());
    lab.receive("192.0.2.7:4000", &ask(&[ASK_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
}

#[test]
fn rfc6762_section_18_messages_of_another_sort_are_ignored() {
    let mut lab = established();
    for flags in [0x0800, 0x8403, 0x8c00] {
        let bytes = message(flags, &[ASK_A], [&[OTHERS_A], &[], &[]]);
        lab.receive(OTHER, &bytes);
        assert!(lab.pass(2 * SECOND).is_empty(), "{flags:#x}");
    }
    // 6: responses come from port 5353.
    lab.receive("10.0.0.9:4000", &say(&[OTHERS_A]));
    // Our own message, received through another link.
    lab.receive("10.0.0.1:5353", &say(&[OTHERS_A]));
    assert!(lab.pass(2 * SECOND).is_empty());
}

proptest! {
    #[test]
    fn hostile_messages_are_harmless(
        bytes in any::<Vec<u8>>(),
        flags in any::<bool>(),
        counts in any::<[u8; 4]>(),
        port in 1u16..,
    ) {
        let mut lab = established();
        let mut message = vec![0, 0, if flags { 0x84 } else { 0 }, 0];
        message.extend(counts.iter().flat_map(|count| [0, count % 4]));
        message.extend(&bytes);
        for port in [port, 5353] {
            lab.receive(&format!("10.0.0.9:{port}"), &message);
        }
        let said = lab.pass(10 * SECOND);
        prop_assert!(said.len() < 20);
        prop_assert!(lab.responder.links.len() == 2);
    }
}
