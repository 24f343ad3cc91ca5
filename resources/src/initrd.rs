//! The name servers of the machine's initrd, into which urunc puts the `/etc/resolv.conf` of a pod.
//! They are the program's before it starts. Its files are a volume
//! ([`INITRD`](crate::files::drivers::INITRD)).

#[cfg(any(test, feature = "image"))]
use {
    alloc::string::{String, ToString},
    alloc::vec::Vec,
    core::net::IpAddr,
};

/// Makes an image that contains the caller read the initrd's name servers before its program
/// starts.
#[inline(always)]
pub fn keep() {
    #[cfg(feature = "image")]
    crate::current::part::keep(&boot::NAME_SERVERS);
}

#[cfg(feature = "image")]
mod boot {
    use crate::current::{Current, boot, environment, part};
    use alloc::vec::Vec;
    use platform::System;

    part! {
        pub static NAME_SERVERS: boot::Hooks = read_name_servers, in ".soil_part.boot.initrd";
    }

    /// Sets the variables of name servers as the file says, where the command line doesn't.
    extern "C" fn read_name_servers() {
        let initrd = Current::initrd().unwrap_or_default();
        let Some(text) = ::fs::cpio::find(initrd, "/etc/resolv.conf") else {
            return;
        };
        let variables = super::variables(text);
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        environment::add(&variables, &[]);
    }
}

/// The most name servers and domains that are used of the file.
#[cfg(any(test, feature = "image"))]
const MAX: (usize, usize) = (3, 6);

/// The variables that say what the file says: `nameserver`, `search`, and `options ndots:`.
#[cfg(any(test, feature = "image"))]
fn variables(text: &[u8]) -> Vec<(&'static str, String)> {
    let text = core::str::from_utf8(text).unwrap_or_default();
    let (mut servers, mut search, mut dots) = (Vec::new(), Vec::new(), "");
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => servers.extend(words.next()),
            Some("search" | "domain") => search = words.collect(),
            Some("options") => {
                let mut given = words.filter_map(|word| word.strip_prefix("ndots:"));
                dots = given
                    .rfind(|number| number.parse::<u8>().is_ok())
                    .unwrap_or(dots);
            }
            _ => {}
        }
    }
    servers.retain(|server| server.parse::<IpAddr>().is_ok());
    servers.truncate(MAX.0);
    search.truncate(MAX.1);
    let all = [
        ("SOIL_DNS", servers.join(",")),
        ("SOIL_DNS_SEARCH", search.join(",")),
        ("SOIL_DNS_NDOTS", dots.to_string()),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::variables;
    use proptest::prelude::{any, proptest};
    use std::string::String;
    use std::vec::Vec;

    fn of(text: &str) -> Vec<(&'static str, String)> {
        variables(text.as_bytes())
    }

    #[test]
    fn a_pods_name_servers_become_variables() {
        let pod = "search default.svc.cluster.local svc.cluster.local cluster.local\n\
                   nameserver 10.96.0.10\noptions ndots:5\n";
        let expected = [
            ("SOIL_DNS", "10.96.0.10"),
            (
                "SOIL_DNS_SEARCH",
                "default.svc.cluster.local,svc.cluster.local,cluster.local",
            ),
            ("SOIL_DNS_NDOTS", "5"),
        ];
        assert_eq!(of(pod), expected.map(|(name, value)| (name, value.into())));
    }

    #[test]
    fn what_isnt_understood_is_left_out() {
        let text = "# nameserver 1.2.3.4\n\nnameserver\nnameserver fe80::1%eth0\n\
                    nameserver fd00::1 nameserver 9.9.9.9\nnameserver x,y\nnameserver 1.1.1.1\n\
                    nameserver 8.8.8.8\nnameserver 8.8.4.4\noptions rotate ndots:x ndots:2\n\
                    search a\ndomain b c d e f g h\n";
        let expected = [
            ("SOIL_DNS", "fd00::1,1.1.1.1,8.8.8.8"),
            ("SOIL_DNS_SEARCH", "b,c,d,e,f,g"),
            ("SOIL_DNS_NDOTS", "2"),
        ];
        assert_eq!(of(text), expected.map(|(name, value)| (name, value.into())));
        assert_eq!(of("options ndots:300"), []);
        assert_eq!(variables(b"nameserver \xff"), []);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<Vec<u8>>()) {
            let _ = variables(&text);
        }
    }
}
