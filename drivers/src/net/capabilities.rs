//! Negotiation of a card's features.

use super::{ETHERNET, GsoKind, MAX_FRAME, TxMeta, feature};
use crate::Error;
use crate::device::Device;

/// Configuration space (virtio 1.2, 5.1.4).
const CONFIG_MAC: usize = 0;
const CONFIG_MTU: usize = 10;

/// MTU of a device that doesn't report one.
const DEFAULT_MTU: u16 = 1500;
/// Range of MTUs accepted from a device (IPv4's minimum, RFC 791; the largest IP packet).
const MTU_RANGE: core::ops::RangeInclusive<u16> = 68..=65535;

/// Negotiated capabilities of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// MAC address, if the card has one.
    pub mac: Option<[u8; 6]>,
    /// Largest IP packet of the network, in bytes.
    pub mtu: u16,
    /// Longest frame that [`Card::transmit`](super::Card::transmit) accepts, in bytes: one of the
    /// MTU, or 64 KiB with `tso4` or `tso6`.
    pub max_transmit: usize,
    /// The card computes TCP and UDP checksums ([`TxMeta::checksum`]).
    pub tx_checksum: bool,
    /// The card segments TCP over IPv4 ([`TxMeta::gso`]).
    pub tso4: bool,
    /// The card segments TCP over IPv6.
    pub tso6: bool,
    /// The card reports checksums that need no verification
    /// ([`RxMeta::checksum`](super::RxMeta::checksum)).
    pub rx_checksum: bool,
    /// IPv4 frames received may be larger than the MTU.
    pub large_receive4: bool,
    /// IPv6 frames received may be larger than the MTU.
    pub large_receive6: bool,
}

/// True if the negotiated features cover `meta`, and `meta` is valid for a frame of `len` bytes.
pub(crate) fn is_supported(capabilities: &Capabilities, len: usize, meta: &TxMeta) -> bool {
    let checksum = meta.checksum.is_none_or(|sum| {
        capabilities.tx_checksum && usize::from(sum.start) + usize::from(sum.offset) + 2 <= len
    });
    let gso = meta.gso.is_none_or(|gso| {
        let agreed = match gso.kind {
            GsoKind::Tcp4 => capabilities.tso4,
            GsoKind::Tcp6 => capabilities.tso6,
        };
        agreed && gso.segment > 0 && usize::from(gso.headers) < len && meta.checksum.is_some()
    });
    checksum && gso
}

/// Removes features that lack a prerequisite (virtio 1.2, 5.1.3.1), and those that need too much
/// memory: large frames are received only into mergeable buffers (otherwise each buffer would need
/// 64 KiB).
pub(super) fn fix_features(mut features: u64) -> u64 {
    if features & feature::CSUM == 0 {
        features &= !(feature::HOST_TSO4 | feature::HOST_TSO6);
    }
    if features & feature::GUEST_CSUM == 0 || features & feature::MRG_RXBUF == 0 {
        features &= !(feature::GUEST_TSO4 | feature::GUEST_TSO6);
    }
    features
}

pub(super) fn read(device: &Device) -> Result<Capabilities, Error> {
    let mut mac = None;
    if device.has(feature::MAC) {
        let mut bytes = [0; 6];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = device.config_u8(CONFIG_MAC + at).ok_or(Error::BadConfig)?;
        }
        mac = Some(bytes);
    }
    let mtu = device
        .has(feature::MTU)
        .then(|| device.config_u16(CONFIG_MTU))
        .flatten();
    let mtu = mtu
        .filter(|mtu| MTU_RANGE.contains(mtu))
        .unwrap_or(DEFAULT_MTU);
    let (tso4, tso6) = (
        device.has(feature::HOST_TSO4),
        device.has(feature::HOST_TSO6),
    );
    let max_transmit = if tso4 || tso6 {
        MAX_FRAME
    } else {
        ETHERNET + usize::from(mtu)
    };
    Ok(Capabilities {
        mac,
        mtu,
        max_transmit,
        tx_checksum: device.has(feature::CSUM),
        tso4,
        tso6,
        rx_checksum: device.has(feature::GUEST_CSUM),
        large_receive4: device.has(feature::GUEST_TSO4),
        large_receive6: device.has(feature::GUEST_TSO6),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Gso, TxChecksum};
    use super::*;

    const ALL: Capabilities = Capabilities {
        mac: None,
        mtu: 1500,
        max_transmit: MAX_FRAME,
        tx_checksum: true,
        tso4: true,
        tso6: true,
        rx_checksum: true,
        large_receive4: true,
        large_receive6: true,
    };

    fn meta(checksum: Option<(u16, u16)>, gso: Option<(GsoKind, u16, u16)>) -> TxMeta {
        TxMeta {
            checksum: checksum.map(|(start, offset)| TxChecksum { start, offset }),
            gso: gso.map(|(kind, segment, headers)| Gso {
                kind,
                segment,
                headers,
            }),
        }
    }

    #[test]
    fn a_checksum_lies_in_its_frame() {
        let sum = meta(Some((34, 16)), None);
        for (len, fits) in [(51, false), (52, true), (53, true)] {
            assert_eq!(is_supported(&ALL, len, &sum), fits, "{len} bytes");
        }
        let without = Capabilities {
            tx_checksum: false,
            ..ALL
        };
        assert!(
            !is_supported(&without, 100, &sum) && is_supported(&without, 100, &meta(None, None))
        );
    }

    #[test]
    fn segments_need_a_checksum_a_size_and_more_than_headers() {
        let sum = Some((34, 16));
        let tcp4 = |segment, headers| meta(sum, Some((GsoKind::Tcp4, segment, headers)));
        for (len, fits) in [(66, false), (67, true)] {
            assert_eq!(is_supported(&ALL, len, &tcp4(1, 66)), fits, "{len} bytes");
        }
        assert!(!is_supported(&ALL, 100, &tcp4(0, 66)));
        let no_sum = meta(None, Some((GsoKind::Tcp4, 1448, 66)));
        assert!(!is_supported(&ALL, 100, &no_sum));
        let only4 = Capabilities { tso6: false, ..ALL };
        let only6 = Capabilities { tso4: false, ..ALL };
        let tcp6 = meta(sum, Some((GsoKind::Tcp6, 1428, 66)));
        assert!(is_supported(&only4, 100, &tcp4(1448, 66)) && !is_supported(&only4, 100, &tcp6));
        assert!(is_supported(&only6, 100, &tcp6) && !is_supported(&only6, 100, &tcp4(1448, 66)));
    }

    #[test]
    fn features_go_without_those_that_they_need() {
        use feature::{ALL, CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6};
        use feature::{HOST_TSO4, HOST_TSO6, MRG_RXBUF};
        let needs = [
            (0, 0),
            (CSUM, HOST_TSO4 | HOST_TSO6),
            (GUEST_CSUM, GUEST_TSO4 | GUEST_TSO6),
            (MRG_RXBUF, GUEST_TSO4 | GUEST_TSO6),
        ];
        for (without, go) in needs {
            assert_eq!(fix_features(ALL & !without), ALL & !without & !go);
        }
        assert_eq!(fix_features(0), 0);
    }
}
