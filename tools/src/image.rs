//! `soil image`: makes disks that boot a program by BIOS and by UEFI, and changes them, without
//! root.
//!
//! A disk has three partitions: stage 2 of the BIOS loader (for x86-64 only), the EFI system
//! partition with the program and its settings, and the program's data. `loader/README.md` has the
//! contract with the loaders. Work happens on a temporary file beside the disk, so an interrupted
//! command leaves the disk as it was.

mod boot;
mod format;
mod layout;
mod loaders;
mod settings;
mod signature;

use crate::cli::FileSystem;
use crate::cli::image::{ImageFormat, METADATA, MakeImage};
use crate::disk::format::{Access, check_raw};
use crate::disk::image::{self as disk_image, Place, Unfinished};
use crate::disk::make::{self, Identity};
use crate::disk::{device, shown};
use crate::failure::{Context as _, Failure};
use crate::image_lock;
use crate::messages::say;
use crate::oci::{self, Engine};
use crate::options::given;
use crate::program::{self, Form};
use crate::progress;
use crate::secrets;
use crate::strip;
use boot::Boot;
use layout::Layout;
use loader::digests;
use loader::elf::Machine;
use loaders::Loaders;
use lock::Usage;
use settings::Settings;
use std::ffi::OsString;
use std::path::Path;

/// The name of the disk that the data partition is to the program.
const DATA: &str = "data";

/// Runs the command and returns the text to print at the end.
pub fn run(options: &MakeImage) -> Result<String, Failure> {
    let format = match &options.output {
        Some(output) if !options.replace => format::wanted(options.format, output)?,
        _ => ImageFormat::Raw,
    };
    for variable in options
        .variables
        .iter()
        .filter(|one| secrets::is_secret(one))
    {
        say(&format!(
            "warning: --env {}: all who can read the image can read the value: put it on a disk \
             of its own ({})",
            variable.name,
            secrets::PAGE
        ));
    }
    match (&options.edit, &options.program, &options.output) {
        (Some(disk), ..) => edit(options, disk),
        (None, Some(program), Some(disk)) if options.replace => replace(options, program, disk),
        (None, Some(program), Some(folder)) if format == ImageFormat::Oci => {
            container(options, program, folder)
        }
        _ if options.engine.is_some() => Err(Failure::on("--engine", "only containers have one")
            .remedy("give --format oci as well, or leave it out")),
        (None, Some(program), Some(disk)) => create(options, program, disk, format),
        (None, ..) => Err(Failure::new("no program and no --output")
            .remedy("soil image _build/soil/main.exe --output service.img")),
    }
}

/// Makes a container image.
fn container(options: &MakeImage, program: &Path, folder: &Path) -> Result<String, Failure> {
    let scratch = tempfile::tempdir().on(std::env::temp_dir())?;
    let disk = scratch.path().join("disk.img");
    let engine = options.engine.unwrap_or(Engine::Process);
    if engine != Engine::Kubevirt {
        warn_of_unknown(options);
    }
    let has_disk = engine == Engine::Kubevirt;
    let disk_options = [
        ("--size", options.size.is_some()),
        ("--data", options.data.is_some()),
        ("--data-size", options.data_size.is_some()),
        ("--sign", !options.sign.is_empty()),
    ];
    if options.metadata.is_some() && engine == Engine::Process {
        return Err(
            Failure::on("--metadata", "a process has no machine's metadata")
                .remedy("leave the option out, or give another --engine"),
        );
    }
    if let Some((option, _)) = disk_options.iter().find(|(_, given)| *given && !has_disk) {
        return Err(
            Failure::on(option, "only --engine kubevirt has a disk").remedy("leave the option out")
        );
    }
    // Of another form, `oci::write` says what the engine takes.
    if has_disk && program::inspect(program)?.form == Form::Image {
        create(options, program, &disk, ImageFormat::Raw)?;
    }
    let contents = oci::Contents {
        program,
        arguments: &options.arguments,
        variables: &given(&options.settings()),
        disk: has_disk.then_some(disk.as_path()),
    };
    let digest = oci::write(engine, &contents, folder, options.force)?;
    Ok(format!("{}: {digest}", folder.display()))
}

/// Names the variables of `--env` that nothing of Soil reads: the program would say it at its start
/// only, on another machine.
fn warn_of_unknown(options: &MakeImage) {
    for variable in &options.variables {
        if let Some(unknown) = configuration::unknown(&variable.name) {
            let name = &variable.name;
            say(&format!("warning: --env {name}: unknown variable{unknown}"));
        }
    }
}

/// A program, as the disk gets it.
struct Program {
    /// The stripped ELF file.
    elf: Vec<u8>,
    machine: Machine,
    /// `argv[0]`.
    name: OsString,
}

impl Program {
    fn read(path: &Path) -> Result<Self, Failure> {
        let program = program::inspect(path)?;
        if program.form != Form::Image {
            return Err(
                Failure::on(path, "a Linux executable, which no machine boots")
                    .remedy("name the image, below _build/soil"),
            );
        }
        let folder = tempfile::tempdir().on(std::env::temp_dir())?;
        let stripped = folder.path().join("image.elf");
        strip::strip(path, &stripped)?;
        let elf = std::fs::read(&stripped).on(path)?;
        let machine = Machine::of(&elf).unwrap_or(Machine::X86_64);
        loader::elf::Image::parse(&elf, machine).on(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_owned();
        Ok(Self { elf, machine, name })
    }
}

/// Makes a disk.
fn create(
    options: &MakeImage,
    program: &Path,
    disk: &Path,
    format: ImageFormat,
) -> Result<String, Failure> {
    let _held = match options.force {
        true => image_lock::take(disk, Usage::Write)?,
        false => image_lock::Held::default(),
    };
    let program = Program::read(program)?;
    let loaders = Loaders::installed(program.machine)?;
    let data = match (&options.data, options.data_size) {
        (Some(file), _) => Some(Data::Copy(source(file)?, file)),
        (None, Some(size)) => Some(Data::Empty(size.0, options.data_fs)),
        (None, None) => None,
    };
    warn_of_unknown(options);
    let mut settings = Settings::of(&program.name, &options.settings(), &options.arguments)?;
    restrict(options, &mut settings);
    let seed = digests::of(&[&program.elf[..], settings.text()?.as_bytes()].concat());
    let layout = Layout::new(
        program.machine,
        Boot::size_of(&program.elf, &loaders.uefi),
        data.as_ref().map(Data::size),
        options.size.map(|size| size.0),
        format,
    )?;
    if layout.data.is_some() {
        let partition = layout::identity(&seed, layout::Part::Data).uuid();
        settings.set(&data_variable(), &format!("PARTUUID={partition}"));
    }
    let boot = Boot {
        machine: program.machine,
        loader: signature::prepared(&loaders, &options.sign, &program.elf, &settings.text()?)?,
        elf: program.elf,
        settings: settings.text()?,
    };

    let unfinished = Unfinished::new(disk, options.force)?;
    let raw = format::Raw::new(&unfinished, format)?;
    layout.write(raw.path(), &seed)?;
    loaders.write(raw.path())?;
    boot.write(
        raw.path(),
        layout.boot,
        layout::identity(&seed, layout::Part::BootVolume),
    )?;
    if let (Some(data), Some(place)) = (&data, layout.data) {
        data.write(
            raw.path(),
            place,
            layout::identity(&seed, layout::Part::DataVolume),
        )?;
    }
    raw.convert()?;
    unfinished.finish()?;
    let sizes = match layout.data {
        Some(data) => format!(
            "{}, {} of them for data",
            shown(layout.size),
            shown(data.size)
        ),
        None => shown(layout.size),
    };
    Ok(format!("{}: {sizes}", disk.display()))
}

/// Puts a new program on a disk; the data partition stays, and the settings that no option gives.
fn replace(options: &MakeImage, program: &Path, disk: &Path) -> Result<String, Failure> {
    let _held = image_lock::take(disk, Usage::Write)?;
    let (place, old) = boot_partition(disk)?;
    let file = program;
    let program = Program::read(file)?;
    if program.machine != old.machine {
        let (wanted, found) = (old.machine.name(), program.machine.name());
        let reason = format!(
            "an image for {found}, and {} is a disk for {wanted}",
            disk.display()
        );
        return Err(
            Failure::on(file, reason).remedy("make a new disk: soil image PROGRAM --output DISK")
        );
    }
    let loaders = Loaders::installed(old.machine)?;
    let mut settings = Settings::parse(&old.settings);
    warn_of_unknown(options);
    settings.rename(&program.name);
    settings.change(&options.settings(), &options.arguments)?;
    restrict(options, &mut settings);
    update(
        options,
        disk,
        place,
        &loaders,
        &old,
        program.elf,
        &settings.text()?,
    )?;
    Ok(format!("{}: has the new program", disk.display()))
}

/// Changes the settings of a disk: by the options, or by an editor.
fn edit(options: &MakeImage, disk: &Path) -> Result<String, Failure> {
    let _held = image_lock::take(disk, Usage::Write)?;
    let (place, old) = boot_partition(disk)?;
    let loaders = Loaders::installed(old.machine)?;
    let variables = options.settings();
    let mut text = if variables.is_empty() && options.arguments.is_empty() {
        settings::edited(&old.settings)?
    } else {
        warn_of_unknown(options);
        let mut settings = Settings::parse(&old.settings);
        settings.change(&variables, &options.arguments)?;
        settings.text()?
    };
    let mut settings = Settings::parse(&text);
    if restrict(options, &mut settings) {
        text = settings.text()?;
    }
    if text == old.settings {
        return Ok(format!("{}: unchanged", disk.display()));
    }
    let elf = old.elf.clone();
    update(options, disk, place, &loaders, &old, elf, &text)?;
    Ok(format!("{}: has the new settings", disk.display()))
}

/// Lets nothing that the signature doesn't cover configure a signed program, unless its settings
/// name it. Returns whether that changed the settings.
fn restrict(options: &MakeImage, settings: &mut Settings) -> bool {
    !options.sign.is_empty() && settings.set_default(METADATA, "none")
}

/// Writes a copy of the disk with this program and these settings, and replaces the disk by it.
fn update(
    options: &MakeImage,
    disk: &Path,
    place: Place,
    loaders: &Loaders,
    old: &Boot,
    elf: Vec<u8>,
    settings: &str,
) -> Result<(), Failure> {
    if signature::is_bound(&old.loader) && options.sign.is_empty() {
        return Err(Failure::on(
            disk,
            "its loader is signed for one program with one file of settings",
        )
        .remedy("give --sign KEY CERT as well"));
    }
    let boot = Boot {
        machine: old.machine,
        loader: signature::prepared(loaders, &options.sign, &elf, settings)?,
        elf,
        settings: settings.to_owned(),
    };
    let needed = Boot::min_size_of(&boot.elf, &boot.loader);
    if needed > place.size {
        let reason = format!(
            "its boot partition has {}, and the program needs {}",
            shown(place.size),
            shown(needed)
        );
        return Err(Failure::on(disk, reason).remedy(
            "make a new disk, with the old data: soil disk extract, soil disk make, \
             soil image --data",
        ));
    }
    let identity = Boot::identity(disk, place)?;
    let unfinished = Unfinished::new(disk, true)?;
    progress::during("copying", || disk_image::copy(disk, unfinished.path()))?;
    loaders.write(unfinished.path())?;
    boot.write(unfinished.path(), place, identity)?;
    unfinished.finish()
}

/// Finds the boot partition of a raw disk that this command made, and reads it.
fn boot_partition(disk: &Path) -> Result<(Place, Boot), Failure> {
    if !std::fs::metadata(disk).on(disk)?.is_file() {
        return Err(Failure::on(disk, "not a file").remedy("name a raw disk of soil image"));
    }
    check_raw(disk, disk, Access::Write)?;
    let table = disk_image::table(disk)?;
    let known = |part: layout::Part| {
        let mut partitions = table.partitions.iter();
        partitions.any(|partition| partition.label == part.label())
    };
    let other = || {
        Failure::on(disk, "not a disk of soil image")
            .remedy("make one: soil image PROGRAM --output DISK")
    };
    if !known(layout::Part::Boot) {
        return Err(other());
    }
    let place = disk_image::place(disk, Some(layout::Part::Boot.label()))?;
    layout::check(disk, &table)?;
    let boot = Boot::read(disk, place)?;
    if known(layout::Part::Bios) != (boot.machine == Machine::X86_64) {
        return Err(other());
    }
    Ok((place, boot))
}

/// The processor that a raw disk of this command is for.
pub fn machine_of(disk: &Path) -> Option<Machine> {
    boot_partition(disk).ok().map(|(_, boot)| boot.machine)
}

/// The variable by which the program finds its data partition.
fn data_variable() -> String {
    format!("SOIL_DISK_{}", DATA.to_uppercase())
}

/// The part of a file that `--data` names: the only file system on it.
fn source(file: &Path) -> Result<Place, Failure> {
    check_raw(file, file, Access::Read)?;
    let place = disk_image::place(file, None)?;
    if place.size == 0 {
        return Err(Failure::on(file, "has no sectors").remedy(
            "make one with the files of a folder: soil disk make FILE FOLDER --size 64M --fs ext4",
        ));
    }
    Ok(place)
}

/// The contents of the data partition.
enum Data<'a> {
    /// A copy of a file's part.
    Copy(Place, &'a Path),
    /// An empty file system of this size in bytes.
    Empty(u64, FileSystem),
}

impl Data<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Copy(place, _) => place.size,
            Self::Empty(size, _) => *size,
        }
    }

    fn write(&self, disk: &Path, place: Place, identity: Identity) -> Result<(), Failure> {
        match self {
            Self::Copy(from, file) => {
                let _held = image_lock::take(file, Usage::Read)?;
                let bar = progress::bytes("copying", from.size);
                let to = std::fs::File::options().write(true).open(disk).on(disk)?;
                disk_image::copy_into(file, *from, &to, place.start, &bar).on(disk)?;
                bar.finish_and_clear();
                Ok(())
            }
            Self::Empty(_, FileSystem::Fat) => make::make_fat(disk, place, DATA, Some(identity)),
            Self::Empty(_, FileSystem::Ext4) => {
                let bar = progress::busy("making the file system");
                let made = make::make_ext4(disk, place, DATA, None, Some(identity), &bar);
                bar.finish_and_clear();
                made
            }
        }
    }
}

/// Bytes per sector of a disk.
const SECTOR: u64 = device::SECTOR;
