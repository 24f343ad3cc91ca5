//! Options of a connection that are set before its SYN.

use super::machine::TcpOptions;

/// Options of a connection that are set before its SYN; the default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// See [`Stack::set_hop_limit`](crate::Stack::set_hop_limit).
    pub hop_limit: u8,
    /// See [`Stack::set_dscp`](crate::Stack::set_dscp).
    pub dscp: u8,
    /// Whether to request ECN (RFC 3168, 6.1.1); `None`: as in [`crate::Config::ecn`].
    pub ecn: Option<bool>,
    /// See [`Stack::tcp_set_options`](crate::Stack::tcp_set_options).
    pub tcp: TcpOptions,
}
