//! The verification of the peer's certificates: webpki's, with readable errors.

use crate::cache::ClientSessions;
use crate::certificate::{Summary, format_time};
use crate::environment::Environment;
use crate::key::{Unsupported, signature_name};
use crate::names;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use sync::mutex::{Mutex, level};

/// The findings of the verifications that go on, by thread. rustls' errors have no room for them.
#[derive(Debug)]
pub(crate) struct Report {
    thread: fn() -> usize,
    found: Mutex<Vec<Finding>, level::Refusal>,
}

/// What a verification has found.
#[derive(Debug)]
struct Finding {
    thread: usize,
    error: CertificateError,
    words: String,
}

/// Maximum number of findings: more than processors, each of which verifies one chain at a time.
const MAX_FINDINGS: usize = 256;

impl Report {
    /// Without findings.
    pub(crate) fn new<E: Environment>() -> Arc<Report> {
        Arc::new(Report {
            thread: E::thread,
            found: Mutex::default(),
        })
    }

    /// The text for `error`, if it is the last one that this thread has found.
    pub(crate) fn take(&self, error: &CertificateError) -> Option<String> {
        let thread = (self.thread)();
        let mut found = self.found.lock();
        let place = found.iter().position(|finding| finding.thread == thread)?;
        let finding = found.swap_remove(place);
        same(&finding.error, error).then_some(finding.words)
    }

    fn add(&self, error: CertificateError, words: String) {
        let thread = (self.thread)();
        let mut found = self.found.lock();
        found.retain(|finding| finding.thread != thread);
        if found.len() < MAX_FINDINGS {
            found.push(Finding {
                thread,
                error,
                words,
            });
        }
    }

    fn note<T>(
        &self,
        result: Result<T, Error>,
        chain: &[&CertificateDer<'_>],
        host: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<T, Error> {
        if let Err(Error::InvalidCertificate(error)) = &result {
            let words = explain(error, chain, host, now);
            self.add(error.clone(), words);
        }
        result
    }
}

/// Whether two errors are the same; `Other` never equals itself.
fn same(a: &CertificateError, b: &CertificateError) -> bool {
    a == b
        || matches!(
            (a, b),
            (CertificateError::Other(_), CertificateError::Other(_))
        )
}

/// Describes the error, and the certificate of a chain that it is about.
fn explain(
    error: &CertificateError,
    chain: &[&CertificateDer<'_>],
    host: Option<&ServerName<'_>>,
    now: UnixTime,
) -> String {
    use CertificateError as E;
    let all: Vec<Option<Summary>> = chain.iter().map(|der| Summary::of(der)).collect();
    let with = |has: &dyn Fn(&Summary) -> bool| all.iter().flatten().find(|c| has(c));
    let first = all.first().and_then(|c| c.as_ref());
    let today = today(now);
    let (about, what) = match error {
        E::ExpiredContext { not_after, .. } => {
            let end = format_time(not_after.as_secs());
            let which = with(&|c| c.not_after == end);
            (which, format!("has expired on {end}; {today}"))
        }
        E::NotValidYetContext { not_before, .. } => {
            let begin = format_time(not_before.as_secs());
            let which = with(&|c| c.not_before == begin);
            (which, format!("isn't valid before {begin}; {today}"))
        }
        E::NotValidForNameContext { presented, .. } => {
            let wanted = host.map(names::text).unwrap_or_default();
            let offered = offered(presented);
            (first, format!("isn't for \"{wanted}\": {offered}"))
        }
        E::UnknownIssuer => match (first, all.last().and_then(|c| c.as_ref())) {
            (Some(c), _) if c.self_signed() => {
                let what = "signed itself and isn't among the trusted ones";
                (first, what.into())
            }
            (_, Some(last)) => {
                let issuer = &last.issuer;
                let what = format!("has an issuer that isn't trusted: {issuer}");
                (first, what)
            }
            _ => (first, "has an issuer that isn't trusted".into()),
        },
        E::Revoked => (first, "or one of its issuers' is revoked".into()),
        E::UnknownRevocationStatus => {
            let what = "is covered by none of the revocation lists";
            (first, what.into())
        }
        E::ExpiredRevocationListContext { next_update, .. } => {
            let end = format_time(next_update.as_secs());
            let what = format!(
                "has a revocation list that has expired on {end}; {today}: configure the current \
                 list"
            );
            (first, what)
        }
        E::BadSignature => (first, "or one of its issuers' has a wrong signature".into()),
        E::BadEncoding => (first, "can't be read".into()),
        E::InvalidPurposeContext { .. } => {
            let what = "isn't meant for this end of a connection (extendedKeyUsage)";
            (first, what.into())
        }
        E::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        }
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id,
            ..
        } => {
            let which = with(&|c| c.key.is_some());
            match which.and_then(|c| c.key.as_ref()) {
                Some(Unsupported { name, remedy }) => (
                    which,
                    format!("has a key of an unsupported kind, {name}: {remedy}"),
                ),
                None => {
                    let name = signature_name(signature_algorithm_id);
                    let what = format!(
                        "or one of its issuers' has a signature of an unsupported kind, {name}: \
                         have it signed by RSA, ECDSA on P-256 or P-384, or Ed25519, with SHA-2"
                    );
                    (first, what)
                }
            }
        }
        E::Other(_) if first.is_some_and(|c| c.authority) => {
            let what = "is an authority's (CA:TRUE), which no server or client may show";
            (first, what.into())
        }
        E::Other(_) => (first, "breaks a rule of RFC 5280".into()),
        other => (first, format!("is refused: {other:?}")),
    };
    let about = about.or(first);
    match about {
        Some(c) => format!(
            "the certificate of {} (serial {}, issued by {}) {what}",
            c.subject, c.serial, c.issuer
        ),
        None => format!("a certificate {what}"),
    }
}

/// The time by the machine's clock, for a message. Before 2025 there was no Soil: a clock that says
/// so was never set, as on a machine without one.
fn today(now: UnixTime) -> String {
    const FIRST: u64 = 1_735_689_600;
    let time = format_time(now.as_secs());
    if now.as_secs() < FIRST {
        format!("the time is unknown (the clock says {time}): set it by a server (SOIL_NTP)")
    } else {
        format!("it is {time} now")
    }
}

/// Maximum number of a certificate's names in a message.
const MAX_NAMES: usize = 8;

/// The names that a certificate is for; webpki's text of a name is "DnsName(\"…\")".
fn offered(presented: &[String]) -> String {
    if presented.is_empty() {
        return "it names no host (subjectAltName)".into();
    }
    let shown = presented.iter().take(MAX_NAMES).map(|name| {
        let inner = name.split_once('(').map_or(&**name, |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"')
    });
    let list = shown.collect::<Vec<_>>().join(", ");
    let more = presented.len().saturating_sub(MAX_NAMES);
    if more == 0 {
        format!("it is for {list}")
    } else {
        format!("it is for {list} and {more} more")
    }
}

/// A verifier of servers or clients that reports the findings of `inner`.
#[derive(Debug)]
pub(crate) struct Reporting<V: ?Sized> {
    pub(crate) inner: Arc<V>,
    pub(crate) report: Arc<Report>,
    /// A client's sessions, which end with the certificates.
    pub(crate) sessions: Option<Arc<ClientSessions>>,
}

/// The common methods of both traits, delegated to `inner`.
macro_rules! signatures_of_inner {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            self.inner.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.inner.supported_verify_schemes()
        }
    };
}

/// The first end of a verified chain's certificates, in the form of [`format_time`]; empty if that
/// of the end entity can't be parsed. Intermediates that have ended verified nothing: servers send
/// them for other clients.
fn first_end(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> String {
    let now = format_time(now.as_secs());
    let end = |der| Summary::of(der).map(|certificate| certificate.not_after);
    let others = intermediates.iter().filter_map(|der| end(der));
    let others = others.filter(|end| *end >= now);
    let own = end(end_entity).unwrap_or_default();
    others.fold(own, Ord::min)
}

/// A client's, of servers.
impl<V: ServerCertVerifier + ?Sized> ServerCertVerifier for Reporting<V> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        let chain: Vec<_> = [end_entity].into_iter().chain(intermediates).collect();
        if let (Ok(_), Some(sessions)) = (&result, &self.sessions) {
            sessions.verified(server_name, first_end(end_entity, intermediates, now));
        }
        self.report.note(result, &chain, Some(server_name), now)
    }

    signatures_of_inner!();
}

/// A server's, of clients.
impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for Reporting<V> {
    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let result = self
            .inner
            .verify_client_cert(end_entity, intermediates, now);
        let chain: Vec<_> = [end_entity].into_iter().chain(intermediates).collect();
        self.report.note(result, &chain, None, now)
    }

    signatures_of_inner!();
}

#[cfg(test)]
mod tests {
    use super::{
        CertificateDer, CertificateError, Environment, MAX_FINDINGS, Report, UnixTime, first_end,
    };
    use alloc::string::{String, ToString as _};
    use core::time::Duration;
    use rustls::pki_types::pem::PemObject as _;
    use std::cell::Cell;

    std::thread_local! {
        static THREAD: Cell<usize> = const { Cell::new(0) };
    }

    #[derive(Debug)]
    struct Threads;

    impl Environment for Threads {
        fn now() -> Option<u64> {
            None
        }

        fn fill(_: &mut [u8]) -> bool {
            false
        }

        fn fast_aes() -> bool {
            true
        }

        fn thread() -> usize {
            THREAD.get()
        }
    }

    /// Two sessions fail for the same reason at once.
    #[test]
    fn each_thread_gets_its_own_findings() {
        let report = Report::new::<Threads>();
        let (unknown, expired) = (CertificateError::UnknownIssuer, CertificateError::Expired);
        for thread in [1, 2] {
            THREAD.set(thread);
            report.add(expired.clone(), "earlier".into());
            report.add(unknown.clone(), thread.to_string());
        }
        for thread in [1, 2] {
            THREAD.set(thread);
            assert_eq!(report.take(&unknown), Some(thread.to_string()));
            assert_eq!(report.take(&unknown), None);
        }
        report.add(expired, "another error's".into());
        assert_eq!(report.take(&unknown), None);
        assert!(report.found.lock().is_empty());
        for thread in 0..2 * MAX_FINDINGS {
            THREAD.set(thread);
            report.add(unknown.clone(), String::new());
        }
        assert_eq!(report.found.lock().len(), MAX_FINDINGS);
    }

    /// A certificate whose validity ends with a year's first second; its signature is wrong.
    fn ending(year: &[u8; 4]) -> CertificateDer<'static> {
        let pem = include_bytes!("../tests/certificates/server.pem");
        let mut der = CertificateDer::from_pem_slice(pem).unwrap().to_vec();
        let end = der.windows(8).position(|part| part == b"21200101");
        der[end.unwrap()..][..4].copy_from_slice(year);
        der.into()
    }

    #[test]
    fn the_first_certificate_that_ends_counts() {
        let year_2050 = UnixTime::since_unix_epoch(Duration::from_secs(2_524_608_000));
        let first = |own: &CertificateDer<'_>, others: &[CertificateDer<'_>]| {
            first_end(own, others, year_2050)
        };
        let own = ending(b"2110");
        let unreadable = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(first(&own, &[]), "2110-01-01 00:00:00 UTC");
        assert_eq!(
            first(&own, &[ending(b"2120"), unreadable.clone()]),
            "2110-01-01 00:00:00 UTC"
        );
        assert_eq!(first(&own, &[ending(b"2100")]), "2100-01-01 00:00:00 UTC");
        // Of another chain, for older clients.
        assert_eq!(first(&own, &[ending(b"2040")]), "2110-01-01 00:00:00 UTC");
        assert_eq!(first(&unreadable, &[ending(b"2100")]), "");
    }
}
