//! `soil run` with a program in QEMU's place: a shell script that plays a machine by writing to the
//! sockets it inherits.

mod closed;
mod ends;
mod machine;
mod streams;
mod terminal;

use machine::{Machine, Ran, signal, write_script};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn the_programs_status_is_ours() {
    for status in [0, 3, 128, 200, 255] {
        let machine = Machine::new(&format!(
            "echo hello\necho SOIL-EXIT {status} >&8\nexit 3\n"
        ));
        let ran = machine.run(&[]);
        assert_eq!(
            (ran.status, ran.output.as_str()),
            (Some(status), "hello\n"),
            "{ran:?}"
        );
        assert_eq!(ran.errors, "");
    }
}

#[test]
fn without_the_channel_the_debug_port_has_seven_bits() {
    let ran = Machine::new("echo x\nexit $((5 << 1 | 1))\n").run(&[]);
    assert_eq!(ran.status, Some(5), "{ran:?}");
}

#[test]
fn a_machine_that_ends_without_a_status_has_one_of_its_own() {
    let ran = Machine::new("echo x\nexit 0\n").run(&[]);
    assert_eq!(ran.status, Some(126), "{ran:?}");
    assert!(ran.errors.contains("without an exit status"), "{ran:?}");
    let ran = Machine::new("echo x\nkill -ABRT $$\n").run(&[]);
    assert_eq!(ran.status, Some(126), "{ran:?}");
    assert!(
        ran.errors.contains("QEMU was killed by signal 6"),
        "{ran:?}"
    );
}

#[test]
fn a_passt_that_does_not_start_says_why_and_no_machine_runs() {
    let machine = Machine::new("echo ran\necho SOIL-EXIT 0 >&8\n");
    let folder = machine.path("programs");
    fs::create_dir(&folder).expect("made");
    write_script(
        &folder.join("passt"),
        "#!/bin/sh\necho 'Failed to bind any port' >&2\nexit 1\n",
    );
    let path = std::env::var("PATH").expect("a PATH");
    let options = ["--net", "passt", "--forward", "8080:80"];
    let mut command = machine.command(&options);
    command.env("PATH", format!("{}:{path}", folder.display()));
    let ran = Ran::of(&command.output().expect("soil starts"));
    assert_eq!(
        (ran.status, ran.output.as_str()),
        (Some(125), ""),
        "{ran:?}"
    );
    assert_eq!(
        ran.errors,
        "soil: passt: did not start: Failed to bind any port\n"
    );
}

#[test]
fn a_qemu_that_does_not_start_says_why_in_one_line() {
    let ran =
        Machine::new("echo 'qemu-system-x86_64: -foo: invalid option' >&2\nexit 1\n").run(&[]);
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert_eq!(
        ran.errors,
        "soil: QEMU did not start: -foo: invalid option\n"
    );
    // What holds of a machine that has started isn't said before.
    let ran = Machine::new("echo 'qemu: -gdb: Address already in use' >&2\nexit 1\n");
    let ran = ran.run(&["--gdb"]);
    assert_eq!(
        ran.errors,
        "soil: QEMU did not start: -gdb: Address already in use\n"
    );
    let machine = Machine::new("");
    let ran = machine.run(&["--qemu", "/nowhere/qemu"]);
    assert_eq!(ran.status, Some(2), "given twice: {ran:?}");
    fs::remove_file(machine.path("qemu")).expect("removed");
    let ran = machine.run(&[]);
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert!(ran.errors.contains("soil doctor"), "{ran:?}");
}

/// QEMU and passt name the rule or the port, and no reason.
#[test]
fn a_forwarded_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let rule = format!("tcp:127.0.0.1:{port}-:80");
    let machine = Machine::new(&format!(
        "echo \"qemu: -netdev user: Could not set up host forwarding rule '{rule}'\" >&2\nexit 1\n"
    ));
    let forward = format!("{port}:80");
    let expected = format!(
        "soil: --forward {forward}: port {port} of 127.0.0.1 is in use: end the program that has \
         it (ss -tlnp 'sport = :{port}' shows it), or forward another port\n"
    );
    let ran = machine.run(&["--forward", &forward]);
    assert_eq!((ran.status, &ran.errors), (Some(125), &expected));
    let folder = machine.path("programs");
    fs::create_dir(&folder).expect("made");
    let failing = "#!/bin/sh\necho 'Failed to bind any port' >&2\nexit 1\n";
    write_script(&folder.join("passt"), failing);
    let path = std::env::var("PATH").expect("a PATH");
    let mut command = machine.command(&["--net", "passt", "--forward", &forward]);
    command.env("PATH", format!("{}:{path}", folder.display()));
    let ran = Ran::of(&command.output().expect("soil starts"));
    assert_eq!((ran.status, &ran.errors), (Some(125), &expected));
}

#[test]
fn a_crash_is_reported_with_its_reason() {
    let report = "SOIL-CRASH-BEGIN\\nreason page fault: read at 0x0: null page\\n\
        frame 0x10\\nSOIL-CRASH-END\\n";
    let ran = Machine::new(&format!(
        "echo x\nprintf '{report}SOIL-EXIT 139\\n' >&8\nexit 3\n"
    ))
    .run(&[]);
    assert_eq!(ran.status, Some(139), "{ran:?}");
    assert!(
        ran.errors
            .contains("crashed: page fault: read at 0x0: null page"),
        "{ran:?}"
    );
    let ran = Machine::new(&format!("printf '{report}' >&8\nexit 0\n")).run(&[]);
    assert_eq!(ran.status, Some(134), "{ran:?}");
}

#[test]
fn a_time_out_ends_the_machine_and_nothing_else_is_left() {
    let machine = Machine::new("echo $$\nexec sleep 3600\n");
    // On a busy machine the script may come too late to say its number: longer then.
    for limit in ["0.3", "3", "30"] {
        let ran = machine.run(&["--timeout", limit]);
        assert_eq!(ran.status, Some(124), "{ran:?}");
        assert!(ran.errors.contains(&format!("{limit} s")), "{ran:?}");
        if let Ok(number) = ran.output.trim().parse::<u32>() {
            return assert!(!PathBuf::from(format!("/proc/{number}")).exists());
        }
    }
    panic!("the script never said its number");
}

#[test]
fn sigterm_presses_the_power_button_and_a_second_one_ends_it() {
    // Answers the power button as a program does: with a status of its own. It works only a moment
    // after the program has begun.
    let reads = "echo up; sleep 0.3; echo SOIL-BUTTON >&8\n\
        while read -r line <&9; do case $line in *system_powerdown*)";
    let status = signalled(
        &format!("{reads} echo SOIL-EXIT 143 >&8; exit 3;; esac; done\n"),
        1,
    );
    assert_eq!(status, Some(143));
    // The second signal comes once the first has pressed the button.
    let status = signalled(
        &format!("{reads} echo pressed;; esac; done\nexec sleep 3600\n"),
        2,
    );
    assert_eq!(status, Some(128 + 15));
}

/// The status after `signals`, each sent once the script has printed another line.
fn signalled(script: &str, times: usize) -> Option<i32> {
    let machine = Machine::new(script);
    let mut child = machine.command(&[]).spawn().expect("soil starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    for _ in 0..times {
        lines.next().expect("a line").expect("readable");
        signal(&child, "TERM");
    }
    child.wait().expect("waited for").code()
}

/// A machine without a sign of life has a line that says at which step it is; a program that prints
/// nothing has none. That one starts first: its line would have come before those of the others.
#[test]
fn a_silent_boot_says_at_which_step_it_is() {
    let waits = "while read -r line <&9; do :; done\n";
    let quiet = Machine::new(&format!("echo SOIL-START >&8\n{waits}"));
    let unmade = Machine::new(waits);
    // The answer to the first command: all devices exist.
    let made = Machine::new(&format!(
        "read -r line <&9\necho '{{\"return\":{{}}}}' >&9\n{waits}"
    ));
    let all = [&quiet, &unmade, &made];
    let mut all = all.map(|machine| machine.command(&[]).spawn().expect("soil starts"));
    let mut errors: Vec<_> = all
        .iter_mut()
        .map(|child| BufReader::new(child.stderr.take().expect("piped")))
        .collect();
    for (place, step) in [
        (
            1,
            "QEMU has started, and hasn't made its machine after 10 s: ",
        ),
        (
            2,
            "QEMU runs its machine, which has printed no first line after 10 s: ",
        ),
    ] {
        let mut line = String::new();
        errors[place].read_line(&mut line).expect("readable");
        assert!(line.contains(step) && line.contains("--gdb"), "{line}");
    }
    for child in &mut all {
        signal(child, "TERM");
        signal(child, "QUIT");
        child.wait().expect("waited for");
    }
    let mut rest = String::new();
    errors[0].read_to_string(&mut rest).expect("readable");
    assert!(!rest.contains("10 s"), "{rest}");
}

#[test]
fn standard_input_reaches_the_console_and_its_end_is_marked() {
    let machine =
        Machine::new("echo SOIL-INPUT >&8\nhead -c 5 | od -An -tx1\necho SOIL-EXIT 0 >&8\n");
    let mut child = machine
        .command(&[])
        .stdin(Stdio::piped())
        .spawn()
        .expect("soil starts");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(b"a\nb")
        .expect("written");
    let ran = Ran::of(&child.wait_with_output().expect("waited for"));
    assert_eq!(
        (ran.status, ran.output.trim()),
        (Some(0), "61 0a 62 10 04"),
        "{ran:?}"
    );
}

/// QEMU waits for disks of the host when it ends, for ever if one doesn't answer.
#[test]
fn a_qemu_that_stays_after_the_program_is_ended() {
    let machine = Machine::new("echo SOIL-EXIT 3 >&8\nexec sleep 600\n");
    let ran = Ran::of(&machine.command(&[]).output().expect("soil starts"));
    assert_eq!(ran.status, Some(3), "{ran:?}");
}

#[test]
fn what_is_typed_wrong_is_named() {
    let machine = Machine::new("");
    let empty = machine.path("empty.img");
    fs::write(&empty, "").expect("written");
    let odd = machine.path("odd.img");
    fs::write(&odd, [0; 700]).expect("written");
    let disk = |path: &PathBuf| format!("data={}", path.display());
    for (arguments, named) in [
        (vec!["--disk".to_owned(), disk(&empty)], "0 bytes"),
        (vec!["--disk".to_owned(), disk(&odd)], "700 bytes"),
        (
            vec!["--disk".to_owned(), "data=/nowhere.img".to_owned()],
            "soil disk make",
        ),
        (
            vec!["--mount".to_owned(), "/d=fat:data".to_owned()],
            "--disk data=FILE",
        ),
        (
            vec!["--mount".to_owned(), "/d=host:/".to_owned()],
            "process form",
        ),
        (
            ["--mount", "/d=memory", "--mount", "/d/=memory:1M"]
                .map(str::to_owned)
                .to_vec(),
            "given twice",
        ),
        (
            vec![
                "--forward".to_owned(),
                "1:1".to_owned(),
                "--net".to_owned(),
                "none".to_owned(),
            ],
            "--net none",
        ),
        (vec!["--".to_owned(), "x".repeat(70_000)], "command line"),
    ] {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = machine.run(&words);
        assert_eq!(ran.status, Some(125), "{ran:?}");
        assert!(
            ran.errors.contains(named) && ran.errors.lines().count() == 1,
            "{ran:?}"
        );
    }
}

#[test]
fn a_process_has_the_same_options_as_environment() {
    let machine = Machine::new("");
    let disk = machine.path("d.img");
    fs::write(&disk, [0; 512]).expect("written");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_soil"))
            .args([
                "run",
                "/usr/bin/env",
                "--net",
                "none",
                "--ip",
                "10.0.0.2/24",
                "--log",
                "info",
            ])
            .args(["--env", "A=b c", "--disk"])
            .arg(format!("data={},ro", disk.display()))
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        Ran::of(&output.expect("soil starts"))
    };
    let ran = run(&[]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let disk = format!("SOIL_DISK_data={},ro", disk.display());
    for line in [
        "SOIL_NET=none",
        "SOIL_IP=10.0.0.2/24",
        "SOIL_LOG=info",
        "A=b c",
        &disk,
    ] {
        assert!(
            ran.output.lines().any(|found| found == line),
            "{line}: {ran:?}"
        );
    }
    assert_eq!(run(&["--", "sh", "-c", "exit 200"]).status, Some(200));
    let ran = run(&["--", "sh", "-c", "kill -SEGV $$"]);
    assert_eq!(ran.status, Some(128 + 11), "{ran:?}");
    let ran = run(&["--timeout", "0.2", "--", "sleep", "3600"]);
    assert_eq!(ran.status, Some(124), "{ran:?}");
}

#[test]
fn the_command_shown_for_a_process_starts_passt_first() {
    let machine = Machine::new("");
    let shown = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_soil"))
            .args(["run", "/usr/bin/env", "--dry-run"])
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        Ran::of(&output.expect("soil starts")).output
    };
    let text = shown(&["--forward", "8080:80"]);
    assert!(
        text.starts_with("passt ") && text.contains("--tcp-ports 127.0.0.1/8080:80"),
        "{text}"
    );
    // Not in a folder where others may be first.
    let socket = "--socket ./passt.socket &&\nenv SOIL_NET=passt=./passt.socket ";
    assert!(text.contains(socket), "{text}");
    assert!(!shown(&["--net", "user"]).contains("passt"));
    let image = machine.run(&["--dry-run", "--net", "passt", "--forward", "53:53/udp"]);
    assert!(
        image.output.starts_with("passt ") && image.output.contains("--udp-ports 127.0.0.1/53:53"),
        "{image:?}"
    );
    assert!(
        image.output.contains("addr.path=./passt.socket"),
        "{image:?}"
    );
}

/// Every user of a host sees the command lines of its processes.
#[test]
fn a_value_of_the_environment_is_on_no_command_line() {
    let script = "echo \"$*\"\nfor word in \"$@\"; do case $word in \
        name=opt/*,file=*) cat \"${word#*file=}\";; esac; done\necho SOIL-EXIT 0 >&8\n";
    let machine = Machine::new(script);
    let run = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        let output = command.env("API_TOKEN", "s3cret \"x").output();
        Ran::of(&output.expect("soil starts"))
    };
    let ran = run(&["--env", "API_TOKEN", "--env", "A=1"]);
    assert_eq!((ran.status, &*ran.errors), (Some(0), ""), "{ran:?}");
    let (line, file) = ran.output.split_once('\n').expect("a line");
    assert!(!line.contains("s3cret"), "{line}");
    assert!(line.contains(" A=1 ") && line.contains("SOIL_FW_CFG=opt/org.soil/settings"));
    assert_eq!(file, "\"API_TOKEN=s3cret \\\"x\"");
    assert!(!run(&["--env", "A=1"]).output.contains("fw_cfg"));

    for launcher in ["command", "libvirt"] {
        let machine = ["--env", "API_TOKEN", "--machine", "q35"];
        let shown = run(&[&machine[..], &[&format!("--dry-run={launcher}")]].concat());
        assert!(!shown.output.contains("s3cret"), "{shown:?}");
        assert!(shown.output.contains("soil-settings.txt"), "{shown:?}");
        assert!(
            shown.errors.contains("write API_TOKEN as NAME="),
            "{shown:?}"
        );
    }

    // soil run's own command line shows this one.
    let ran = run(&["--env", "API_TOKEN=s3cret", "--env", "TOKEN_FILE=a"]);
    assert_eq!(ran.errors.lines().count(), 1, "{ran:?}");
    assert!(
        ran.errors.contains("give --env API_TOKEN, which takes"),
        "{ran:?}"
    );
}

#[test]
fn a_missing_tap_names_all_that_it_needs() {
    let machine = Machine::new("");
    let ran = machine.run(&["--net", "tap=soil-none"]);
    for command in ["ip tuntap add", "ip addr add", "ip link set"] {
        assert!(ran.errors.contains(command), "{ran:?}");
    }
}

#[test]
fn what_soil_cc_makes_in_an_images_place_names_the_reason_and_the_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("_build/soil/bin/main.exe");
    fs::create_dir_all(image.parent().expect("a folder")).expect("made");
    let status = Command::new(env!("CARGO_BIN_EXE_soil-cc"))
        .arg("-o")
        .arg(&image)
        .args(["main.o", "-lcamlrun"])
        .status();
    assert!(status.expect("soil-cc runs").success());
    let output = Command::new(env!("CARGO_BIN_EXE_soil"))
        .arg("run")
        .arg(&image)
        .output();
    let ran = Ran::of(&output.expect("soil starts"));
    assert_eq!(ran.status, Some(125), "{ran:?}");
    for part in [
        "bytecode",
        "native",
        "dune build",
        "_build/default/bin/main.exe",
    ] {
        assert!(ran.errors.contains(part), "{part}: {ran:?}");
    }
    assert_eq!(ran.errors.lines().count(), 1, "{ran:?}");
}

#[test]
fn firmware_boots_a_disk_in_a_programs_place() {
    let machine = Machine::new("echo \"$*\"\necho SOIL-EXIT 5 >&8\n");
    let disk = machine.path("main.exe");
    let refused = |words: &[&str], status: i32, text: &str| {
        let ran = machine.run(words);
        let is_named = ran.errors.contains(text);
        assert!(ran.status == Some(status) && is_named, "{words:?}: {ran:?}");
    };
    fs::write(&disk, vec![0; 1 << 20]).expect("written");
    let ran = machine.run(&["--firmware", "bios", "--machine", "q35"]);
    assert_eq!((ran.status, &*ran.errors), (Some(5), ""), "{ran:?}");
    for part in [
        "-m 256M ",
        "driver=raw,node-name=disk0,",
        "-device virtio-blk-pci,drive=disk0,bootindex=0,",
        "virtio-rng-pci",
    ] {
        assert!(ran.output.contains(part), "{part}: {ran:?}");
    }
    assert!(!ran.output.contains("-no-reboot"), "{ran:?}");
    for (words, text) in [
        (
            &["--machine", "microvm"][..],
            "no firmware that boots disks",
        ),
        (
            &["--machine", "q35", "--secure-boot", "a"],
            "a BIOS has none",
        ),
        (&["--machine", "virt"], "boots by UEFI only"),
        (
            &["--machine", "q35", "--dry-run=libvirt"],
            "virt-install --import",
        ),
        (
            &["--machine", "q35", "--disk", "data=/nowhere"],
            "soil disk make",
        ),
    ] {
        refused(&[&["--firmware", "bios"], words].concat(), 125, text);
    }
    refused(
        &["--firmware", "bios", "--env", "A=1"],
        2,
        "cannot be used with",
    );
    refused(&["--controller", "nvme"], 2, "--firmware");
    fs::write(&disk, [b"QFI\xfb", &[0; 508][..]].concat()).expect("written");
    let ran = machine.run(&["--firmware", "bios", "--machine", "q35"]);
    assert!(
        ran.output.contains("driver=qcow2,node-name=disk0,"),
        "{ran:?}"
    );
    fs::write(&disk, [b"\x1f\x8b", &[0; 510][..]].concat()).expect("written");
    refused(&["--firmware", "bios"], 125, "tar -xzf");
}

#[test]
fn only_a_machine_starts_again() {
    let machine = Machine::new("");
    let ran = machine.run(&[
        "--on-failure",
        "reboot",
        "--vmm",
        "firecracker",
        "--dry-run",
    ]);
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert!(
        ran.errors
            .contains("Firecracker ends with its machine's reset"),
        "{ran:?}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_soil"))
        .args(["run", "/usr/bin/env", "--on-failure", "reboot"])
        .stdin(Stdio::null())
        .output();
    let ran = Ran::of(&output.expect("soil starts"));
    assert_eq!(ran.status, Some(125), "{ran:?}");
    assert!(ran.errors.contains("Restart=on-failure"), "{ran:?}");
}
