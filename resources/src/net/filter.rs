//! The packet filter's rules as text: `SOIL_FILTER`, and `soil_net_filter`.
//!
//! Rules are separated by `;` or line ends. The first rule that matches decides; packets without a
//! match pass:
//!
//! ```text
//! (allow | deny) (in | out) [on eth0] [tcp | udp | icmp] [with ADDRESS[/LENGTH]]
//!     [port N[-M]] [peer-port N[-M]] [new | established] [limit PER_SECOND BURST [each]]
//! ```
//!
//! `port` is the local port, `peer-port` the remote one; `each` applies the limit per sender.

use super::{Net, needs_stack, stack};
use crate::Runtime;
use ::net::{Cidr, FilterAction, FilterDirection, FilterLimit, FilterRule, FilterState};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use platform::error::{Answer, Error, Failure};

/// ICMP and ICMPv6, which take two rules.
const ICMP: [u8; 2] = [1, 58];

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// Parses one rule; `None` if it is invalid.
fn rule(
    text: &str,
    interface: impl Fn(&str) -> Option<::net::InterfaceId>,
) -> Option<Vec<FilterRule>> {
    let mut words = text.split_whitespace().peekable();
    let action = match words.next()? {
        "allow" => FilterAction::Allow,
        "deny" => FilterAction::Deny,
        _ => return None,
    };
    let direction = match words.next()? {
        "in" => FilterDirection::In,
        "out" => FilterDirection::Out,
        _ => return None,
    };
    let mut rule = FilterRule::new(action, direction);
    let mut icmp = false;
    while let Some(word) = words.next() {
        match word {
            "on" => rule.interface = Some(interface(words.next()?)?),
            "tcp" => rule.protocol = Some(6),
            "udp" => rule.protocol = Some(17),
            "icmp" => icmp = true,
            "with" => {
                let network: Cidr = words.next()?.parse().ok()?;
                rule.remote = Some((network.address, network.prefix_len));
            }
            "port" => rule.local_port = Some(range(words.next()?)?),
            "peer-port" => rule.remote_port = Some(range(words.next()?)?),
            "new" => rule.state = Some(FilterState::New),
            "established" => rule.state = Some(FilterState::Established),
            "limit" => {
                rule.limit = Some(FilterLimit {
                    per_second: words.next()?.parse().ok()?,
                    burst: words.next()?.parse().ok()?,
                    per_source: words.next_if_eq(&"each").is_some(),
                });
            }
            _ => return None,
        }
    }
    if !icmp {
        return Some(alloc::vec![rule]);
    }
    let of = |protocol: &u8| FilterRule {
        protocol: Some(*protocol),
        ..rule.clone()
    };
    Some(ICMP.iter().map(of).collect())
}

/// Installs the rules, or returns a message that names the invalid one.
pub fn apply(net: &mut Net, text: &str) -> Result<(), Failure> {
    let Net {
        stack, interfaces, ..
    } = net;
    let interface = |name: &str| interfaces.iter().find(|i| i.name == name).map(|i| i.id);
    let mut rules = Vec::new();
    let lines = text.split([';', '\n']).map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        let Some(read) = rule(line, interface) else {
            let detail = format!(
                "filter: \"{line}\" is not a rule such as: \
                 deny in tcp with 192.0.2.0/24 port 80"
            );
            return Err(Failure::new(Error::BadConfiguration, detail));
        };
        rules.extend(read);
    }
    stack.set_filter(&rules).map_err(|_| {
        let detail = "filter: more than 256 rules, or a limit of none";
        Failure::new(Error::BadConfiguration, detail)
    })
}

/// See `soil_net_filter`.
pub fn set(rt: &mut Runtime, text: &str) -> Answer {
    needs_stack(rt, "a packet filter")?;
    let applied = apply(stack(rt)?, text);
    match applied {
        Ok(()) => Ok(0),
        Err(failure) => rt.fail(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::rule;
    use ::net::{FilterAction, FilterDirection, FilterState};

    #[test]
    fn rules_are_read_or_refused() {
        let read = |text: &str| rule(text, |_| None);
        let text = "deny in tcp with 192.0.2.0/24 port 80-90 peer-port 5 new limit 10 20 each";
        let rules = read(text).expect("a rule");
        let [one] = rules.as_slice() else {
            panic!("{rules:?}");
        };
        assert_eq!(one.action, FilterAction::Deny);
        assert_eq!(one.direction, FilterDirection::In);
        assert_eq!((one.protocol, one.state), (Some(6), Some(FilterState::New)));
        assert_eq!(one.local_port, Some(80..=90));
        assert_eq!(one.remote_port, Some(5..=5));
        assert_eq!(one.remote, Some(([192, 0, 2, 0].into(), 24)));
        let limit = one.limit.expect("a limit");
        assert_eq!(
            (limit.per_second, limit.burst, limit.per_source),
            (10, 20, true)
        );
        assert_eq!(read("allow out icmp").map(|rules| rules.len()), Some(2));
        for wrong in [
            "",
            "allow",
            "allow up",
            "deny in on eth9",
            "deny in port x",
            "deny in limit 1",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
