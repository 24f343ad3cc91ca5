//! Configurations: the common part of the sessions of a client or of a server.

use crate::cache::{ClientSessions, ServerSessions};
use crate::credentials::{self, Credentials};
use crate::environment::{Environment, Sources};
use crate::error::Error;
use crate::ticket::Ticketer;
use crate::verify::{Report, Reporting};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::TrustAnchor;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, KeyLog, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use sync::mutex::{Mutex, level};

/// Trusted roots, and revocations.
#[derive(Default)]
pub struct Trust {
    /// Parsed roots, such as [`crate::mozilla_roots`].
    pub anchors: Vec<TrustAnchor<'static>>,
    /// PEM texts with roots.
    pub roots: Vec<Vec<u8>>,
    /// PEM texts with revocation lists (RFC 5280, 5). A certificate not covered by any is accepted;
    /// one on its issuer's list isn't, and none is whose issuer's list has expired (nextUpdate).
    pub revoked: Vec<Vec<u8>>,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    Both,
    /// 1.2 only (RFC 5246).
    Tls12,
    /// 1.3 only (RFC 8446).
    Tls13,
}

/// Options of both ends.
pub struct Common {
    /// The supported versions.
    pub versions: Versions,
    /// Protocols for ALPN (RFC 7301), best first.
    pub protocols: Vec<Vec<u8>>,
    /// Whether to log keys for [`Config::take_key_log`].
    pub key_log: bool,
    /// Maximum number of sessions stored for resumption; for a client, of servers. 0: none is
    /// resumed, and a server issues no tickets.
    pub sessions: usize,
}

/// Options of a client.
pub struct ClientOptions {
    /// Options of both ends.
    pub common: Common,
    /// Trust for servers' certificates.
    pub trust: Trust,
    /// Certificates for servers that request one.
    pub credentials: Arc<Credentials>,
}

/// Options of a server.
pub struct ServerOptions {
    /// Options of both ends.
    pub common: Common,
    /// Its certificates.
    pub credentials: Arc<Credentials>,
    /// Trust for clients' certificates; `None`: requests none.
    pub clients: Option<Trust>,
    /// Whether a client may have no certificate; a presented one must be valid.
    pub clients_optional: bool,
}

/// A configuration; cheap to clone.
#[derive(Clone)]
pub struct Config {
    pub(crate) side: Side,
    pub(crate) report: Arc<Report>,
    keys: Option<Arc<Keys>>,
}

#[derive(Clone)]
pub(crate) enum Side {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

/// Maximum number of bytes of logged keys; further ones are dropped.
const MAX_KEYS: usize = 64 * 1024;

/// Keys of sessions in the format of NSS (`SSLKEYLOGFILE`).
#[derive(Debug, Default)]
struct Keys(Mutex<String, level::Keys>);

impl KeyLog for Keys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut keys = self.0.lock();
        if keys.len() + label.len() + 2 * (client_random.len() + secret.len()) + 3 > MAX_KEYS {
            return;
        }
        keys.push_str(label);
        for bytes in [client_random, secret] {
            keys.push(' ');
            for byte in bytes {
                let _ = write!(keys, "{byte:02x}");
            }
        }
        keys.push('\n');
    }
}

fn is_aes(suite: &SupportedCipherSuite) -> bool {
    let name = suite.suite().as_str();
    name.is_some_and(|name| name.contains("AES"))
}

fn provider<E: Environment>() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.secure_random = const { &Sources::<E>::NEW };
    if !E::fast_aes() {
        // Stable: the versions keep their order.
        provider.cipher_suites.sort_by_key(is_aes);
    }
    Arc::new(provider)
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Versions::Both => &BOTH,
            Versions::Tls13 => &BOTH[..1],
            Versions::Tls12 => &BOTH[1..],
        }
    }
}

impl Trust {
    fn store(&self) -> Result<Arc<RootCertStore>, Error> {
        let mut roots = RootCertStore::empty();
        roots.roots.extend(self.anchors.iter().cloned());
        for text in &self.roots {
            credentials::add_roots(&mut roots, text)?;
        }
        Ok(Arc::new(roots))
    }

    fn lists(
        &self,
    ) -> Result<Vec<rustls::pki_types::CertificateRevocationListDer<'static>>, Error> {
        let mut lists = Vec::new();
        for text in &self.revoked {
            lists.extend(credentials::revocation_lists(text)?);
        }
        Ok(lists)
    }
}

fn unusable(error: VerifierBuilderError) -> Error {
    match error {
        VerifierBuilderError::InvalidCrl(error) => {
            rustls::Error::InvalidCertRevocationList(error).into()
        }
        _ => Error::configuration("no root is trusted: give some, else every peer is refused"),
    }
}

impl Config {
    /// The configuration of clients.
    pub fn client<E: Environment>(options: ClientOptions) -> Result<Config, Error> {
        let (common, provider) = (options.common, provider::<E>());
        let report = Report::new::<E>();
        let roots = options.trust.store()?;
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .with_crls(options.trust.lists()?)
            .enforce_revocation_expiration()
            .allow_unknown_revocation_status()
            .build()
            .map_err(unusable)?;
        let sessions = match common.sessions {
            0 => None,
            servers => Some(Arc::new(ClientSessions::new(servers, E::now))),
        };
        let verifier = Arc::new(Reporting {
            inner,
            report: report.clone(),
            sessions: sessions.clone(),
        });
        let builder = ClientConfig::builder_with_details(provider, Arc::new(Sources::<E>::NEW))
            .with_protocol_versions(common.versions.supported())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = builder.with_client_cert_resolver(options.credentials);
        config.resumption = match sessions {
            None => Resumption::disabled(),
            Some(sessions) => Resumption::store(sessions),
        };
        config.alpn_protocols = common.protocols;
        let keys = common.key_log.then(Arc::<Keys>::default);
        if let Some(keys) = &keys {
            config.key_log = keys.clone();
        }
        Ok(Config {
            side: Side::Client(Arc::new(config)),
            report,
            keys,
        })
    }

    /// The configuration of servers.
    pub fn server<E: Environment>(options: ServerOptions) -> Result<Config, Error> {
        let (common, provider) = (options.common, provider::<E>());
        if options.credentials.is_empty() {
            return Err(Error::configuration("a server needs a certificate"));
        }
        let report = Report::new::<E>();
        let builder =
            ServerConfig::builder_with_details(provider.clone(), Arc::new(Sources::<E>::NEW))
                .with_protocol_versions(common.versions.supported())?;
        let builder = match options.clients {
            None => builder.with_no_client_auth(),
            Some(trust) => {
                let roots = trust.store()?;
                let inner = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .with_crls(trust.lists()?)
                    .enforce_revocation_expiration()
                    .allow_unknown_revocation_status();
                let inner = match options.clients_optional {
                    true => inner.allow_unauthenticated(),
                    false => inner,
                };
                builder.with_client_cert_verifier(Arc::new(Reporting {
                    inner: inner.build().map_err(unusable)?,
                    report: report.clone(),
                    sessions: None,
                }))
            }
        };
        let mut config = builder.with_cert_resolver(options.credentials);
        config.ignore_client_order = !E::fast_aes();
        if common.sessions > 0 {
            config.ticketer = Arc::new(Ticketer::<E>::new());
        }
        config.session_storage = Arc::new(ServerSessions::new(common.sessions));
        config.alpn_protocols = common.protocols;
        let keys = common.key_log.then(Arc::<Keys>::default);
        if let Some(keys) = &keys {
            config.key_log = keys.clone();
        }
        Ok(Config {
            side: Side::Server(Arc::new(config)),
            report,
            keys,
        })
    }

    /// Moves the keys logged since the last call to `into`, as many bytes as fit, and returns how
    /// many: lines for Wireshark. None unless logging was requested.
    pub fn take_key_log(&self, into: &mut [u8]) -> usize {
        let Some(keys) = &self.keys else { return 0 };
        let mut keys = keys.0.lock();
        let n = keys.len().min(into.len());
        // The text is ASCII.
        into[..n].copy_from_slice(keys.drain(..n).as_str().as_bytes());
        n
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config")
    }
}
