//! Replays of the answers in cloud-init's unit tests (`tests/unittests/sources`).

use super::{Client, Next};
use crate::http::Response;
use crate::{Instance, Source};
use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::Just;
use proptest::strategy::Strategy;

/// A response with this status and body; of Google's service if the body says so.
fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        of_google: body.starts_with("G:"),
        body: body.strip_prefix("G:").unwrap_or(body).into(),
    }
}

/// The method, path and further header of a request.
fn request(client: &Client) -> (String, String) {
    let text = String::from_utf8(client.request()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "");
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let headers: Vec<&str> = lines
        .filter(|line| !line.starts_with("Host: ") && *line != "Connection: close")
        .collect();
    (line.into(), headers.join("|"))
}

/// Answers each request as `answers` says, in order; the requests have to be these.
fn replay(service: &str, answers: &[(&str, u16, &str)]) -> Result<Instance, String> {
    let mut client = Client::new(service).unwrap();
    for (at, (path, status, body)) in answers.iter().enumerate() {
        let (line, _) = request(&client);
        assert_eq!(line.split(' ').nth(1), Some(*path));
        match client.answer(response(*status, body)) {
            Ok(Next::Done(instance)) => {
                assert_eq!(at + 1, answers.len(), "requests are missing");
                return Ok(*instance);
            }
            Ok(Next::Request | Next::Retry) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("no more answers".into())
}

const CONFIG: &str = "#cloud-config\nsoil: {arguments: [a, b]}\n";

#[test]
fn ec2_with_a_token() {
    let mut client = Client::new("ec2").unwrap();
    let ttl = "X-aws-ec2-metadata-token-ttl-seconds: 21600|Content-Length: 0";
    assert_eq!(
        request(&client),
        ("PUT /latest/api/token".into(), ttl.into())
    );
    assert_eq!(
        client.answer(response(200, "API-TOKEN==\n")),
        Ok(Next::Request)
    );
    let token = "X-aws-ec2-metadata-token: API-TOKEN==";
    for (path, status, body) in [
        ("/latest/meta-data/instance-id", 200, "i-0a33f80f09c96477f"),
        (
            "/latest/meta-data/local-hostname",
            200,
            "ip-172-3-3-15.us-east-2.compute.internal",
        ),
    ] {
        assert_eq!(request(&client), (format!("GET {path}"), token.into()));
        assert_eq!(client.answer(response(status, body)), Ok(Next::Request));
    }
    assert_eq!(
        request(&client),
        ("GET /latest/user-data".into(), token.into())
    );
    let Ok(Next::Done(instance)) = client.answer(response(200, CONFIG)) else {
        panic!("not done");
    };
    assert_eq!(instance.source, Source::Ec2);
    assert_eq!(instance.id, "i-0a33f80f09c96477f");
    assert_eq!(
        instance.host_name,
        "ip-172-3-3-15.us-east-2.compute.internal"
    );
    assert_eq!(instance.program.arguments, ["a", "b"]);
    assert_eq!(instance.user_data, CONFIG.as_bytes());
}

/// OpenStack imitates EC2 without tokens; the answers of its tests.
#[test]
fn ec2s_style_without_a_token_and_without_user_data() {
    for status in [404, 405, 400, 501] {
        let instance = replay(
            "ec2",
            &[
                ("/latest/api/token", status, ""),
                ("/latest/meta-data/instance-id", 200, "i-00000001"),
                (
                    "/latest/meta-data/local-hostname",
                    200,
                    "sm-foo-test.novalocal",
                ),
                ("/latest/user-data", 404, "<html>Not Found</html>"),
            ],
        )
        .unwrap();
        assert_eq!(
            (&*instance.id, &*instance.host_name),
            ("i-00000001", "sm-foo-test.novalocal")
        );
        assert!(instance.user_data.is_empty() && instance.ignored.is_empty());
    }
}

#[test]
fn ec2s_errors() {
    let token = "/latest/api/token";
    let id = "/latest/meta-data/instance-id";
    for (answers, expected) in [
        (
            &[(token, 403, "")][..],
            "ec2: status 403 for /latest/api/token",
        ),
        (&[(token, 200, "")], "ec2: not a token"),
        (&[(token, 200, "a\r\nEvil: b")], "ec2: not a token"),
        (&[(token, 200, &*"a".repeat(1025))], "ec2: not a token"),
        (
            &[(token, 404, ""), (id, 404, "")],
            "ec2: status 404 for /latest/meta-data/instance-id",
        ),
        (
            &[(token, 404, ""), (id, 302, "")],
            "ec2: status 302 for /latest/meta-data/instance-id",
        ),
    ] {
        assert_eq!(replay("ec2", answers).unwrap_err(), expected);
    }
}

#[test]
fn a_busy_service_is_asked_again() {
    let mut client = Client::new("hetzner").unwrap();
    for status in [429, 500, 503] {
        assert_eq!(client.answer(response(status, "")), Ok(Next::Retry));
        assert_eq!(request(&client).0, "GET /hetzner/v1/metadata/instance-id");
    }
}

#[test]
fn googles() {
    let base = "/computeMetadata/v1/instance/";
    let path = |rest: &str| format!("{base}{rest}");
    let [id, host, data, encoding] = [
        "id",
        "hostname",
        "attributes/user-data",
        "attributes/user-data-encoding",
    ]
    .map(path);
    let client = Client::new("gce").unwrap();
    assert_eq!(request(&client).1, "Metadata-Flavor: Google");
    assert!(
        String::from_utf8(client.request())
            .unwrap()
            .contains("Host: metadata.google.internal\r\n")
    );
    let answers = [
        (&*id, 200, "G:12345"),
        (&*host, 200, "G:server.project-baz.local"),
        (&*data, 200, "G:IyEvYmluL2VjaG8gYmF6Cg=="),
        (&*encoding, 200, "G:base64"),
    ];
    let instance = replay("gce", &answers).unwrap();
    assert_eq!((&*instance.id, &*instance.host_name), ("12345", "server"));
    assert_eq!(instance.user_data, b"#!/bin/echo baz\n");
    assert_eq!(instance.ignored, ["a script (#!) in user data"]);
    let text = "G:#!/bin/sh\necho hi mom\ntouch /run/up-now\n";
    let instance = replay(
        "gce",
        &[
            answers[0],
            answers[1],
            (&*data, 200, text),
            (&*encoding, 404, "G:"),
        ],
    );
    assert_eq!(instance.unwrap().user_data, &text.as_bytes()[2..]);
    let instance = replay(
        "gce",
        &[
            answers[0],
            answers[1],
            answers[2],
            (&*encoding, 200, "G:rot13"),
        ],
    );
    assert_eq!(
        instance.unwrap().ignored,
        ["user data in the encoding \"rot13\""]
    );
    // A server that isn't Google's.
    let foreign = replay("gce", &[(&*id, 200, "123")]).unwrap_err();
    assert_eq!(
        foreign,
        "gce: status 200 for /computeMetadata/v1/instance/id"
    );
}

#[test]
fn openstacks_hetzners_and_digitaloceans() {
    let metadata = r#"{"availability_zone": "nova", "files": [
        {"content_path": "/content/0000", "path": "/etc/foo.cfg"}],
        "hostname": "sm-foo-test.novalocal", "meta": {"dsmode": "local", "my-meta": "my-value"},
        "name": "sm-foo-test", "public_keys": {"mykey": "ssh-rsa AAAA ubuntu@server-460\n"},
        "uuid": "b0fa911b-69d4-4476-bbe2-1c92bff6535c"}"#;
    let instance = replay(
        "openstack",
        &[
            ("/openstack/latest/meta_data.json", 200, metadata),
            (
                "/openstack/latest/user_data",
                200,
                "#!/bin/sh\necho This is user data\n",
            ),
        ],
    )
    .unwrap();
    assert_eq!(instance.id, "b0fa911b-69d4-4476-bbe2-1c92bff6535c");
    assert_eq!(instance.host_name, "sm-foo-test.novalocal");
    assert_eq!(
        instance.ignored,
        ["files of meta_data.json", "a script (#!) in user data"]
    );

    let instance = replay(
        "hetzner",
        &[
            ("/hetzner/v1/metadata/instance-id", 200, "123456"),
            ("/hetzner/v1/metadata/hostname", 200, "cloudinit-test"),
            ("/hetzner/v1/userdata", 204, ""),
        ],
    )
    .unwrap();
    assert_eq!(
        (&*instance.id, &*instance.host_name),
        ("123456", "cloudinit-test")
    );
    assert!(instance.user_data.is_empty());

    let metadata = r##"{"droplet_id": 22532410, "hostname": "utl-96268",
        "vendor_data": "vendordata goes here", "user_data": "#cloud-config\nsoil: {arguments: [c]}",
        "public_keys": "", "region": "nyc3", "interfaces": {"public": []}, "tags": null}"##;
    let instance = replay("digitalocean", &[("/metadata/v1.json", 200, metadata)]).unwrap();
    assert_eq!(
        (&*instance.id, &*instance.host_name),
        ("22532410", "utl-96268")
    );
    assert_eq!(instance.program.arguments, ["c"]);
    let broken = replay("digitalocean", &[("/metadata/v1.json", 200, "{")]).unwrap_err();
    assert!(broken.starts_with("digitalocean: not JSON"), "{broken}");
}

#[test]
fn auto_tries_all_and_ends_with_ec2() {
    let probes = [
        ("/computeMetadata/v1/instance/id", 404, ""),
        ("/hetzner/v1/metadata/instance-id", 404, ""),
        ("/metadata/v1.json", 404, ""),
        ("/openstack/latest/meta_data.json", 404, ""),
        ("/latest/api/token", 200, "t"),
        ("/latest/meta-data/instance-id", 200, "i-1"),
        ("/latest/meta-data/local-hostname", 404, ""),
        ("/latest/user-data", 404, ""),
    ];
    let instance = replay("auto", &probes).unwrap();
    assert_eq!((instance.source, &*instance.id), (Source::Ec2, "i-1"));
    let mut none = probes[..4].to_vec();
    none.push(("/latest/api/token", 403, ""));
    assert_eq!(
        replay("auto", &none).unwrap_err(),
        "ec2: status 403 for /latest/api/token"
    );
    assert!(Client::new("azure").is_none() && Client::new("nocloud").is_none());
}

proptest! {
    #[test]
    fn ends_whatever_is_answered(
        service in prop_oneof![
            Just("auto"), Just("ec2"), Just("gce"), Just("openstack"), Just("hetzner"),
            Just("digitalocean")
        ],
        answers in proptest::collection::vec(
            (prop_oneof![Just(200u16), Just(204), Just(404), 200u16..600],
             any::<bool>(), "\\PC{0,40}".prop_map(String::into_bytes)), 40),
    ) {
        let mut client = Client::new(service).unwrap();
        let mut asked = 0;
        for (status, of_google, body) in answers {
            match client.answer(Response { status, of_google, body }) {
                Ok(Next::Request) => asked += 1,
                Ok(Next::Retry) => {}
                Ok(Next::Done(_)) | Err(_) => break,
            }
        }
        assert!(asked < 12);
    }
}
