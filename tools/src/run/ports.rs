//! Forwarded ports that the host refuses.

use crate::failure::Failure;
use crate::options::{Forward, Protocol};
use std::io;
use std::net::{TcpListener, UdpSocket};

/// The reason why no other program can listen on one of these ports of the host, for a QEMU or a
/// passt that has ended with an error about them: neither says which one, or what to do. `None` if
/// all of them are free now.
pub fn refused(forwards: &[Forward]) -> Option<Failure> {
    forwards.iter().find_map(|forward| {
        let at = (forward.address, forward.host);
        let bound = match forward.protocol {
            Protocol::Tcp => TcpListener::bind(at).map(drop),
            Protocol::Udp => UdpSocket::bind(at).map(drop),
        };
        bound.err().map(|error| explained(forward, &error))
    })
}

fn explained(forward: &Forward, error: &io::Error) -> Failure {
    let Forward {
        address,
        host: port,
        protocol,
        ..
    } = forward;
    let subject = format!("--forward {forward}");
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let letter = match protocol {
                Protocol::Tcp => 't',
                Protocol::Udp => 'u',
            };
            let reason = format!("port {port} of {address} is in use");
            Failure::on(subject, reason).remedy(format!(
                "end the program that has it (ss -{letter}lnp 'sport = :{port}' shows it), or \
                 forward another port"
            ))
        }
        io::ErrorKind::PermissionDenied => {
            Failure::on(subject, format!("port {port} is one for root"))
                .remedy("forward a port from 1024 on")
        }
        io::ErrorKind::AddrNotAvailable => {
            Failure::on(subject, format!("this host has no address {address}"))
                .remedy("forward a port of 127.0.0.1, or of 0.0.0.0 for all addresses")
        }
        _ => Failure::on(subject, error),
    }
}

#[cfg(test)]
mod tests {
    use super::{explained, refused};
    use crate::options::Forward;
    use std::io;
    use std::net::{TcpListener, UdpSocket};

    fn forward(text: &str) -> Forward {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_port_in_use_is_named() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let [in_tcp, in_udp] = [tcp.local_addr(), udp.local_addr()].map(|at| at.expect("bound"));
        for (text, port, tool) in [
            (format!("{}:80", in_tcp.port()), in_tcp.port(), "ss -tlnp"),
            (
                format!("{}:53/udp", in_udp.port()),
                in_udp.port(),
                "ss -ulnp",
            ),
        ] {
            let taken = forward(&text);
            let failure = refused(&[taken]).expect("it is in use").to_string();
            let named = format!("--forward {taken}: port {port} of 127.0.0.1 is in use: ");
            assert!(
                failure.starts_with(&named) && failure.contains(tool),
                "{failure}"
            );
        }
        drop(tcp);
        let free = forward(&format!("{}:80", in_tcp.port()));
        assert_eq!(refused(&[free]), None);
    }

    #[test]
    fn each_refusal_has_a_remedy() {
        let privileged = forward("80:80");
        for (kind, words) in [
            (io::ErrorKind::PermissionDenied, "from 1024 on"),
            (io::ErrorKind::AddrNotAvailable, "0.0.0.0"),
            (io::ErrorKind::AddrInUse, "or forward another port"),
        ] {
            let text = explained(&privileged, &kind.into()).to_string();
            assert!(
                text.starts_with("--forward ") && text.contains(words),
                "{text}"
            );
        }
    }
}
