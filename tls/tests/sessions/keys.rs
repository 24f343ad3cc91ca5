//! Certificates, keys and options that can't be used.

use super::{OTHER, SERVER, Test, client, client_options, pair, server, server_options, shake};
use tls::{Config, Credentials, Error, Kind, Session, Trust};

const CHALLENGE: (&[u8], &[u8]) = (pem!("challenge.pem"), pem!("challenge.key"));
const CRITICAL: (&[u8], &[u8]) = (pem!("critical.pem"), pem!("critical.key"));

/// Keys that ring doesn't support: a private key, and an authority of a peer's chain.
#[test]
fn keys_without_support_are_named_with_a_remedy() {
    for (key, expected) in [
        (
            pem!("p521.key"),
            "ECDSA on P-521: use a key on P-256 or P-384",
        ),
        (
            pem!("pss.key"),
            "RSA restricted to RSA-PSS (id-RSASSA-PSS): use a key of kind rsaEncryption, with \
             which TLS signs by RSA-PSS as well",
        ),
        (pem!("ed448.key"), "Ed448: use Ed25519"),
    ] {
        let error = Credentials::new(&[(SERVER.0, key)]).unwrap_err();
        let detail = format!("the private key is of an unsupported kind, {expected}");
        assert_eq!(error, Error::new(Kind::Configuration, detail));
    }
    for (chain, authority, expected) in [
        (
            pem!("p521.pem"),
            "CN=p521 authority",
            "ECDSA on P-521: use a key on P-256 or P-384",
        ),
        (
            pem!("pss.pem"),
            "CN=pss authority",
            "RSA restricted to RSA-PSS (id-RSASSA-PSS): use a key of kind rsaEncryption, with \
             which TLS signs by RSA-PSS as well",
        ),
    ] {
        let server = server(&[(chain, SERVER.1)], |_| ());
        let (mut client, mut server) = pair(&client(|_| ()), &server, "server.test");
        let [error, _] = shake(&mut client, &mut server, 1 << 14);
        let error = error.unwrap_err();
        let named = format!("the certificate of {authority} (serial ");
        let what = format!(") has a key of an unsupported kind, {expected}");
        assert_eq!(error.kind, Kind::Certificate);
        assert!(
            error.detail.starts_with(&named) && error.detail.ends_with(&what),
            "{error:?}"
        );
    }
}

#[test]
fn of_unknown_critical_extensions_only_acmes_are_accepted() {
    assert!(Credentials::new(&[CHALLENGE]).is_ok());
    let refused = Credentials::new(&[CRITICAL]).unwrap_err();
    assert!(refused.detail.contains("can't be read"), "{refused:?}");
}

#[test]
fn unusable_options_are_refused() {
    let detail = |pair: (&[u8], &[u8])| Credentials::new(&[pair]).unwrap_err().detail;
    assert!(detail((b"", SERVER.1)).contains("has no certificate in PEM"));
    assert!(detail((SERVER.0, b"none")).contains("has no private key in PEM"));
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    assert!(detail((SERVER.0, encrypted)).contains("without a passphrase"));
    assert!(detail((SERVER.0, OTHER.1)).contains("isn't that of the certificate"));
    let mut options = client_options();
    options.trust = Trust::default();
    let error = Config::client::<Test>(options).unwrap_err();
    assert!(error.detail.contains("no root is trusted"));
    let error = Config::server::<Test>(server_options(&[])).unwrap_err();
    assert_eq!(error.detail, "a server needs a certificate");
    let error = Session::client(&client(|_| ()), "not a host")
        .err()
        .unwrap();
    assert_eq!(
        error.detail,
        "\"not a host\" is neither a host name nor an address"
    );
}
