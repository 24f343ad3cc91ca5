//! Errors, in words that say what to do.

use alloc::format;
use alloc::string::String;
use rustls::AlertDescription;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A certificate wasn't accepted: the peer's here, or this end's by the peer.
    Certificate,
    /// The peer closed the connection without close_notify: its data may be truncated.
    Truncated,
    /// The peer broke the protocol, or has no common parameters with this end.
    Protocol,
    /// Invalid options, certificates or keys.
    Configuration,
    /// There are no random numbers, or no time.
    Environment,
    /// This end ended the session: its memory was needed, or its keys are no longer its own.
    Busy,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The kind of the failure.
    pub kind: Kind,
    /// One line for people: what was wrong, with what, and what to do.
    pub detail: String,
}

impl Error {
    /// A failure of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Error {
        Error {
            kind,
            detail: detail.into(),
        }
    }

    /// A failure of options.
    pub(crate) fn configuration(detail: impl Into<String>) -> Error {
        Error::new(Kind::Configuration, detail)
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Error {
        use rustls::Error as E;
        match error {
            E::AlertReceived(alert) => alert_received(alert),
            E::FailedToGetCurrentTime => Error::new(Kind::Environment, "the time isn't known"),
            E::FailedToGetRandomBytes => {
                Error::new(Kind::Environment, "there are no random numbers")
            }
            E::InvalidCertificate(_) | E::NoCertificatesPresented => {
                Error::new(Kind::Certificate, format!("{error}"))
            }
            E::PeerSentOversizedRecord
            | E::InvalidMessage(rustls::InvalidMessage::MessageTooLarge) => Error::new(
                Kind::Protocol,
                "the peer sent a record of more than 16,384 bytes (RFC 8446, 5.1)",
            ),
            E::InvalidMessage(rustls::InvalidMessage::HandshakePayloadTooLarge) => {
                Error::new(Kind::Protocol, HANDSHAKE_TOO_LARGE)
            }
            E::DecryptError => Error::new(
                Kind::Protocol,
                "a record was changed on the way, or sealed with another key (bad_record_mac)",
            ),
            E::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Error::new(
                Kind::Protocol,
                "the peer doesn't speak TLS (what it sent is no record)",
            ),
            E::General(detail) => Error::new(Kind::Configuration, detail),
            E::InconsistentKeys(_) => {
                Error::configuration("the private key isn't that of the certificate")
            }
            E::InvalidCertRevocationList(_) => {
                Error::configuration(format!("{error}: give lists in PEM, each whole"))
            }
            other => Error::new(Kind::Protocol, format!("{other}")),
        }
    }
}

/// The detail for a handshake message that is too long.
pub(crate) const HANDSHAKE_TOO_LARGE: &str =
    "the peer sent a handshake message of more than 65,535 bytes";

/// The peer ended the connection with an alert (RFC 8446, 6.2).
fn alert_received(alert: AlertDescription) -> Error {
    use AlertDescription as A;
    let (kind, meaning) = match alert {
        A::BadCertificate => (Kind::Certificate, "it can't use this end's certificate"),
        A::UnsupportedCertificate => (
            Kind::Certificate,
            "it doesn't support this end's kind of certificate",
        ),
        A::CertificateRevoked => (Kind::Certificate, "this end's certificate is revoked"),
        A::CertificateExpired => (Kind::Certificate, "this end's certificate has expired"),
        A::CertificateUnknown => (
            Kind::Certificate,
            "it doesn't accept this end's certificate",
        ),
        A::UnknownCA => (
            Kind::Certificate,
            "it doesn't trust the issuer of this end's certificate",
        ),
        A::CertificateRequired => (
            Kind::Certificate,
            "it requires a client certificate, and none is configured",
        ),
        A::AccessDenied => (Kind::Certificate, "it denies access to this end"),
        A::UnrecognisedName => (Kind::Protocol, "it has no certificate for this host name"),
        A::NoApplicationProtocol => (
            Kind::Protocol,
            "it speaks none of the protocols offered by ALPN",
        ),
        A::ProtocolVersion => (Kind::Protocol, "it speaks neither of the versions offered"),
        A::HandshakeFailure => (Kind::Protocol, "it found no parameters that both ends have"),
        A::NoRenegotiation => (Kind::Protocol, "it doesn't negotiate again"),
        A::BadRecordMac => (Kind::Protocol, "a record to it was changed on the way"),
        _ => (Kind::Protocol, "it ended the connection"),
    };
    Error::new(
        kind,
        format!("the peer sent the alert {alert:?}: {meaning}"),
    )
}
