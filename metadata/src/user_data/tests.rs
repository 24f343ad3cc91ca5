use super::{File, Program, read};
use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

fn noted(text: &str) -> (Program, Vec<String>) {
    let mut ignored = Vec::new();
    let program = read(text.as_bytes(), &mut |note| ignored.push(note));
    (program, ignored)
}

/// The only note of user data that has nothing for the program.
fn note(text: &str) -> String {
    let (program, ignored) = noted(text);
    assert_eq!(program, Program::default(), "{text}");
    assert_eq!(ignored.len(), 1, "{text}: {ignored:?}");
    ignored[0].clone()
}

const SECTION: &str = "\
soil:
  arguments: [--port, 8080, \"two words\"]
  environment:
    LOG: debug
    EMPTY:
  files:
    - path: site/index.html
      content: |
        <h1>hello</h1>
    - path: logo
      encoding: b64
      content: AAEC/w==
";

fn program() -> Program {
    let file = |path: &str, contents: &[u8]| File {
        path: path.into(),
        contents: contents.to_vec(),
    };
    Program {
        arguments: ["--port", "8080", "two words"].map(String::from).to_vec(),
        environment: vec![("EMPTY".into(), "".into()), ("LOG".into(), "debug".into())],
        files: vec![
            file("site/index.html", b"<h1>hello</h1>\n"),
            file("logo", &[0, 1, 2, 255]),
        ],
    }
}

#[test]
fn a_cloud_config_with_the_section() {
    assert_eq!(
        noted(&format!("#cloud-config\n{SECTION}")),
        (program(), vec![])
    );
    // Other keys are ignored and named, whatever they use of YAML.
    let others = "#cloud-config\nusers: &u\n- default\n- *u\nruncmd:\n- [ sh, -c, 'soil: x' ]\n";
    let more = "write_files:\n- content: |\n    soil: no\n  path: /etc/x\n";
    let (found, ignored) = noted(&format!("{others}{SECTION}{more}"));
    assert_eq!(found, program());
    assert_eq!(
        ignored,
        ["cloud-config keys that are not Soil's: users, runcmd, write_files"]
    );
    // cloud-init's page on NoCloud.
    let example =
        "#cloud-config\npassword: passw0rd\nchpasswd: { expire: False }\nssh_pwauth: True\n";
    assert_eq!(
        note(example),
        "cloud-config keys that are not Soil's: password, chpasswd, ssh_pwauth"
    );
    assert_eq!(noted("#cloud-config\n").0, Program::default());
    assert_eq!(
        noted("#cloud-config\nsoil:\n"),
        (Program::default(), vec![])
    );
    assert_eq!(
        noted("#cloud-config\nsoil: {arguments: [a]}").0.arguments,
        ["a"]
    );
}

/// Templates of Terraform write JSON or quote each key (`jsonencode`, `yamlencode`).
#[test]
fn a_cloud_config_of_a_program() {
    let json = r#"#cloud-config
{"runcmd":["ls"],"soil":{"arguments":["a","b c"],"environment":{"N":1,"T":true}}}
"#;
    let (found, ignored) = noted(json);
    assert_eq!(found.arguments, ["a", "b c"]);
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(found.environment, [pair("N", "1"), pair("T", "true")]);
    assert_eq!(ignored, ["cloud-config keys that are not Soil's: runcmd"]);
    let open = note("#cloud-config\n# JSON\n{\"soil\": [\n");
    assert_eq!(open, "user data: line 3: a ] is missing");
    for quote in ['"', '\''] {
        let key = |name: &str| format!("{quote}{name}{quote}:\n");
        let text = format!(
            "#cloud-config\n{}  {}  - x\n",
            key("soil"),
            key("arguments")
        );
        assert_eq!(noted(&text).0.arguments, ["x"], "{text}");
    }
}

#[test]
fn an_error_has_the_line_of_the_document() {
    assert_eq!(
        note("#cloud-config\nusers: []\n\nsoil:\n  arguments:\n  - &a x\n").as_str(),
        "user data: soil: line 6: anchors, aliases and tags are not supported"
    );
}

/// As cloud-init's command `make-mime` writes it, and as Python's `email` does.
#[test]
fn a_multipart_message() {
    let script = "Content-Type: text/x-shellscript; charset=\"us-ascii\"\n\n#!/bin/sh\necho hi\n";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=\"===============2389165605550749110==\"\n\
         MIME-Version: 1.0\nNumber-Attachments: 2\n\n\
         --===============2389165605550749110==\nMIME-Version: 1.0\n{script}\n\
         --===============2389165605550749110==\nMIME-Version: 1.0\n\
         Content-Type: text/cloud-config;\n charset=\"utf-8\"\n\
         Content-Transfer-Encoding: base64\n\
         Content-Disposition: attachment; filename=\"a\"\n\n\
         I2Nsb3VkLWNvbmZpZwpzb2lsOgogIGFyZ3VtZW50czogW2FdCiAgZW52aXJvbm1lbnQ6IHtY\n\
         OiAxLCBZOiAyfQo=\n\n\
         --===============2389165605550749110==\nContent-Type: text/cloud-config\n\n\
         #cloud-config\nsoil: {{arguments: [b], environment: {{X: 3}}}}\n\
         --===============2389165605550749110==--\n"
    );
    for message in [message.clone(), message.replace('\n', "\r\n")] {
        let (found, ignored) = noted(&message);
        assert_eq!(found.arguments, ["b"]);
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(found.environment, [pair("Y", "2"), pair("X", "3")]);
        assert_eq!(ignored, ["a script (#!) in user data"]);
    }
    // What precedes a cut is read.
    let (_, ignored) = noted(&message[..message.len() - 300]);
    let cut = "the end of a multipart message in user data: its last boundary is missing";
    assert_eq!(ignored[..2], ["a script (#!) in user data", cut]);
}

/// Python's `email` writes mailboxes with `as_string(unixfrom=True)`; cloud-init takes them.
#[test]
fn messages_of_other_writers() {
    let part = "Content-Type: text/cloud-config\n\n#cloud-config\nsoil: {arguments: [a, b]}\n";
    let body = format!("--=b;c=\n{part}");
    let head = "Content-Type: multipart/mixed; charset=x; boundary=\"=b;c=\"; x=y\n";
    let from = "From nobody Tue Mar  4 10:11:12 2025\n";
    let (closed, open) = (format!("{body}--=b;c=--\n"), body);
    let missing = "the end of a multipart message in user data: its last boundary is missing";
    for from in ["", from] {
        for (body, notes) in [(&closed, &[][..]), (&open, &[missing][..])] {
            let message = format!("{from}{head}MIME-Version: 1.0\n\n{body}");
            for message in [message.replace('\n', "\r\n"), message] {
                let (found, ignored) = noted(&message);
                assert_eq!(found.arguments, ["a", "b"], "{message}");
                assert_eq!(ignored, notes, "{message}");
            }
        }
    }
    // A single part, and a line like the envelope's without a message.
    let (found, _) = noted(&format!("{from}{part}"));
    assert_eq!(found.arguments, ["a", "b"]);
    assert_eq!(note(from), "user data that is no #cloud-config");
    assert_eq!(
        note("From here on\nno header"),
        "user data that is no #cloud-config"
    );
}

#[test]
fn quoted_printable_is_decoded() {
    let message = "Content-Type: text/cloud-config\nContent-Transfer-Encoding: Quoted-Printable\n\n\
         #cloud-config=20\nsoil: {arguments: =5Ba, =C3=a4, =\n\"b=  \nc=3d\", =zz=5d}  \n";
    for message in [message.to_string(), message.replace('\n', "\r\n")] {
        let (found, ignored) = noted(&message);
        assert_eq!(found.arguments, ["a", "ä", "bc=", "=zz"], "{ignored:?}");
        assert_eq!(ignored, [""; 0]);
    }
    let decoded = |text: &str| super::of_quoted_printable(text.as_bytes());
    // RFC 2045, section 6.7.
    assert_eq!(
        decoded("Now's the time =\nfor all folk to come=\n to the aid of their country."),
        b"Now's the time for all folk to come to the aid of their country."
    );
    for (text, expected) in [
        ("", ""),
        ("=", ""),
        ("a \n", "a\n"),
        ("=3", "=3"),
        ("=+1", "=+1"),
    ] {
        assert_eq!(decoded(text), expected.as_bytes(), "{text}");
    }
}

#[test]
fn everything_else_is_ignored_and_named() {
    for (text, expected) in [
        (
            "#!/bin/sh\necho This is user data\n",
            "a script (#!) in user data",
        ),
        ("#include\nhttp://a/b\n", "an #include in user data"),
        (
            "#cloud-boothook\n",
            "a #cloud- format other than #cloud-config in user data",
        ),
        (
            "## template: jinja\n#cloud-config\nsoil: {arguments: [a]}\n",
            "a template (## template: jinja) in user data",
        ),
        ("\x1f", "user data that is no #cloud-config"),
        ("userdata goes here", "user data that is no #cloud-config"),
        (
            "soil: {arguments: [a]}",
            "user data that is no #cloud-config",
        ),
        (
            "Content-Type: multipart/mixed\n\nx",
            "a multipart message without a boundary in user data",
        ),
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\n",
            "the end of a multipart message in user data: its last boundary is missing",
        ),
        (
            "Content-Type: text/cloud-config\nContent-Transfer-Encoding: x\n\n#cloud-config\n",
            "a part of user data in the encoding x",
        ),
        (
            "Content-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n*\n",
            "a part of user data that is not valid base64",
        ),
        (
            "Content-Type: text/cloud-config-archive\n\n#cloud-config-archive\n- type: x\n",
            "a #cloud- format other than #cloud-config in user data",
        ),
        (
            "Content-Type: text/cloud-config-jsonp; charset=utf-8\n\n[{\"op\": \"add\"}]\n",
            "a part of user data of type text/cloud-config-jsonp; charset=utf-8",
        ),
        (
            "Content-Type: image/png\n\nx",
            "a part of user data of type image/png",
        ),
    ] {
        assert_eq!(note(text), expected, "{text}");
    }
    let mut ignored = Vec::new();
    read(&[0x1f, 0x8b, 8, 0], &mut |note| ignored.push(note));
    read(&vec![b'a'; 300_000], &mut |note| ignored.push(note));
    assert_eq!(
        ignored,
        ["compressed user data", "user data of more than 256 KiB"]
    );
    assert_eq!(noted(" \n"), (Program::default(), vec![]));
}

/// Top-level keys of cloud-init's schema for cloud-config, version 1.
const KEYS: &str = "allow_public_ssh_keys ansible apk_repos apt apt_pipelining bootcmd \
    byobu_by_default ca_certs chef chpasswd create_hostname_file device_aliases \
    disable_ec2_metadata disable_root disk_setup drivers fan final_message fqdn fs_setup groups \
    growpart grub_dpkg hostname keyboard landscape locale lxd manage_etc_hosts manage_resolv_conf \
    mcollective merge_how merge_type mounts no_ssh_fingerprints ntp output package_update \
    package_upgrade packages password phone_home power_state preserve_hostname puppet random_seed \
    reporting resize_rootfs resolv_conf rh_subscription rpi rsyslog runcmd salt_minion snap \
    spacewalk ssh ssh_authorized_keys ssh_deletekeys ssh_genkeytypes ssh_import_id ssh_keys \
    ssh_publish_hostkeys ssh_pwauth ssh_quiet_keygen swap system_info timezone ubuntu_pro updates \
    user users vendor_data wireguard write_files yum_repo_dir yum_repos zypper \
    apt_reboot_if_required apt_update apt_upgrade authkey_hash autoinstall ca-certs \
    cloud_config_modules cloud_final_modules cloud_init_modules disable_root_opts grub-dpkg \
    launch-index locale_configfile mount_default_fields package_reboot_if_required \
    prefer_fqdn_over_hostname ssh_fp_console_blacklist ssh_key_console_blacklist \
    ubuntu_advantage";

#[test]
fn each_key_of_the_schema_is_named() {
    for key in KEYS.split_ascii_whitespace() {
        for value in ["x", "{a: b}", "\n  - a"] {
            let text = note(&format!("#cloud-config\n{key}: {value}\n"));
            assert_eq!(
                text,
                format!("cloud-config keys that are not Soil's: {key}")
            );
        }
    }
}

#[test]
fn a_wrong_section_is_refused_as_a_whole() {
    let of = |section: &str| note(&format!("#cloud-config\nsoil:\n  {section}\n"));
    for (section, expected) in [
        (
            "argument: [a]",
            "unknown key \"argument\": give arguments, environment or files",
        ),
        ("arguments: a", "arguments is not a list"),
        ("arguments: [[a]]", "an argument is not a scalar"),
        ("arguments: [\"a\\0\"]", "a word contains a NUL"),
        ("environment: [a]", "environment is not a mapping"),
        ("environment: {A: [b]}", "the value of A is not a scalar"),
        (
            "environment: {\"A=B\": c}",
            "\"A=B\" is not a variable that can be set",
        ),
        (
            "environment: {1A: c}",
            "\"1A\" is not a variable that can be set",
        ),
        (
            "environment: {SOIL_METADATA: c}",
            "\"SOIL_METADATA\" is not a variable that can be set",
        ),
        ("files: [{content: a}]", "a file has no path"),
        (
            "files: [{path: a, encoding: gz}]",
            "the encoding \"gz\" of \"a\" is unknown; give b64 or none",
        ),
        (
            "files: [{path: a, encoding: b64, content: '*'}]",
            "the content of \"a\" is not base64",
        ),
        (
            "files: [{path: a}, {path: a}]",
            "the file \"a\" a second time",
        ),
    ] {
        assert_eq!(
            of(section),
            format!("user data: soil: {expected}"),
            "{section}"
        );
    }
    for path in [
        "/a", "..", "a/../b", "../a", "a//b", "a/", "./a", "a/.", "", "a\\b",
    ] {
        let expected =
            format!("user data: soil: \"{path}\" is not a path relative to the folder of files");
        assert_eq!(of(&format!("files: [{{path: '{path}'}}]")), expected);
    }
    assert_eq!(
        of("a: &b c"),
        "user data: soil: line 3: anchors, aliases and tags are not supported"
    );
    assert_eq!(
        note("#cloud-config\nsoil: {}\nsoil: {}\n"),
        "user data: the key \"soil\" a second time"
    );
}

#[test]
fn sizes_are_bounded() {
    let of = |section: String| note(&format!("#cloud-config\nsoil:\n  {section}\n"));
    assert!(of(format!("arguments: [{}]", "a,".repeat(300))).contains("more than 256 entries"));
    let long = "a".repeat(40_000);
    assert!(of(format!("arguments: [{long}, {long}]")).contains("more than 64 KiB"));
    assert!(of(format!("environment: {{A: {long}, B: {long}}}")).contains("more than 64 KiB"));
    // All parts together, too.
    let part =
        |variables: &str| format!("--a\n\n#cloud-config\nsoil: {{environment: {{{variables}}}}}\n");
    let of_parts = |parts: [String; 3]| {
        let (program, ignored) = noted(&format!(
            "Content-Type: multipart/mixed; boundary=a\n\n{}--a--",
            parts.concat()
        ));
        (program.environment.len(), ignored)
    };
    let parts = [format!("A: {long}"), format!("B: {long}"), "C: x".into()];
    let (count, ignored) = of_parts(parts.map(|variables| part(&variables)));
    assert_eq!(count, 2, "A and C");
    assert_eq!(
        ignored,
        ["user data: soil: arguments and environment of more than 64 KiB"]
    );
    let many = |from: usize| {
        let variables: Vec<String> = (from..from + 200).map(|n| format!("V{n}: x")).collect();
        part(&variables.join(", "))
    };
    let (count, ignored) = of_parts([many(0), many(100), many(50)]);
    assert_eq!(count, 250, "the second part isn't taken");
    assert_eq!(
        ignored,
        ["user data: soil: environment has more than 256 entries"]
    );
    let parts = "--a\n\nx\n".repeat(200);
    let (_, ignored) = noted(&format!(
        "Content-Type: multipart/mixed; boundary=a\n\n{parts}--a--"
    ));
    assert_eq!(ignored.last().unwrap(), "user data with too many parts");
    let mut nested = String::from("#cloud-config\nsoil: {arguments: [a]}\n");
    for depth in 0..8 {
        nested = format!(
            "Content-Type: multipart/mixed; boundary=b{depth}\n\n\
             --b{depth}\n{nested}\n--b{depth}--\n"
        );
    }
    assert_eq!(note(&nested), "user data with too many parts");
}

fn word() -> impl Strategy<Value = String> {
    let words = [
        "#cloud-config\n",
        "soil:",
        "\n",
        "\n  ",
        "arguments: ",
        "environment: ",
        "files:\n",
        "- path: ",
        "content: ",
        "[a, b]",
        "{A: b}",
        "../x",
        "Content-Type: ",
        "multipart/mixed; boundary=a\n",
        "\n\n",
        "--a\n",
        "--a--\n",
        "text/cloud-config",
        "Content-Transfer-Encoding: base64\n",
        "I2Ns",
        "#!",
        ": ",
    ];
    prop_oneof![
        9 => (0..words.len()).prop_map(move |at| words[at].to_string()),
        1 => Just(()).prop_flat_map(|()| any::<char>()).prop_map(|c| c.to_string()),
    ]
}

proptest! {
    #[test]
    fn no_path_leaves_the_folder(words in proptest::collection::vec(word(), 0..40)) {
        let (program, _) = noted(&words.concat());
        for file in program.files {
            assert!(file.path.split('/').all(|name| !matches!(name, "" | "." | "..")));
        }
    }
}
