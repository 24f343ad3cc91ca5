//! Checks a program's needs against the options of `soil run`, and adds defaults for missing
//! options.

use super::answer::{Answer, Need, host_port};
use super::{REFUSED, storage};
use crate::cli::Run;
use crate::desktop::has_desktop;
use crate::failure::Failure;
use crate::messages::say;
use crate::options::{Display, DisplaySize, Forward, MAX_PROCESSORS, Memory, Net, Protocol};
use crate::program::Form;
use std::net::{IpAddr, TcpListener, UdpSocket};

/// Returns the options completed with defaults for the program's needs. If any needs aren't met,
/// returns the failure for the last one and prints a line for each other.
pub fn complete(run: &Run, form: Form, answer: &Answer) -> Result<Run, Failure> {
    complete_where(run, form, answer, has_desktop()).map_err(|Unmet { others, last }| {
        others.iter().for_each(|text| say(text));
        last.with_status(REFUSED)
    })
}

/// Needs that the options don't meet.
#[derive(Debug)]
struct Unmet {
    /// A line for each but one, and hints.
    others: Vec<String>,
    last: Failure,
}

/// Like [`complete`], with or without a desktop.
fn complete_where(run: &Run, form: Form, answer: &Answer, has_desktop: bool) -> Result<Run, Unmet> {
    let mut run = run.clone();
    let mut failures: Vec<Failure> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    network(&mut run, form, answer, &mut failures);
    displays(&mut run, form, answer, has_desktop, &mut failures);
    for need in &answer.needs {
        let met = match need {
            Need::Volume(need) => storage::volume(&mut run, form, need),
            Need::Disk(need) => storage::disk(&run, form, need),
            Need::Net { .. } | Need::Display { .. } | Need::Input => Ok(()),
            Need::Port {
                name,
                number,
                protocol,
                ..
            } => protocol.each().iter().try_for_each(|protocol| {
                port(&mut run, form, name, *number, *protocol, &mut notes)
            }),
            Need::Memory { bytes } => memory(&mut run, form, *bytes),
            Need::Cpus { count } => processors(&run, form, *count),
        };
        failures.extend(met.err());
    }
    let hints = not_asked_for(&run, answer);
    let Some(last) = failures.pop() else {
        if run.dry_run.is_none() {
            // Said when the program has started: before an error they would only be in the way.
            run.notes = notes.into_iter().chain(hints).collect();
        }
        return Ok(run);
    };
    let others = failures.iter().map(Failure::to_string).chain(hints);
    Err(Unmet {
        others: others.collect(),
        last,
    })
}

/// Returns a note on each disk without a need if some need has no disk: its name may be misspelt.
fn not_asked_for(run: &Run, answer: &Answer) -> Vec<String> {
    let asked = answer.needs.iter().filter_map(|need| match need {
        Need::Volume(volume) => Some(volume.name.as_str()),
        Need::Disk(disk) => Some(disk.name.as_str()),
        _ => None,
    });
    let given = |name: &&str| run.disks.iter().any(|disk| disk.name == **name);
    let missing: Vec<&str> = asked.clone().filter(|name| !given(name)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let is_mounted = |name: &str| run.mounts.iter().any(|mount| mount.disk() == Some(name));
    run.disks
        .iter()
        .map(|disk| disk.name.as_str())
        .filter(|name| !asked.clone().any(|asked| asked == *name) && !is_mounted(name))
        .map(|name| {
            let missing = missing.join(", ");
            format!("disk {name}: the program doesn't ask for it, but for {missing}")
        })
        .collect()
}

/// Checks for enough networks for the declared ones, and for one if the program has a port.
fn network(run: &mut Run, form: Form, answer: &Answer, failures: &mut Vec<Failure>) {
    let declared = answer.needs.iter().filter_map(|need| match need {
        Need::Net { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> = declared.collect();
    let has_port = |need: &Need| matches!(need, Need::Port { .. });
    let wanted = names
        .len()
        .max(usize::from(answer.needs.iter().any(has_port)));
    if wanted == 0 {
        return;
    }
    match run.nets.as_slice() {
        // A process uses the host's sockets.
        [] if form == Form::Process => {}
        [] => run.nets = vec![Net::User; wanted],
        [Net::None] => failures.push(
            Failure::new("the program needs a network")
                .remedy("leave out --net none, or give --net user or tap=DEVICE"),
        ),
        [Net::Host] => {}
        nets if nets.len() < wanted => {
            let (have, names) = (nets.len(), names.join(", "));
            failures.push(
                Failure::new(format!(
                    "the program needs {wanted} networks ({names}), and has {have}"
                ))
                .remedy("give --net for each, in this order"),
            );
        }
        _ => {}
    }
}

/// Whether a variable defines a process's displays, which disables their check.
fn given_by_variable(run: &Run, form: Form) -> bool {
    form == Form::Process && storage::given(run, form, "SOIL_DISPLAY").is_some()
}

/// Checks for enough displays for the declared ones. By default they are windows; any display
/// brings a keyboard and a pointer.
fn displays(
    run: &mut Run,
    form: Form,
    answer: &Answer,
    has_desktop: bool,
    failures: &mut Vec<Failure>,
) {
    let declared = answer.needs.iter().filter_map(|need| match need {
        Need::Display {
            name,
            at_least,
            optional,
            ..
        } => Some((name, *at_least, *optional)),
        _ => None,
    });
    let declared: Vec<(&String, (u32, u32), bool)> = declared.collect();
    let has_input = answer.needs.contains(&Need::Input);
    let missing = match declared.iter().find(|(.., optional)| !optional) {
        Some((name, ..)) => Some(format!("display {name}")),
        None => has_input.then(|| "keyboard and pointer".to_owned()),
    };
    match (run.shown_by(), missing) {
        (Some(_), _) => {}
        (None, None) => return,
        (None, Some(_)) if given_by_variable(run, form) => return,
        (None, Some(_)) if has_desktop => run.display = Some(Display::Window),
        (None, Some(what)) => {
            let remedy = "give --display vnc=:0, or --display none, which shows it nowhere";
            let reason = "is not given, and there is no desktop with a window for it";
            return failures.push(Failure::on(what, reason).remedy(remedy));
        }
    }
    if run.display_sizes.is_empty() {
        let DisplaySize(width, height) = DisplaySize::default();
        let sizes = declared.iter();
        let sizes = sizes.map(|(_, least, _)| DisplaySize(width.max(least.0), height.max(least.1)));
        run.display_sizes = sizes.collect();
        return;
    }
    let wanted = declared.iter().rposition(|(.., optional)| !optional);
    let (wanted, have) = (wanted.map_or(0, |place| place + 1), run.display_sizes.len());
    if have < wanted {
        let names: Vec<&str> = declared.iter().map(|(name, ..)| name.as_str()).collect();
        let names = names.join(", ");
        let reason = format!("the program needs {wanted} displays ({names}), and has {have}");
        let remedy = "give --display-size a size for each, with commas between them";
        failures.push(Failure::new(reason).remedy(remedy));
    }
    for ((name, least, _), given) in declared.iter().zip(&run.display_sizes) {
        if given.0 < least.0 || given.1 < least.1 {
            let least = DisplaySize(least.0, least.1);
            let reason = format!("has {given} pixels, and the program needs {least}");
            let remedy = format!("give --display-size {least}, or leave it out");
            failures.push(Failure::on(format!("display {name}"), reason).remedy(remedy));
        }
    }
}

/// Forwards a port if the network supports it.
fn port(
    run: &mut Run,
    form: Form,
    name: &str,
    number: u16,
    protocol: Protocol,
    notes: &mut Vec<String>,
) -> Result<(), Failure> {
    let forwards = match run.nets.first() {
        Some(Net::User | Net::Passt) => true,
        Some(_) => false,
        // These options give a process its own network device.
        None => {
            let plain = run.ips.is_empty() && run.forwards.is_empty();
            form == Form::Process && !(plain && run.macs.is_empty() && run.pcap.is_none())
        }
    };
    let leads_here = |forward: &Forward| forward.program == number && forward.protocol == protocol;
    if !forwards || run.forwards.iter().any(leads_here) {
        return Ok(());
    }
    let forward = Forward {
        address: IpAddr::from([127, 0, 0, 1]),
        host: host_port(number),
        program: number,
        protocol,
    };
    let place = format!("{}:{}", forward.address, forward.host);
    let same = |other: &Forward| other.host == forward.host && other.protocol == protocol;
    let taken = match (run.forwards.iter().any(same), run.dry_run.is_some()) {
        (true, _) => Some("it leads to another port".to_owned()),
        (false, true) => None,
        (false, false) => match protocol {
            Protocol::Tcp => TcpListener::bind((forward.address, forward.host)).err(),
            Protocol::Udp => UdpSocket::bind((forward.address, forward.host)).err(),
        }
        .map(|error| error.to_string()),
    };
    if let Some(why) = taken {
        let suffix = if protocol == Protocol::Udp {
            "/udp"
        } else {
            ""
        };
        let reason = format!("{place} can't be forwarded to it ({why})");
        return Err(Failure::on(format!("port {name}"), reason)
            .remedy(format!("give another one: --forward PORT:{number}{suffix}")));
    }
    run.forwards.push(forward);
    notes.push(format!("{name}: {place} leads to {protocol} port {number}"));
    Ok(())
}

/// Checks or sets an image's memory.
fn memory(run: &mut Run, form: Form, bytes: u64) -> Result<(), Failure> {
    if form == Form::Process {
        return Ok(());
    }
    let wanted = u32::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
    match run.mem {
        Some(Memory(given)) if given < wanted => Err(Failure::new(format!(
            "the program needs {wanted} MiB of memory, and --mem gives {given} MiB"
        ))
        .remedy(format!("give --mem {wanted}M, or leave it out"))),
        Some(_) => Ok(()),
        None => {
            let usual = Memory::default().0;
            run.mem = Some(Memory(wanted.max(usual)));
            Ok(())
        }
    }
}

/// Checks an image's processors, or those that Linux lets a process use.
fn processors(run: &Run, form: Form, count: u32) -> Result<(), Failure> {
    let have = match form {
        Form::Image => run.cpus.0.into(),
        Form::Process => std::thread::available_parallelism().map_or(1, usize::from),
    };
    if usize::try_from(count).is_ok_and(|count| count <= have) {
        return Ok(());
    }
    let ignore = || "--ignore-needs runs it all the same".to_owned();
    let (why, remedy) = match form {
        Form::Image if count > MAX_PROCESSORS.into() => {
            (format!("an image has at most {MAX_PROCESSORS}"), ignore())
        }
        Form::Image => (
            format!("--cpus gives {have}"),
            format!("give --cpus {count}"),
        ),
        Form::Process => (format!("this machine lets it use {have}"), ignore()),
    };
    Err(Failure::new(format!("the program needs {count} processors, and {why}")).remedy(remedy))
}

#[cfg(test)]
mod tests {
    use super::{complete_where, not_asked_for};
    use crate::cli::{Cli, Command, Run};
    use crate::needs::answer::{Answer, FileSystem, Need, Protocol, Volume};
    use crate::options::{Display, DisplaySize};
    use crate::program::Form;
    use clap::Parser as _;

    fn run(options: &str) -> Run {
        let words = ["soil", "run", "main.exe", "--dry-run"];
        let words = words.into_iter().chain(options.split_whitespace());
        match Cli::try_parse_from(words).expect("valid").command {
            Command::Run(run) => *run,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn volume(file_systems: &[FileSystem], at: &str, optional: bool) -> Need {
        Need::Volume(Volume {
            name: "data".into(),
            at: at.into(),
            file_systems: file_systems.to_vec(),
            at_least: 0,
            read_only: false,
            optional,
            doc: String::new(),
        })
    }

    fn port(number: u16) -> Need {
        Need::Port {
            name: "http".into(),
            number,
            protocol: Protocol::Tcp,
            doc: String::new(),
        }
    }

    fn completed(options: &str, form: Form, needs: Vec<Need>) -> Result<Run, String> {
        completed_where(options, form, needs, false)
    }

    fn completed_where(
        options: &str,
        form: Form,
        needs: Vec<Need>,
        has_desktop: bool,
    ) -> Result<Run, String> {
        let answer = Answer { needs, ends: None };
        let completed = complete_where(&run(options), form, &answer, has_desktop);
        completed.map_err(|unmet| unmet.last.to_string())
    }

    fn display(name: &str, width: u32, height: u32, optional: bool) -> Need {
        Need::Display {
            name: name.into(),
            at_least: (width, height),
            optional,
            doc: String::new(),
        }
    }

    #[test]
    fn where_ports_lead_is_said_of_a_program_that_starts_only() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let number = free.local_addr().expect("bound").port();
        drop(free);
        let started = |needs| {
            let answer = Answer { needs, ends: None };
            let options = Run {
                dry_run: None,
                ..run("")
            };
            complete_where(&options, Form::Image, &answer, false)
        };
        let notes = started(vec![port(number)]).expect("met").notes;
        let note = format!("http: 127.0.0.1:{number} leads to tcp port {number}");
        assert_eq!(notes, [note]);
        let unmet = started(vec![port(number), display("board", 640, 480, false)]);
        let unmet = unmet.expect_err("no display");
        assert_eq!(unmet.others, [""; 0], "{}", unmet.last);
    }

    #[test]
    fn a_disk_that_no_need_is_for_is_named_beside_the_one_that_is_missing() {
        let said = |options: &str, optional| {
            let needs = vec![volume(&[FileSystem::Fat], "/data", optional)];
            not_asked_for(&run(options), &Answer { needs, ends: None })
        };
        let hint = ["disk dta: the program doesn't ask for it, but for data"];
        assert_eq!(said("--disk dta=x", false), hint);
        assert_eq!(said("--disk dta=x", true), hint);
        assert!(said("--disk dta=x --disk data=y", false).is_empty());
        assert!(said("--disk dta=x --mount /data=dta", false).is_empty());
        assert!(said("", false).is_empty());
    }

    #[test]
    fn a_display_is_a_window_where_there_is_a_desktop() {
        let on_desktop = |options, needs| {
            let run = completed_where(options, Form::Image, needs, true).expect("complete");
            (run.shown_by(), run.sizes())
        };
        let screen = || display("screen", 0, 0, false);
        let usual = DisplaySize::default();
        let window = Some(Display::Window);
        assert_eq!(on_desktop("", vec![screen()]), (window, vec![usual]));
        assert_eq!(on_desktop("", vec![Need::Input]), (window, vec![usual]));
        let optional = display("screen", 0, 0, true);
        assert_eq!(on_desktop("", vec![optional]), (None, vec![]));
        let large = || vec![screen(), display("other", 16, 1000, true)];
        let sizes = vec![usual, DisplaySize(1280, 1000)];
        assert_eq!(on_desktop("", large()), (window, sizes.clone()));
        let none = Some(Display::None);
        assert_eq!(on_desktop("--screenshot x.png", large()), (none, sizes));
        let given = on_desktop("--display-size 640x480", vec![screen()]);
        assert_eq!(given, (window, vec![DisplaySize(640, 480)]));
    }

    #[test]
    fn a_display_that_is_not_given_names_what_would_do() {
        let screen = || display("screen", 640, 480, false);
        let text = refused("", Form::Image, screen());
        assert!(
            text.contains("display screen") && text.contains("vnc=:0"),
            "{text}"
        );
        let text = refused("", Form::Process, Need::Input);
        assert!(
            text.contains("keyboard") && text.contains("--display none"),
            "{text}"
        );
        let given = "--env SOIL_DISPLAY=memory=640x480";
        assert!(completed(given, Form::Process, vec![screen()]).is_ok());
        assert!(completed(given, Form::Image, vec![screen()]).is_err());
        let text = refused(
            "--display none --display-size 640x479",
            Form::Image,
            screen(),
        );
        assert!(text.contains("--display-size 640x480"), "{text}");
        let two = vec![screen(), display("other", 0, 0, false)];
        let options = "--display none --display-size 640x480";
        let text = completed(options, Form::Image, two).expect_err("refused");
        assert!(text.contains("needs 2 displays (screen, other)"), "{text}");
    }

    fn refused(options: &str, form: Form, need: Need) -> String {
        completed(options, form, vec![need]).expect_err("refused")
    }

    fn forwards(options: &str, form: Form, number: u16) -> Vec<(u16, u16)> {
        let run = completed(options, form, vec![port(number)]).expect("complete");
        let numbers = run.forwards.iter().map(|f| (f.host, f.program));
        numbers.collect()
    }

    #[test]
    fn a_port_is_forwarded_unless_it_is_or_the_network_has_no_forwards() {
        assert_eq!(forwards("", Form::Image, 80), [(8080, 80)]);
        assert_eq!(forwards("", Form::Image, 7000), [(7000, 7000)]);
        assert_eq!(forwards("--forward 9:80", Form::Image, 80), [(9, 80)]);
        assert_eq!(
            forwards("--forward 53:80/udp", Form::Image, 80),
            [(53, 80), (8080, 80)]
        );
        assert_eq!(forwards("--net tap=t", Form::Image, 80), []);
        assert_eq!(forwards("", Form::Process, 80), []);
        assert_eq!(forwards("--net user", Form::Process, 80), [(8080, 80)]);
        let taken = refused("--forward 8080:79", Form::Image, port(80));
        assert!(taken.contains("--forward PORT:80"), "{taken}");
    }

    #[test]
    fn a_port_of_both_protocols_is_forwarded_for_each() {
        let names = |options: &str| {
            let need = Need::Port {
                name: "names".into(),
                number: 53,
                protocol: Protocol::Both,
                doc: String::new(),
            };
            let run = completed(options, Form::Image, vec![need]).expect("complete");
            let forwards = run.forwards.iter();
            forwards
                .map(|f| format!("{}:{}/{}", f.host, f.program, f.protocol))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["8053:53/tcp", "8053:53/udp"]);
        let given = "--forward 54:53/udp";
        assert_eq!(names(given), ["54:53/udp", "8053:53/tcp"]);
    }

    #[test]
    fn an_image_with_a_port_has_a_network() {
        let nets = |needs| completed("", Form::Image, needs).expect("complete").nets;
        assert_eq!(nets(vec![port(80)]).len(), 1);
        assert_eq!(nets(vec![Need::Cpus { count: 1 }]).len(), 0);
        let net = |name: &str| Need::Net {
            name: name.into(),
            doc: String::new(),
        };
        assert_eq!(nets(vec![net("inside"), port(80), net("outside")]).len(), 2);
        let none = refused("--net none", Form::Image, port(80));
        assert!(none.contains("--net none"), "{none}");
        let needs = vec![net("inside"), net("outside")];
        let few = completed("--net tap=t", Form::Image, needs).expect_err("refused");
        assert!(few.contains("inside, outside"), "{few}");
    }

    #[test]
    fn memory_is_raised_unless_it_is_given() {
        let memory = |mib: u64| Need::Memory { bytes: mib << 20 };
        let given = |options, mib| {
            let run = completed(options, Form::Image, vec![memory(mib)]).expect("complete");
            run.mem.map(|mem| mem.0)
        };
        assert_eq!(given("", 96), Some(96));
        assert_eq!(given("", 16), Some(64));
        assert_eq!(given("--mem 16M", 16), Some(16));
        let less = refused("--mem 16M", Form::Image, memory(17));
        assert!(less.contains("--mem 17M"), "{less}");
        assert!(completed("--mem 16M", Form::Process, vec![memory(17)]).is_ok());
    }

    #[test]
    fn processors_are_those_of_the_machine() {
        let processors = |count| Need::Cpus { count };
        assert!(completed("", Form::Image, vec![processors(1)]).is_ok());
        assert!(completed("--cpus 3", Form::Image, vec![processors(3)]).is_ok());
        for (options, count, expected) in [
            ("", 2, "--cpus gives 1: give --cpus 2"),
            ("--cpus 2", 64, "--cpus gives 2: give --cpus 64"),
            ("--cpus 64", 65, "an image has at most 64: --ignore-needs"),
        ] {
            let text = refused(options, Form::Image, processors(count));
            assert!(text.contains(expected), "{text}");
        }
        assert!(completed("", Form::Process, vec![processors(1)]).is_ok());
        let text = refused("--cpus 64", Form::Process, processors(u32::MAX));
        assert!(text.contains("this machine lets it use"), "{text}");
    }

    #[test]
    fn a_volume_is_a_disk_or_what_is_mounted_at_its_place() {
        let ext4 = || volume(&[FileSystem::Ext4], "/data", false);
        let text = refused("", Form::Image, ext4());
        assert!(
            text.contains("--disk data=data.img") && text.contains("--fs ext4"),
            "{text}"
        );
        assert!(!text.contains("host:"), "{text}");
        let text = refused("", Form::Process, volume(&[], "/data", false));
        assert!(text.contains("--mount /data=host:FOLDER"), "{text}");
        let text = refused("", Form::Process, ext4());
        assert!(text.contains(", or --mount /data=host:FOLDER"), "{text}");
        let folder = "--mount /data=host:folder";
        for accepted in [vec![], vec![FileSystem::Ext4], vec![FileSystem::Memory]] {
            let needs = vec![volume(&accepted, "/data", false)];
            assert!(completed(folder, Form::Process, needs).is_ok());
        }
        let text = refused(folder, Form::Image, ext4());
        assert!(text.contains("has to be ext4"), "{text}");
        for (mount, form) in [
            ("--mount /data=host:folder,ro", Form::Process),
            ("--mount /data=memory:16M,ro", Form::Image),
        ] {
            let text = refused(mount, form, volume(&[], "/data", false));
            assert!(text.contains("is read-only"), "{text}");
        }
        let text = refused("--mount /data/=memory:16M", Form::Image, ext4());
        assert!(text.contains("has to be ext4"), "{text}");
        let mut large = volume(&[], "/data", false);
        if let Need::Volume(volume) = &mut large {
            volume.at_least = (16 << 20) + 1;
        }
        let text = refused("--mount /data=memory:16M", Form::Image, large);
        assert!(text.contains("give --mount /data=memory:17M"), "{text}");
        let any = || vec![volume(&[], "/data", false)];
        assert!(completed("--mount /data/=memory:16M", Form::Image, any()).is_ok());
        let given = "--env SOIL_MOUNT=/x=fat:x;/data/=memory:1M";
        assert!(completed(given, Form::Image, any()).is_ok());
        let given = "--env SOIL_DISK_data=missing";
        assert!(completed(given, Form::Process, any()).is_ok());
        assert!(completed(given, Form::Image, any()).is_err());
        assert!(completed("", Form::Image, vec![volume(&[], "/data", true)]).is_ok());
        let text = refused("", Form::Image, volume(&[], "/data", false));
        assert!(!text.contains("host:"), "{text}");
        let text = refused("", Form::Image, volume(&[FileSystem::Host], "/data", false));
        assert!(text.contains("run that form"), "{text}");
        let text = refused(
            "",
            Form::Image,
            volume(&[FileSystem::Memory], "/tmp", false),
        );
        assert!(text.contains("add --mount /tmp=memory:16M"), "{text}");
        let options = "--disk data=missing --mount /other=data";
        let text = refused(options, Form::Image, ext4());
        assert!(text.contains("--mount /data=data"), "{text}");
        let text = refused("--disk data=missing,ro", Form::Image, ext4());
        assert!(text.contains("read-only"), "{text}");
    }

    #[test]
    fn a_volume_elsewhere_is_mounted_there() {
        let needs = vec![volume(&[], "/var/db", false)];
        let run = completed("--disk data=missing", Form::Image, needs).expect("complete");
        let mounts: Vec<String> = run.mounts.iter().map(ToString::to_string).collect();
        assert_eq!(mounts, ["/var/db=data"]);
    }
}
