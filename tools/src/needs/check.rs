//! What a program needs against what `soil run` was given, with defaults for what wasn't.

use super::REFUSED;
use super::answer::{Answer, FileSystem, Need};
use super::show::either;
use crate::cli::Run;
use crate::disk::{self, Contents, shown};
use crate::failure::Failure;
use crate::options::{Disk, Forward, Memory, Mount, Net, Protocol};
use crate::program::Form;
use crate::run::say;
use std::net::{IpAddr, TcpListener, UdpSocket};

/// Ports below this one can't be taken by everyone (Linux, ip_unprivileged_port_start).
const FIRST_UNPRIVILEGED: u16 = 1024;
/// What is added to those.
const OFFSET: u16 = 8000;
/// Bytes of the disk that a remedy makes for a program that doesn't ask for a size.
const USUAL_DISK: u64 = 64 << 20;

/// Bytes of a disk with room for a file system.
const LEAST_VOLUME: u64 = 16 << 20;

/// The host's port that leads to the program's, unless `--forward` says otherwise.
pub fn host_port(number: u16) -> u16 {
    match number < FIRST_UNPRIVILEGED {
        true => number + OFFSET,
        false => number,
    }
}

/// The options with defaults for what the program needs. If something is missing or isn't what was
/// asked for: the failure for the last such need, after a line for each other.
pub fn complete(run: &Run, form: Form, answer: &Answer) -> Result<Run, Failure> {
    let mut run = run.clone();
    let mut failures: Vec<Failure> = Vec::new();
    let mut notes: Vec<String> = Vec::new();
    network(&mut run, form, answer, &mut failures);
    for need in &answer.needs {
        let met = match need {
            Need::Volume { .. } => volume(&mut run, form, need),
            Need::Disk {
                name,
                at_least,
                read_only,
                optional,
                ..
            } => sectors(&run, name, *at_least, *read_only, *optional),
            Need::Net { .. } => Ok(()),
            Need::Port {
                name,
                number,
                protocol,
                ..
            } => port(
                &mut run,
                form,
                name,
                *number,
                (*protocol).into(),
                &mut notes,
            ),
            Need::Memory { bytes } => memory(&mut run, form, *bytes),
            Need::Cpus { count } => processors(form, *count),
        };
        failures.extend(met.err());
    }
    let Some(last) = failures.pop() else {
        if !run.dry_run {
            notes.iter().for_each(|note| say(note));
        }
        return Ok(run);
    };
    for failure in failures {
        say(&failure.to_string());
    }
    Err(last.with_status(REFUSED))
}

/// Enough networks for those that are declared; one for a program with a port.
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
        // A process has the host's own sockets.
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

/// A volume is what is mounted at its place, or the disk of its name.
fn volume(run: &mut Run, form: Form, need: &Need) -> Result<(), Failure> {
    let Need::Volume {
        name,
        at,
        file_systems,
        at_least,
        read_only,
        optional,
        ..
    } = need
    else {
        return Ok(());
    };
    let fail = |reason: String| Failure::on(format!("volume {name}"), reason);
    let here = |mount: &&Mount| same_path(&mount.path, at);
    let mounted = run.mounts.iter().find(here).cloned();
    let (disk_name, partition) = match &mounted {
        Some(mount) => {
            let source = mount.source.split_once('/');
            let Some(disk) = mount.disk() else {
                return in_memory_or_on_the_host(mount, file_systems, &fail);
            };
            (disk.to_owned(), source.map(|(_, partition)| partition))
        }
        None => (name.clone(), None),
    };
    let Some(disk) = run.disks.iter().find(|disk| disk.name == disk_name) else {
        return match mounted {
            // `soil run` itself says which disk the mount lacks.
            Some(_) => Ok(()),
            None if *optional => Ok(()),
            None => Err(missing(need, form, &fail)),
        };
    };
    let elsewhere = |mount: &&Mount| mount.disk() == Some(name) && !same_path(&mount.path, at);
    if mounted.is_none()
        && let Some(mount) = run.mounts.iter().find(elsewhere)
    {
        let path = &mount.path;
        return Err(fail(format!(
            "is mounted at {path}, and the program uses it at {at}"
        ))
        .remedy(format!("give --mount {at}={}", mount.source)));
    }
    let is_read_only = disk.read_only || mounted.as_ref().is_some_and(|mount| mount.read_only);
    if is_read_only && !read_only {
        return Err(
            fail("is read-only, and the program writes to it".into()).remedy("leave out ,ro")
        );
    }
    contents(disk, partition, file_systems, *at_least)?;
    if mounted.is_none() && !same_path(&format!("/{name}"), at) {
        run.mounts.push(Mount {
            path: at.clone(),
            kind: None,
            source: name.clone(),
            read_only: disk.read_only,
        });
    }
    Ok(())
}

fn same_path(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A mount that is on no disk.
fn in_memory_or_on_the_host(
    mount: &Mount,
    file_systems: &[FileSystem],
    fail: &dyn Fn(String) -> Failure,
) -> Result<(), Failure> {
    let will_do = |f: &FileSystem| Some(f.name()) == mount.kind.as_deref();
    if file_systems.is_empty() || file_systems.iter().any(will_do) {
        return Ok(());
    }
    let wanted = either(file_systems);
    let reason = format!("has to be {wanted}, and --mount {mount} is not");
    Err(fail(reason).remedy("give a disk that has it"))
}

/// The failure for a volume that wasn't given.
fn missing(need: &Need, form: Form, fail: &dyn Fn(String) -> Failure) -> Failure {
    let Need::Volume {
        name,
        at,
        file_systems,
        at_least,
        ..
    } = need
    else {
        return fail("is not given".into());
    };
    let on_disk = |f: &&FileSystem| matches!(f, FileSystem::Fat | FileSystem::Ext4);
    let first = file_systems.iter().find(on_disk);
    let kind = first.map_or("fat", |f| f.name());
    let size = size_of_new((*at_least).max(LEAST_VOLUME));
    let folder = match form {
        Form::Process if file_systems.is_empty() || file_systems.contains(&FileSystem::Host) => {
            format!(", or --mount {at}=host:FOLDER")
        }
        _ => String::new(),
    };
    fail("is not given".into()).remedy(format!(
        "add --disk {name}={name}.img{folder} ('soil disk make {name}.img FOLDER --size {size} \
         --fs {kind}' makes one with the files of a folder)"
    ))
}

/// A disk's size for `soil disk make`.
fn size_of_new(at_least: u64) -> String {
    match at_least {
        0 => format!("{}M", USUAL_DISK >> 20),
        bytes => format!("{}M", bytes.div_ceil(1 << 20)),
    }
}

/// The disk's file system and size are those that were asked for.
fn contents(
    disk: &Disk,
    partition: Option<&str>,
    file_systems: &[FileSystem],
    at_least: u64,
) -> Result<(), Failure> {
    let (name, file) = (&disk.name, disk.file.display());
    let subject = format!("disk {name}: {file}");
    if std::fs::metadata(&disk.file).is_err() {
        // `soil run` itself says why the file can't be opened.
        return Ok(());
    }
    let (found, size) = disk::contents(&disk.file, partition)?;
    too_small(disk, size, at_least)?;
    let found = match found {
        Contents::Fat => FileSystem::Fat,
        Contents::Ext4 => FileSystem::Ext4,
        Contents::Tar => FileSystem::Tar,
        Contents::Blank => {
            let remedy = match file_systems.first() {
                Some(FileSystem::Ext4) => format!("make one with: mkfs.ext4 {file}"),
                Some(FileSystem::Fat) | None => format!("make one with: mkfs.fat {file}"),
                Some(_) => format!("give a disk with {}", either(file_systems)),
            };
            return Err(Failure::on(subject, "has no file system").remedy(remedy));
        }
        Contents::Unknown => {
            let reason = "has no file system that Soil knows, which are FAT, ext4 and tar";
            return Err(Failure::on(subject, reason).remedy("is it another disk's file?"));
        }
    };
    if file_systems.is_empty() || file_systems.contains(&found) {
        return Ok(());
    }
    let (found, wanted) = (found.name(), either(file_systems));
    let reason = format!("has the file system {found}, and the program needs {wanted}");
    Err(Failure::on(subject, reason).remedy(format!(
        "make another disk (soil disk make … --fs {})",
        file_systems.first().map_or("fat", |f| f.name())
    )))
}

fn too_small(disk: &Disk, size: u64, at_least: u64) -> Result<(), Failure> {
    if size >= at_least {
        return Ok(());
    }
    let (name, file) = (&disk.name, disk.file.display());
    let (have, wanted) = (shown(size), shown(at_least));
    let reason = format!("has {have}, and the program needs {wanted}");
    let size = size_of_new(at_least);
    Err(
        Failure::on(format!("disk {name}: {file}"), reason).remedy(format!(
            "enlarge it with: soil disk grow {file} --size {size}"
        )),
    )
}

/// A disk that the program uses as sectors.
fn sectors(
    run: &Run,
    name: &str,
    at_least: u64,
    read_only: bool,
    optional: bool,
) -> Result<(), Failure> {
    let fail = |reason: &str| Failure::on(format!("disk {name}"), reason);
    let Some(disk) = run.disks.iter().find(|disk| disk.name == name) else {
        return match optional {
            true => Ok(()),
            false => {
                let size = size_of_new(at_least);
                Err(fail("is not given").remedy(format!(
                    "add --disk {name}={name}.img ('truncate -s {size} {name}.img' makes one)"
                )))
            }
        };
    };
    if disk.read_only && !read_only {
        let reason = "is read-only, and the program writes to it";
        return Err(fail(reason).remedy("leave out ,ro"));
    }
    match disk::size(&disk.file) {
        Ok(size) => too_small(disk, size, at_least),
        // `soil run` itself says why the file can't be opened.
        Err(_) => Ok(()),
    }
}

/// A port is forwarded, where the network is one that does so.
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
        // Options of a process that ask for a device of its own.
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
    let taken = match (run.forwards.iter().any(same), run.dry_run) {
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

/// An image has as much memory as it asks for.
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

fn processors(form: Form, count: u32) -> Result<(), Failure> {
    let (have, whose) = match form {
        Form::Image => (1, "an image has one"),
        Form::Process => (
            std::thread::available_parallelism().map_or(1, usize::from),
            "this machine has fewer",
        ),
    };
    match usize::try_from(count).is_ok_and(|count| count <= have) {
        true => Ok(()),
        false => {
            let reason = format!("the program needs {count} processors, and {whose}");
            Err(Failure::new(reason).remedy("--ignore-needs runs it all the same"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complete;
    use crate::cli::{Cli, Command, Run};
    use crate::needs::answer::{Answer, FileSystem, Need, Protocol};
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
        Need::Volume {
            name: "data".into(),
            at: at.into(),
            file_systems: file_systems.to_vec(),
            at_least: 0,
            read_only: false,
            optional,
            doc: String::new(),
        }
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
        let answer = Answer { needs, ends: None };
        complete(&run(options), form, &answer).map_err(|failure| failure.to_string())
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
        let text = refused("--mount /data/=memory:16M", Form::Image, ext4());
        assert!(text.contains("has to be ext4"), "{text}");
        let any = || vec![volume(&[], "/data", false)];
        assert!(completed("--mount /data/=memory:16M", Form::Image, any()).is_ok());
        assert!(completed("", Form::Image, vec![volume(&[], "/data", true)]).is_ok());
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
