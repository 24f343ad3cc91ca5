//! Kinds of keys that this library doesn't support, for messages.

use crate::der::Der;
use alloc::format;
use alloc::string::String;
use rustls::pki_types::PrivateKeyDer;

/// A kind of key without support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// Its name.
    pub(crate) name: String,
    /// What to use in its place.
    pub(crate) remedy: &'static str,
}

const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

const USE_CURVES: &str = "use a key on P-256 or P-384";
const USE_RSA: &str = "use a key of kind rsaEncryption, with which TLS signs by RSA-PSS as well";
const USE_ED25519: &str = "use Ed25519";
const USE_OTHERS: &str = "use RSA, ECDSA on P-256 or P-384, or Ed25519";

/// The supported curves (RFC 5480, 2.1.1.1).
const CURVES: [&[u8]; 2] = [
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
    &[0x2b, 0x81, 4, 0, 0x22],
];
const OTHER_CURVES: [(&[u8], &str); 2] = [
    (&[0x2b, 0x81, 4, 0, 0x23], "ECDSA on P-521"),
    (&[0x2b, 0x81, 4, 0, 0x0a], "ECDSA on secp256k1"),
];
/// RFC 4055, 1.2; RFC 8410, 3; RFC 3279, 2.3.2; FIPS 204.
const KINDS: [(&[u8], &str, &str); 6] = [
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
        "RSA restricted to RSA-PSS (id-RSASSA-PSS)",
        USE_RSA,
    ),
    (&[0x2b, 0x65, 0x71], "Ed448", USE_ED25519),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA", USE_OTHERS),
    (
        &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17],
        "ML-DSA-44",
        USE_OTHERS,
    ),
    (
        &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18],
        "ML-DSA-65",
        USE_OTHERS,
    ),
    (
        &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19],
        "ML-DSA-87",
        USE_OTHERS,
    ),
];

/// Signature algorithms without support that occur (RFC 8017, A.2.4; RFC 5758, 3.2).
const SIGNATURES: [(&[u8], &str); 3] = [
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5],
        "RSA with SHA-1",
    ),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], "ECDSA with SHA-1"),
    (
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4],
        "ECDSA with SHA-512, as by P-521",
    ),
];

/// The name of a certificate's signature algorithm without support, by the contents of its
/// AlgorithmIdentifier or of the identifier alone.
pub(crate) fn signature_name(algorithm: &[u8]) -> &'static str {
    let kind = Der(algorithm).object_identifier().unwrap_or(algorithm);
    let found = SIGNATURES.iter().find(|(oid, _)| *oid == kind);
    found.map_or("an unknown algorithm", |(_, name)| name)
}

impl Unsupported {
    fn new(name: impl Into<String>, remedy: &'static str) -> Unsupported {
        let name = name.into();
        Unsupported { name, remedy }
    }

    /// The kind of a key with this AlgorithmIdentifier's contents (RFC 5280, 4.1.1.2); `None` for a
    /// supported one, or one that isn't known.
    pub(crate) fn of_algorithm(contents: &[u8]) -> Option<Unsupported> {
        let mut algorithm = Der(contents);
        let kind = algorithm.object_identifier()?;
        if kind == EC {
            return Unsupported::of_curve(algorithm.object_identifier());
        }
        let found = KINDS.iter().find(|(oid, ..)| *oid == kind);
        found.map(|(_, name, remedy)| Unsupported::new(*name, remedy))
    }

    /// The same by a curve; `None`: its parameters are explicit.
    fn of_curve(curve: Option<&[u8]>) -> Option<Unsupported> {
        if curve.is_some_and(|curve| CURVES.contains(&curve)) {
            return None;
        }
        let known = OTHER_CURVES.iter().find(|(oid, _)| Some(*oid) == curve);
        let name = known.map_or("ECDSA on another curve", |(_, name)| name);
        Some(Unsupported::new(name, USE_CURVES))
    }

    /// The kind of a private key that couldn't be used, as far as it is known.
    pub(crate) fn of_private(key: &PrivateKeyDer<'_>) -> Option<Unsupported> {
        let contents = Der(key.secret_der()).sequence()?;
        let mut parts = Der(contents);
        match key {
            // RFC 5958, 2.
            PrivateKeyDer::Pkcs8(_) => {
                parts.next()?;
                let algorithm = parts.sequence()?;
                if Der(algorithm).object_identifier()? == RSA {
                    return of_modulus(Der(parts.next()?.1).sequence()?);
                }
                Unsupported::of_algorithm(algorithm)
            }
            // RFC 5915, 3: version and key, then the curve.
            PrivateKeyDer::Sec1(_) => {
                parts.next()?;
                parts.next()?;
                Unsupported::of_curve(Der(parts.next()?.1).object_identifier())
            }
            PrivateKeyDer::Pkcs1(_) => of_modulus(contents),
            _ => None,
        }
    }
}

/// An RSA key (RFC 8017, A.1.2), of which the modulus is too short or too long.
fn of_modulus(contents: &[u8]) -> Option<Unsupported> {
    let mut parts = Der(contents);
    parts.next()?;
    let modulus = parts.next()?.1;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    let bits = (modulus.len() - zeros) * 8 - first.leading_zeros() as usize;
    let supported = (2048..=8192).contains(&bits);
    let remedy = "use one of 2048 to 8192 bits";
    (!supported).then(|| Unsupported::new(format!("RSA of {bits} bits"), remedy))
}

#[cfg(test)]
mod tests {
    use super::{EC, RSA, Unsupported};
    use alloc::vec::Vec;
    use proptest::prelude::{any, proptest};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::pki_types::pem::PemObject as _;

    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        [&[tag, contents.len() as u8], contents].concat()
    }

    #[test]
    fn kinds_without_support_have_a_name() {
        let kind = |parts: &[&[u8]]| {
            let elements = parts.iter().map(|oid| element(6, oid)).collect::<Vec<_>>();
            Unsupported::of_algorithm(&elements.concat()).map(|found| found.name)
        };
        let p256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        assert_eq!(kind(&[EC, p256]), None);
        assert_eq!(kind(&[EC, &[0x2b, 0x81, 4, 0, 0x22]]), None, "P-384");
        let p521: &[u8] = &[0x2b, 0x81, 4, 0, 0x23];
        assert_eq!(kind(&[EC, p521]).as_deref(), Some("ECDSA on P-521"));
        assert_eq!(kind(&[EC]).as_deref(), Some("ECDSA on another curve"));
        assert_eq!(kind(&[&[0x2b, 0x65, 0x71]]).as_deref(), Some("Ed448"));
        assert_eq!(kind(&[&[0x2b, 0x65, 0x70]]), None, "Ed25519");
        assert_eq!(kind(&[&[1, 2, 3]]), None);
    }

    #[test]
    fn an_rsa_key_that_is_too_short_has_its_bits_in_its_name() {
        let name = |key| Unsupported::of_private(&key).map(|found| found.name);
        let key = |modulus: &[u8]| {
            let parts = [element(2, &[0]), element(2, modulus), element(2, &[3])];
            element(0x30, &parts.concat())
        };
        let pkcs1 = |modulus: &[u8]| name(PrivateKeyDer::Pkcs1(key(modulus).into()));
        assert_eq!(pkcs1(&[0xff; 64]).as_deref(), Some("RSA of 512 bits"));
        assert_eq!(pkcs1(&[0, 0x1f, 0xff]).as_deref(), Some("RSA of 13 bits"));
        assert_eq!(pkcs1(&[0]), None, "malformed");
        // RFC 5958, 2: version, algorithm, and the key as octets.
        let pkcs8 = [
            element(2, &[0]),
            element(0x30, &element(6, RSA)),
            element(4, &key(&[0xff; 64])),
        ];
        let pkcs8 = PrivateKeyDer::Pkcs8(element(0x30, &pkcs8.concat()).into());
        assert_eq!(name(pkcs8).as_deref(), Some("RSA of 512 bits"));
    }

    #[test]
    fn a_supported_private_key_has_no_such_kind() {
        let texts: [&[u8]; 2] = [
            include_bytes!("../tests/certificates/server.key"),
            include_bytes!("../tests/certificates/other.key"),
        ];
        for text in texts {
            let key = PrivateKeyDer::from_pem_slice(text).expect("a key");
            assert_eq!(Unsupported::of_private(&key), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in any::<Vec<u8>>(), which in 0..3) {
            Unsupported::of_algorithm(&bytes);
            let key = match which {
                0 => PrivateKeyDer::Pkcs1(bytes.into()),
                1 => PrivateKeyDer::Sec1(bytes.into()),
                _ => PrivateKeyDer::Pkcs8(bytes.into()),
            };
            Unsupported::of_private(&key);
        }
    }
}
