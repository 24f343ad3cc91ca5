//! Both ends of connections against each other, record by record.

use std::cell::Cell;
use std::sync::Arc;
use tls::{
    ClientOptions, Common, Config, Credentials, Environment, Error, Kind, Read, ServerOptions,
    Session, Trust, Versions, session,
};

macro_rules! pem {
    ($name:literal) => {
        include_bytes!(concat!("../certificates/", $name)).as_slice()
    };
}

mod keys;

const SERVER: (&[u8], &[u8]) = (pem!("server.pem"), pem!("server.key"));
const OTHER: (&[u8], &[u8]) = (pem!("other.pem"), pem!("other.key"));
const CLIENT: (&[u8], &[u8]) = (pem!("client.pem"), pem!("client.key"));
const REVOKED: (&[u8], &[u8]) = (pem!("revoked.pem"), pem!("revoked.key"));
const OWN: (&[u8], &[u8]) = (pem!("own.pem"), pem!("own.key"));
const ROOT: (&[u8], &[u8]) = (pem!("root.pem"), pem!("root.key"));

/// 2030-01-01.
const YEAR_2030: u64 = 1_893_456_000;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(YEAR_2030) };
    static FAST_AES: Cell<bool> = const { Cell::new(true) };
    static THREAD: u8 = const { 0 };
}

#[derive(Debug)]
struct Test;

impl Environment for Test {
    fn now() -> Option<u64> {
        Some(NOW.get())
    }

    fn fill(into: &mut [u8]) -> bool {
        getrandom::getrandom(into).is_ok()
    }

    fn fast_aes() -> bool {
        FAST_AES.get()
    }

    fn thread() -> usize {
        THREAD.with(|thread| &raw const *thread as usize)
    }
}

fn credentials(pairs: &[(&[u8], &[u8])]) -> Arc<Credentials> {
    Arc::new(Credentials::new(pairs).unwrap())
}

fn trust(roots: &[&[u8]]) -> Trust {
    Trust {
        roots: roots.iter().map(|text| text.to_vec()).collect(),
        ..Trust::default()
    }
}

fn common() -> Common {
    Common {
        versions: Versions::Both,
        protocols: Vec::new(),
        key_log: false,
        sessions: 16,
    }
}

fn client_options() -> ClientOptions {
    ClientOptions {
        common: common(),
        trust: trust(&[ROOT.0]),
        credentials: credentials(&[]),
    }
}

fn server_options(pairs: &[(&[u8], &[u8])]) -> ServerOptions {
    ServerOptions {
        common: common(),
        credentials: credentials(pairs),
        clients: None,
        clients_optional: false,
    }
}

fn client(change: impl FnOnce(&mut ClientOptions)) -> Config {
    let mut options = client_options();
    change(&mut options);
    Config::client::<Test>(options).unwrap()
}

fn server(pairs: &[(&[u8], &[u8])], change: impl FnOnce(&mut ServerOptions)) -> Config {
    let mut options = server_options(pairs);
    change(&mut options);
    Config::server::<Test>(options).unwrap()
}

/// Moves all records of one end to the other, in pieces of `piece` bytes.
fn carry(from: &mut Session, to: &mut Session, piece: usize) -> usize {
    let mut moved = 0;
    let mut buffer = vec![0; piece];
    loop {
        let n = from.take(&mut buffer);
        if n == 0 {
            return moved;
        }
        assert!(to.feed(&buffer[..n]));
        moved += n;
    }
}

/// The handshake of a pair; the error of each end.
fn shake(client: &mut Session, server: &mut Session, piece: usize) -> [Result<(), Error>; 2] {
    let mut results = [Ok(()), Ok(())];
    for _ in 0..20 {
        if results[0].is_ok() {
            results[0] = client.handshake().map(drop);
        }
        let mut moved = carry(client, server, piece);
        if results[1].is_ok() {
            results[1] = server.handshake().map(drop);
        }
        moved += carry(server, client, piece);
        if moved == 0 {
            break;
        }
    }
    results
}

fn pair(client: &Config, server: &Config, host: &str) -> (Session, Session) {
    let client = Session::client(client, host).unwrap();
    (client, Session::server(server).unwrap())
}

fn connected(client: &Config, server: &Config) -> (Session, Session) {
    let (mut client, mut server) = pair(client, server, "server.test");
    assert_eq!(shake(&mut client, &mut server, 4096), [Ok(()), Ok(())]);
    assert_eq!(
        (client.handshake(), server.handshake()),
        (Ok(true), Ok(true))
    );
    (client, server)
}

/// Writes all of `text` and transfers it; returns what the other end reads.
fn send(from: &mut Session, to: &mut Session, text: &[u8]) -> Vec<u8> {
    let (mut rest, mut got) = (text, Vec::new());
    let (mut records, mut plain) = (vec![0; 40_000], vec![0; 5000]);
    while !rest.is_empty() {
        let (taken, made) = from.write(rest, &mut records).unwrap();
        assert!(taken > 0);
        rest = &rest[taken..];
        assert!(to.feed(&records[..made]));
        while let Read::Bytes(n) = to.read(&mut plain).unwrap() {
            got.extend_from_slice(&plain[..n]);
        }
    }
    got
}

#[test]
fn both_versions_carry_text_both_ways_in_pieces_of_any_size() {
    let text: Vec<u8> = (0..100_000u32).map(|n| (n * 7 / 3) as u8).collect();
    for (versions, version, suite) in [
        (Versions::Both, "1.3", "TLS13_AES_256_GCM_SHA384"),
        (
            Versions::Tls12,
            "1.2",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
    ] {
        for piece in [1, 7, 5000] {
            let client = client(|options| options.common.versions = versions);
            let (mut client, mut server) = pair(&client, &server(&[SERVER], |_| ()), "server.test");
            assert_eq!(shake(&mut client, &mut server, piece), [Ok(()), Ok(())]);
            for end in [&client, &server] {
                assert_eq!((end.version(), end.cipher_suite()), (version, suite));
                assert!(!end.resumed());
            }
            assert_eq!(send(&mut client, &mut server, &text), text);
            assert_eq!(send(&mut server, &mut client, &text), text);
        }
    }
}

/// Text follows pending output, with any room for either: here the tickets that a server makes with
/// its first record.
#[test]
fn text_goes_behind_what_waits_in_room_of_any_size() {
    let text: Vec<u8> = (0..40_000u32).map(|at| (at * 7 + at / 256) as u8).collect();
    for room in [1, 50, 94, 95, 200, 5000, 16_400, 16_500, 17_000, 100_000] {
        let (client, server) = (client(|_| {}), server(&[SERVER], |_| {}));
        let (mut client, mut server) = pair(&client, &server, "server.test");
        for _ in 0..2 {
            client.handshake().unwrap();
            carry(&mut client, &mut server, 1000);
            if client.handshake().unwrap() {
                break;
            }
            server.handshake().unwrap();
            carry(&mut server, &mut client, 1000);
        }
        let (mut into, mut read) = (vec![0; room], Vec::new());
        let mut taken = 0;
        loop {
            let (n, made) = server.write(&text[taken..], &mut into).unwrap();
            assert!(client.feed(&into[..made]));
            let mut piece = [0; 3000];
            while let Read::Bytes(n) = client.read(&mut piece).unwrap() {
                read.extend_from_slice(&piece[..n]);
            }
            taken += n;
            if (n, made) == (0, 0) {
                break;
            }
        }
        // Less has no room for a record.
        assert_eq!(taken, if room < 95 { 0 } else { text.len() }, "{room}");
        assert!(read == text[..taken], "{room}");
    }
}

#[test]
fn an_end_without_instructions_for_aes_has_chacha20() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        for (of_client, of_server) in [(true, true), (true, false), (false, true), (false, false)] {
            FAST_AES.set(of_client);
            let client = client(|options| options.common.versions = versions);
            FAST_AES.set(of_server);
            let server = server(&[SERVER], |_| ());
            let (a, _) = connected(&client, &server);
            let chacha20 = a.cipher_suite().contains("CHACHA20");
            assert_eq!(chacha20, !(of_client && of_server), "{}", a.cipher_suite());
        }
    }
    FAST_AES.set(true);
}

#[test]
fn a_session_is_resumed_by_ticket_and_by_identifier() {
    for (versions, tickets) in [(Versions::Both, true), (Versions::Tls12, true)] {
        let client = client(|options| options.common.versions = versions);
        let server = server(&[SERVER], |options| {
            options.common.sessions = usize::from(tickets) * 16;
        });
        for expected in [false, true, true] {
            let (mut client, mut server) = connected(&client, &server);
            assert_eq!((client.resumed(), server.resumed()), (expected, expected));
            // TLS 1.3 issues tickets after the handshake.
            assert_eq!(send(&mut server, &mut client, b"hello"), b"hello");
            assert_eq!(client.peer_certificates().len(), 1);
        }
    }
    let client = client(|options| options.common.sessions = 0);
    let server = server(&[SERVER], |_| ());
    for _ in 0..2 {
        let (mut client, mut server) = connected(&client, &server);
        assert_eq!(send(&mut server, &mut client, b"hello"), b"hello");
        assert!(!client.resumed());
    }
}

/// Each resumed session gets new tickets, so that their lifetime alone would never end a series.
#[test]
fn no_session_is_resumed_after_the_end_of_the_server_s_certificate() {
    /// Less than the time after which servers change the keys of tickets.
    const HOUR: u64 = 60 * 60;
    /// 2120-01-01, the end of all certificates.
    const END: u64 = 4_733_510_400;
    for versions in [Versions::Both, Versions::Tls12] {
        NOW.set(END - HOUR);
        let client = client(|options| options.common.versions = versions);
        let server = server(&[SERVER], |_| ());
        for (now, resumed) in [(END - HOUR, false), (END - HOUR, true), (END, true)] {
            NOW.set(now);
            let (mut client, mut server) = connected(&client, &server);
            assert_eq!(client.resumed(), resumed);
            assert_eq!(send(&mut server, &mut client, b"hello"), b"hello");
        }
        NOW.set(END + 1);
        let (mut client, mut server) = pair(&client, &server, "server.test");
        let [of_client, _] = shake(&mut client, &mut server, 4096);
        let error = of_client.unwrap_err();
        assert_eq!(error.kind, Kind::Certificate);
        assert!(error.detail.contains("has expired"), "{}", error.detail);
    }
}

#[test]
fn the_first_protocol_that_both_speak_is_chosen() {
    let client = client(|options| {
        options.common.protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    });
    let of = |protocols: &[&[u8]]| {
        server(&[SERVER], |options| {
            options.common.protocols = protocols.iter().map(|p| p.to_vec()).collect();
        })
    };
    let (a, b) = connected(&client, &of(&[b"http/1.1", b"h2"]));
    assert_eq!(a.protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(b.protocol(), Some(&b"http/1.1"[..]));
    let (a, b) = connected(&client, &of(&[]));
    assert_eq!((a.protocol(), b.protocol()), (None, None));
    let (mut a, mut b) = pair(&client, &of(&[b"smtp"]), "server.test");
    let [of_client, of_server] = shake(&mut a, &mut b, 4096);
    assert!(of_server.unwrap_err().detail.contains("known protocol"));
    assert!(of_client.unwrap_err().detail.contains("ALPN"));
}

#[test]
fn a_server_shows_the_certificate_for_the_name_and_new_ones_after_a_change() {
    let chains = credentials(&[SERVER, OTHER]);
    let config = server(&[SERVER], |options| options.credentials = chains.clone());
    let subject = |host: &str| {
        let (mut a, mut b) = pair(&client(|_| ()), &config, host);
        let results = shake(&mut a, &mut b, 4096);
        assert_eq!(results, [Ok(()), Ok(())], "{host}");
        let shown = tls::certificate::Summary::of(&a.peer_certificates()[0]);
        shown.unwrap().subject
    };
    assert_eq!(subject("server.test"), "CN=server");
    assert_eq!(subject("a.wild.test"), "CN=server");
    assert_eq!(subject("10.0.0.9"), "CN=server");
    assert_eq!(subject("other.test"), "CN=other");
    assert_eq!(subject("OTHER.test."), "CN=other");
    let refused = chains.replace(&[(SERVER.0, OTHER.1)]).unwrap_err();
    assert_eq!(
        refused.detail,
        "the private key isn't that of the certificate"
    );
    assert_eq!(subject("server.test"), "CN=server");
    chains.replace(&[REVOKED]).unwrap();
    assert_eq!(subject("server.test"), "CN=revoked");
}

/// The client's error and the server's for a handshake with `host`.
fn refused(client: &Config, server: &Config, host: &str) -> (Error, Error) {
    let (mut client, mut server) = pair(client, server, host);
    let [a, b] = shake(&mut client, &mut server, 4096);
    let error = a.unwrap_err();
    // It is kept.
    assert_eq!(client.handshake(), Err(error.clone()));
    assert_eq!(client.read(&mut [0; 10]), Err(error.clone()));
    assert_eq!(client.write(b"text", &mut [0; 100]), Err(error.clone()));
    (error, b.unwrap_err())
}

#[test]
fn an_error_says_what_is_wrong_with_which_certificate() {
    let plain = client(|_| ());
    let lists = client(|options| options.trust.revoked = vec![pem!("revoked.crl").to_vec()]);
    let of = |chain| server(&[chain], |_| ());
    let issued = |name: &str, serial: &str| {
        format!("the certificate of CN={name} (serial {serial}, issued by CN=Root, O=Soil tests)")
    };
    let check = |(ours, theirs): (Error, Error), expected: String, alert: &str| {
        assert_eq!((ours.kind, ours.detail), (Kind::Certificate, expected));
        let begin = format!("the peer sent the alert {alert}: ");
        assert!(theirs.detail.starts_with(&begin), "{}", theirs.detail);
    };
    check(
        refused(&plain, &of(SERVER), "wrong.test"),
        issued("server", "02")
            + " isn't for \"wrong.test\": it is for server.test, *.wild.test, 10.0.0.9",
        "BadCertificate",
    );
    NOW.set(4_102_444_800 + 40 * 31_557_600);
    let (ours, theirs) = refused(&plain, &of(SERVER), "server.test");
    assert!(
        ours.detail
            .starts_with(&(issued("server", "02") + " has expired on 2120-01-01 00:00:00 UTC"))
    );
    assert!(
        ours.detail.ends_with("; it is 2140-01-02 00:00:00 UTC now"),
        "{}",
        ours.detail
    );
    assert!(theirs.detail.contains("CertificateExpired"));
    NOW.set(0);
    let (ours, _) = refused(&plain, &of(SERVER), "server.test");
    assert!(
        ours.detail
            .starts_with(&(issued("server", "02") + " isn't valid before 2020-01-01 00:00:00 UTC"))
    );
    assert!(
        ours.detail.ends_with(
            "; the time is unknown (the clock says 1970-01-01 00:00:00 UTC): set it by a server \
            (SOIL_NTP)"
        ),
        "{}",
        ours.detail
    );
    NOW.set(YEAR_2030);
    let (ours, theirs) = refused(&plain, &of(OWN), "server.test");
    assert!(
        ours.detail
            .starts_with("the certificate of CN=server.test (serial ")
    );
    assert!(
        ours.detail
            .ends_with(" signed itself and isn't among the trusted ones")
    );
    assert!(theirs.detail.contains("UnknownCA"));
    let stranger = client(|options| options.trust = trust(&[OWN.0]));
    check(
        refused(&stranger, &of(SERVER), "server.test"),
        issued("server", "02") + " has an issuer that isn't trusted: CN=Root, O=Soil tests",
        "UnknownCA",
    );
    check(
        refused(&lists, &of(REVOKED), "server.test"),
        issued("revoked", "05") + " or one of its issuers' is revoked",
        "CertificateRevoked",
    );
    connected(&lists, &of(SERVER));
    connected(&plain, &of(REVOKED));
    // Between the end of the list and that of the certificates.
    NOW.set(4_733_164_800);
    connected(&plain, &of(SERVER));
    check(
        refused(&lists, &of(SERVER), "server.test"),
        issued("server", "02")
            + " has a revocation list that has expired on 2119-12-25 13:12:21 UTC; it is \
               2119-12-28 00:00:00 UTC now: configure the current list",
        "UnknownCA",
    );
    NOW.set(YEAR_2030);
    let authority = client(|options| options.trust = trust(&[ROOT.0]));
    let (ours, _) = refused(&authority, &of(ROOT), "server.test");
    assert!(
        ours.detail.contains(" is an authority's (CA:TRUE), "),
        "{}",
        ours.detail
    );
    let (ours, _) = refused(&plain, &of(CLIENT), "client.test");
    assert!(
        ours.detail.contains(" isn't meant for this end "),
        "{}",
        ours.detail
    );
}

#[test]
fn a_server_asks_for_a_clients_certificate() {
    let asking = |optional| {
        server(&[SERVER], |options| {
            options.clients = Some(trust(&[ROOT.0]));
            options.clients_optional = optional;
        })
    };
    for versions in [Versions::Tls12, Versions::Tls13] {
        let showing = |chain| {
            client(|options| {
                options.common.versions = versions;
                options.credentials = credentials(chain);
            })
        };
        let (_, server) = connected(&showing(&[CLIENT]), &asking(false));
        assert_eq!(server.peer_certificates().len(), 1);
        let (_, server) = connected(&showing(&[]), &asking(true));
        assert_eq!(server.peer_certificates().len(), 0);
        for (chain, words) in [(&[][..], "no certificates"), (&[OWN][..], "signed itself")] {
            let (mut a, mut b) = pair(&showing(chain), &asking(false), "server.test");
            let [_, of_server] = shake(&mut a, &mut b, 4096);
            let error = of_server.unwrap_err();
            assert_eq!(error.kind, Kind::Certificate);
            assert!(error.detail.contains(words), "{}", error.detail);
            // In TLS 1.3 the client's handshake is complete by then.
            let late = a.read(&mut [0; 10]).unwrap_err();
            assert!(
                late.detail.starts_with("the peer sent the alert "),
                "{}",
                late.detail
            );
        }
    }
}

#[test]
fn an_expired_revocation_list_refuses_clients() {
    let lists = server(&[SERVER], |options| {
        let mut clients = trust(&[ROOT.0]);
        clients.revoked = vec![pem!("revoked.crl").to_vec()];
        options.clients = Some(clients);
    });
    let showing = client(|options| options.credentials = credentials(&[CLIENT]));
    connected(&showing, &lists);
    NOW.set(4_733_164_800);
    let (mut a, mut b) = pair(&showing, &lists, "server.test");
    let [_, of_server] = shake(&mut a, &mut b, 4096);
    let detail = of_server.unwrap_err().detail;
    assert!(
        detail.contains(" has a revocation list that has expired on "),
        "{detail}"
    );
}

#[test]
fn the_end_of_a_side_is_distinguished_from_a_truncation() {
    for versions in [Versions::Tls12, Versions::Tls13] {
        let config = client(|options| options.common.versions = versions);
        let (mut a, mut b) = connected(&config, &server(&[SERVER], |_| ()));
        assert_eq!(send(&mut a, &mut b, b"last"), b"last");
        a.close_notify().unwrap();
        a.close_notify().unwrap();
        assert!(a.write(b"more", &mut [0; 100]).is_err());
        carry(&mut a, &mut b, 100);
        b.end_of_input();
        assert_eq!(b.read(&mut [0; 10]), Ok(Read::End));
        assert_eq!(b.read(&mut [0; 10]), Ok(Read::End));
        // The other side continues.
        assert_eq!(send(&mut b, &mut a, b"answer"), b"answer");
        a.end_of_input();
        assert_eq!(a.read(&mut [0; 10]).unwrap_err().kind, Kind::Truncated);
        let (mut a, _) = pair(&config, &server(&[SERVER], |_| ()), "server.test");
        assert_eq!(a.handshake(), Ok(false));
        a.end_of_input();
        assert_eq!(a.handshake().unwrap_err().kind, Kind::Truncated);
    }
}

#[test]
fn keys_are_updated_in_both_directions() {
    let (mut a, mut b) = connected(&client(|_| ()), &server(&[SERVER], |_| ()));
    for round in 0..5 {
        a.update_keys().unwrap();
        assert!(a.pending() > 0, "{round}");
        carry(&mut a, &mut b, 100);
        assert_eq!(send(&mut a, &mut b, b"new"), b"new");
        assert_eq!(send(&mut b, &mut a, b"keys"), b"keys");
    }
    let old = client(|options| options.common.versions = Versions::Tls12);
    let (mut a, _) = connected(&old, &server(&[SERVER], |_| ()));
    assert!(a.update_keys().is_err());
    assert_eq!(a.write(b"on", &mut [0; 200]).unwrap().0, 2);
}

#[test]
fn keys_are_logged_only_if_asked_for() {
    for asked in [false, true] {
        let config = client(|options| options.common.key_log = asked);
        connected(&config, &server(&[SERVER], |_| ()));
        let mut keys = [0; 4096];
        let n = config.take_key_log(&mut keys);
        let text = String::from_utf8_lossy(&keys[..n]);
        assert_eq!(text.contains("CLIENT_TRAFFIC_SECRET_0 "), asked);
        assert_eq!(config.take_key_log(&mut keys), 0);
    }
}

#[test]
fn a_peer_without_tls_is_named() {
    let config = server(&[SERVER], |_| ());
    let mut session = Session::server(&config).unwrap();
    session.feed(b"GET / HTTP/1.1\r\n\r\n");
    let error = session.handshake().unwrap_err();
    assert!(
        error.detail.contains("doesn't speak TLS"),
        "{}",
        error.detail
    );
    let mut alert = [0; 100];
    assert_eq!(session.take(&mut alert), 7);
}

#[test]
fn damaged_and_oversized_records_end_the_session() {
    let pair = || connected(&client(|_| ()), &server(&[SERVER], |_| ()));
    let (mut a, mut b) = pair();
    let mut records = [0; 200];
    let (_, n) = a.write(b"text", &mut records).unwrap();
    records[n - 1] ^= 1;
    b.feed(&records[..n]);
    let error = b.read(&mut [0; 10]).unwrap_err();
    assert!(error.detail.contains("bad_record_mac"), "{}", error.detail);
    let (_, mut b) = pair();
    b.feed(&[23, 3, 3, 0xff, 0xff]);
    b.feed(&vec![0; 0xffff]);
    let error = b.read(&mut [0; 10]).unwrap_err();
    assert_eq!(error.kind, Kind::Protocol);
}

#[test]
fn no_peer_makes_a_session_buffer_without_bound() {
    let config = server(&[SERVER], |_| ());
    // A handshake message that never ends, in records of one byte.
    let mut session = Session::server(&config).unwrap();
    assert!(session.feed(&[22, 3, 1, 0, 4, 1, 0, 0xff, 0]));
    let mut fed = 0;
    let error = loop {
        assert!(session.feed(&[22, 3, 1, 0, 1, 0].repeat(100)));
        fed += 600;
        assert!(fed <= session::MAX_HELLO + 600);
        if let Err(error) = session.handshake() {
            break error;
        }
    };
    assert_eq!(error.kind, Kind::Protocol);
    assert!(error.detail.contains("24 KiB"), "{}", error.detail);
    assert_eq!(session.handshake_memory(), 0);
    // Unread text.
    let (mut a, mut b) = connected(&client(|_| ()), &config);
    let mut records = vec![0; 40_000];
    let mut kept = 0;
    for _ in 0..40 {
        let (_, n) = a.write(&[0; 16_384], &mut records).unwrap();
        kept += usize::from(b.feed(&records[..n])) * n;
    }
    assert!(kept <= session::MAX_INCOMING + 17_000);
}

#[test]
fn a_handshake_in_progress_can_be_ended_for_others() {
    let config = server(&[SERVER], |_| ());
    let mut session = Session::server(&config).unwrap();
    let least = session.handshake_memory();
    assert!(session.feed(&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0]));
    assert_eq!(session.handshake_memory(), least + 9);
    session.refuse();
    assert_eq!(session.handshake_memory(), 0);
    assert_eq!(session.handshake().unwrap_err().kind, Kind::Busy);
    let (mut a, b) = connected(&client(|_| ()), &config);
    assert_eq!((a.handshake_memory(), b.handshake_memory()), (0, 0));
    a.close_notify().unwrap();
    a.end("a snapshot");
    assert_eq!(a.pending(), 0);
    let mut records = [0; 100];
    for ended in [a.write(b"text", &mut records).map(|_| ()), a.close_notify()] {
        assert_eq!(ended.unwrap_err().detail, "a snapshot");
    }
    assert_eq!(a.read(&mut records).unwrap_err().kind, Kind::Busy);
}

mod hostile {
    use super::{SERVER, Session, client, connected, pair, server, shake};
    use proptest::prelude::{ProptestConfig, any, proptest};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Bytes that are no records, at the beginning and after the handshake.
        #[test]
        fn noise_is_an_error_or_waits(noise in any::<Vec<u8>>(), begin in 20..24u8) {
            let config = server(&[SERVER], |_| ());
            let record = [&[begin, 3, 3, 0, noise.len() as u8], &noise[..]].concat();
            for bytes in [&noise, &record] {
                let mut session = Session::server(&config).unwrap();
                session.feed(bytes);
                let _ = session.handshake();
                let (mut a, _) = connected(&client(|_| ()), &config);
                a.feed(bytes);
                let _ = a.read(&mut [0; 100]);
                let _ = a.write(b"text", &mut [0; 100]);
                let _ = a.close_notify();
            }
        }

        /// Handshakes with one changed byte never panic, and never succeed.
        #[test]
        fn a_changed_handshake_fails(at in 0..1200usize, bits in 1..=255u8) {
            let (mut a, mut b) = pair(&client(|_| ()), &server(&[SERVER], |_| ()), "server.test");
            let _ = a.handshake();
            let mut hello = [0; 4096];
            let n = a.take(&mut hello);
            if let Some(byte) = hello[..n].get_mut(at) {
                *byte ^= bits;
                b.feed(&hello[..n]);
                let _ = b.handshake();
                let [ours, _] = shake(&mut a, &mut b, 100);
                let done = matches!(a.handshake(), Ok(true));
                // The version of the first record is ignored (RFC 8446, 5.1).
                assert!(ours.is_err() || !done || at == 1 || at == 2);
            }
        }
    }
}
