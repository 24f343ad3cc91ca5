//! Certificates with their private keys, and trusted roots, from PEM (RFC 7468).

use crate::error::{Error, Kind};
use crate::key::Unsupported;
use crate::names;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use rustls::client::{ResolvesClientCert, verify_server_name};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, TrustAnchor};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};
use sync::mutex::{Mutex, level};

/// Certificate chains with their keys, which can be replaced while they are in use.
///
/// A server selects by the name that the client requests (SNI): the first chain whose certificate
/// is valid for it, else the first one. A client presents its first chain to a server that requests
/// one.
pub struct Credentials {
    chains: Mutex<Arc<Vec<Arc<CertifiedKey>>>, level::Chains>,
}

impl Credentials {
    /// Chains from pairs of PEM texts: the certificate followed by those between it and the root,
    /// and its private key (PKCS#8, PKCS#1 or SEC1, not encrypted).
    pub fn new(pairs: &[(&[u8], &[u8])]) -> Result<Credentials, Error> {
        let credentials = Credentials {
            chains: Mutex::default(),
        };
        credentials.replace(pairs)?;
        Ok(credentials)
    }

    /// Replaces all chains: handshakes that begin after this use the new ones. On an error nothing
    /// changes.
    pub fn replace(&self, pairs: &[(&[u8], &[u8])]) -> Result<(), Error> {
        let chains = pairs.iter().map(|(chain, key)| certified_key(chain, key));
        let chains = Arc::new(chains.collect::<Result<Vec<_>, _>>()?);
        *self.chains.lock() = chains;
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.chains.lock().is_empty()
    }

    fn chains(&self) -> Arc<Vec<Arc<CertifiedKey>>> {
        self.chains.lock().clone()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Whether the chain's certificate is valid for this host.
fn is_for(key: &CertifiedKey, host: &str) -> bool {
    let Ok(name) = names::server_name(host) else {
        return false;
    };
    let certificate = key.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chains = self.chains();
        let named = hello
            .server_name()
            .and_then(|host| chains.iter().find(|key| is_for(key, host)));
        named.or(chains.first()).cloned()
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.chains().first().cloned()
    }

    fn has_certs(&self) -> bool {
        !self.is_empty()
    }
}

/// The error of a PEM text.
fn unreadable(what: &str, error: pem::Error) -> Error {
    let why = match error {
        pem::Error::NoItemsFound => format!("has no {what} in PEM (-----BEGIN …)"),
        other => format!("isn't PEM: {other}"),
    };
    Error::configuration(format!("the text of the {what} {why}"))
}

/// All items of a kind, at least one.
fn items<T: PemObject>(what: &str, text: &[u8]) -> Result<Vec<T>, Error> {
    let items: Result<Vec<T>, pem::Error> = T::pem_slice_iter(text).collect();
    match items {
        Ok(items) if items.is_empty() => Err(unreadable(what, pem::Error::NoItemsFound)),
        Ok(items) => Ok(items),
        Err(error) => Err(unreadable(what, error)),
    }
}

fn certified_key(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let chain: Vec<CertificateDer<'static>> = items("certificate", chain)?;
    if key
        .windows(ENCRYPTED.len())
        .any(|window| window == ENCRYPTED)
    {
        let detail = "the private key is encrypted: write it without a passphrase, as \
                      \"openssl pkey -in key.pem -out plain.pem\" does";
        return Err(Error::configuration(detail));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| unreadable("private key", e))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| unsupported(Unsupported::of_private(&key)))?;
    let certified_key = CertifiedKey::new(chain, key);
    match certified_key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified_key))
        }
        Err(rustls::Error::InconsistentKeys(why)) => Err(rustls::Error::from(why).into()),
        // Only the authority of an ACME challenge reads it.
        Err(_) if certified_key.cert.first().is_some_and(is_challenge) => {
            Ok(Arc::new(certified_key))
        }
        Err(_) => Err(Error::configuration(
            "the certificate can't be read: it isn't X.509 version 3",
        )),
    }
}

/// The error of a private key of this kind, or of one that isn't known.
fn unsupported(kind: Option<Unsupported>) -> Error {
    Error::configuration(match kind {
        Some(Unsupported { name, remedy }) => {
            format!("the private key is of an unsupported kind, {name}: {remedy}")
        }
        None => "the private key is of no supported kind: RSA of 2048 to 8192 bits, ECDSA on \
                 P-256 or P-384, Ed25519"
            .into(),
    })
}

/// Whether the certificate answers a challenge of ACME: webpki reads none with critical extensions
/// that it doesn't support.
fn is_challenge(certificate: &CertificateDer<'_>) -> bool {
    let mut windows = certificate.windows(ACME_IDENTIFIER.len());
    windows.any(|window| window == ACME_IDENTIFIER)
}

/// The beginning of the critical extension acmeIdentifier (RFC 8737, 3): its type, and TRUE.
const ACME_IDENTIFIER: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff";

/// The first line of an encrypted key contains this word.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Mozilla's roots at the date of this build.
pub fn mozilla_roots() -> Vec<TrustAnchor<'static>> {
    webpki_roots::TLS_SERVER_ROOTS.to_vec()
}

/// Adds the certificates of a PEM text to `roots`.
pub(crate) fn add_roots(roots: &mut RootCertStore, text: &[u8]) -> Result<(), Error> {
    for certificate in items::<CertificateDer<'_>>("trusted certificate", text)? {
        roots.add(certificate).map_err(|_| {
            Error::new(
                Kind::Configuration,
                "a trusted certificate can't be read: it isn't X.509 version 3",
            )
        })?;
    }
    Ok(())
}

/// The revocation lists of a PEM text.
pub(crate) fn revocation_lists(
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    items("revocation list", text)
}
