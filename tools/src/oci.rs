//! Container images of a program, as OCI image layouts: for container engines, KubeVirt and urunc.
//!
//! The same input makes the same bytes: times are 1970-01-01, entries are sorted. Sources: the OCI
//! image specification 1.1 (image-layout.md, manifest.md, config.md, layer.md); KubeVirt's user
//! guide (containerDisk and kernelBoot); urunc's docs/package/index.md.

mod layer;
mod layout;
mod libraries;

use crate::arch::Arch;
use crate::failure::{Context as _, Failure};
use crate::program::{self, Form};
use crate::progress;
use crate::strip;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::ValueEnum;
use layer::{Owner, Tree};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The engines that images are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Container engines, as a Linux process: Kubernetes, podman, Docker.
    Process,
    /// KubeVirt: a `containerDisk`, and for x86-64 a kernel for `kernelBoot`. KubeVirt's machines
    /// for arm64 boot by UEFI, from disks only.
    Kubevirt,
    /// urunc: an image as a unikernel of the type linux, under QEMU.
    Urunc,
}

/// The contents of an image.
#[derive(Debug)]
pub struct Contents<'a> {
    /// The program: for [`Engine::Process`] a Linux executable, otherwise an image.
    pub program: &'a Path,
    /// The program's arguments.
    pub arguments: &'a [OsString],
    /// Its environment.
    pub variables: &'a [(String, OsString)],
    /// For [`Engine::Kubevirt`]: the disk for `containerDisk`, raw.
    pub disk: Option<&'a Path>,
}

/// The user and group of processes: an ID without a user on the host, as in Google's distroless
/// images.
const USER: Owner = Owner(65532);
/// The user and group `qemu`, as which KubeVirt reads disks.
const QEMU: Owner = Owner(107);
/// The owner of files that all may read.
const ROOT: Owner = Owner(0);
/// The image's path for urunc.
const UNIKERNEL: &str = "/unikernel/image.elf";
/// The initrd's path: urunc appends the files that Kubernetes mounts (pkg/unikontainers/initrd).
const INITRD: &str = "/unikernel/initrd.cpio";
/// An archive without entries, in the format newc: the header of its end, and that entry's name.
const NO_FILES: &str = "0707010000000000000000000000000000000000000001\
                        0000000000000000000000000000000000000000000000000000000b00000000\
                        TRAILER!!!\0\0\0\0";

/// Writes the image as a layout in `output`, which is new or empty, or a layout to `replace`.
/// Returns the digest of its manifest.
pub fn write(
    engine: Engine,
    contents: &Contents<'_>,
    output: &Path,
    replace: bool,
) -> Result<String, Failure> {
    let program = program::inspect(contents.program)?;
    let (form, arch) = (program.form, program.arch);
    match (engine, form) {
        (Engine::Process, Form::Image) => {
            let remedy = "give the process form (_build/default/…), or --engine kubevirt or urunc";
            return Err(Failure::on(contents.program, "an image is no process").remedy(remedy));
        }
        (Engine::Kubevirt | Engine::Urunc, Form::Process) => {
            let remedy = "give the image (_build/soil/…), or --engine process";
            return Err(Failure::on(contents.program, "a process is no machine").remedy(remedy));
        }
        (Engine::Process, Form::Process) if !arch.is_host() => {
            let host = Arch::HOST;
            let reason = format!(
                "a Linux executable for {arch}, and the C library that it needs is here for {host}"
            );
            let remedy = format!("make its container image on a machine with {arch}");
            return Err(Failure::on(contents.program, reason).remedy(remedy));
        }
        _ => {}
    }
    let layout = layout::Layout::new(output, replace)?;
    let scratch = tempfile::tempdir().on("a temporary folder")?;
    let mut tree = Tree::default();
    let mut annotations = Map::new();
    let config = match engine {
        Engine::Process => process(contents, &mut tree)?,
        Engine::Kubevirt => {
            if arch == Arch::X86_64 {
                let kernel = kernel(arch, contents.program, scratch.path())?;
                tree.file("boot/image.elf", &kernel, 0o444, ROOT);
            }
            if let Some(disk) = contents.disk {
                tree.file("disk/disk.img", disk, 0o440, QEMU);
            }
            json!({})
        }
        Engine::Urunc => {
            let kernel = kernel(arch, contents.program, scratch.path())?;
            tree.file(UNIKERNEL.trim_start_matches('/'), &kernel, 0o444, ROOT);
            tree.bytes(INITRD.trim_start_matches('/'), NO_FILES.into(), 0o644, ROOT);
            annotations = urunc(contents)?;
            let file = serde_json::to_vec(&annotations).on("urunc.json")?;
            tree.bytes("urunc.json", file, 0o444, ROOT);
            let process = Process::of(contents, &[])?;
            json!({
                "Entrypoint": [UNIKERNEL],
                "Cmd": process.arguments,
                "Env": process.variables,
                // They become annotations of the container (conversion.md), a manifest's don't.
                "Labels": annotations,
            })
        }
    };
    let layer = progress::during("compressing", || layout.layer(&tree))?;
    layout.finish(arch, &layer, config, annotations)
}

/// A copy without symbols, as QEMU's -kernel takes it.
fn kernel(arch: Arch, image: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let copy = folder.join("image.elf");
    match arch {
        Arch::X86_64 => strip::strip(image, &copy)?,
        Arch::Aarch64 => strip::flat(image, &copy)?,
    };
    Ok(copy)
}

/// The executable with its libraries, and the configuration of the process.
fn process(contents: &Contents<'_>, tree: &mut Tree) -> Result<Value, Failure> {
    let path = format!("/bin/{}", program::name(contents.program));
    for library in libraries::of(contents.program)? {
        let place = library.to_string_lossy();
        tree.file(place.trim_start_matches('/'), &library, 0o555, ROOT);
    }
    tree.file(path.trim_start_matches('/'), contents.program, 0o555, ROOT);
    // Programs may write there, in a container whose root they may not write to.
    tree.folder("tmp", 0o1777, ROOT);
    let process = Process::of(contents, &[("PATH", "/bin"), ("SOIL_NET", "host")])?;
    Ok(json!({
        "User": format!("{0}:{0}", USER.0),
        "Entrypoint": [path],
        "Cmd": process.arguments,
        "Env": process.variables,
        "WorkingDir": "/",
        "StopSignal": "SIGTERM",
    }))
}

/// urunc's annotations; it takes their values in base64.
fn urunc(contents: &Contents<'_>) -> Result<Map<String, Value>, Failure> {
    let process = Process::of(contents, &[])?;
    // As urunc quotes the arguments of a container (unikernels/linux.go).
    let quoted = process
        .arguments
        .into_iter()
        .map(|word| match word.contains(' ') {
            true => format!("'{word}'"),
            false => word,
        });
    let words = [UNIKERNEL.to_owned()].into_iter().chain(quoted);
    let values = [
        ("unikernelType", "linux".to_owned()),
        ("hypervisor", "qemu".to_owned()),
        ("binary", UNIKERNEL.to_owned()),
        ("initrd", INITRD.to_owned()),
        ("cmdline", words.collect::<Vec<_>>().join(" ")),
        ("useDMBlock", "false".to_owned()),
    ];
    let encoded = values.into_iter().map(|(name, value)| {
        let name = format!("com.urunc.unikernel.{name}");
        (name, BASE64_STANDARD.encode(value).into())
    });
    Ok(encoded.collect())
}

/// Arguments and environment as an image's configuration has them.
struct Process {
    arguments: Vec<String>,
    variables: Vec<String>,
}

impl Process {
    /// Those of the contents, behind `defaults` that they don't set themselves.
    fn of(contents: &Contents<'_>, defaults: &[(&str, &str)]) -> Result<Self, Failure> {
        let text = |word: &OsStr| {
            let text = word.to_str().map(str::to_owned);
            text.ok_or_else(|| {
                Failure::new(format!(
                    "'{}' isn't UTF-8, as JSON needs it",
                    word.display()
                ))
            })
        };
        let is_set = |name: &str| contents.variables.iter().any(|(other, _)| other == name);
        let mut variables: Vec<String> = defaults
            .iter()
            .filter(|(name, _)| !is_set(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        for (name, value) in contents.variables {
            variables.push(format!("{name}={}", text(value)?));
        }
        let arguments = contents.arguments.iter().map(|word| text(word));
        Ok(Self {
            arguments: arguments.collect::<Result<_, _>>()?,
            variables,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, Engine, NO_FILES, write};
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::Value;
    use std::ffi::OsString;
    use std::fs;
    use std::path::{Path, PathBuf};

    struct Written {
        _folder: tempfile::TempDir,
        layout: PathBuf,
        digest: String,
    }

    impl Written {
        fn of(engine: Engine, contents: &Contents<'_>) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let layout = folder.path().join("image");
            let digest = write(engine, contents, &layout, false).expect("an image");
            Self {
                _folder: folder,
                layout,
                digest,
            }
        }

        fn blob(&self, digest: &Value) -> Vec<u8> {
            let digest = digest.as_str().expect("a digest");
            let digits = digest.strip_prefix("sha256:").expect("SHA-256");
            let bytes = fs::read(self.layout.join("blobs/sha256").join(digits)).expect("a blob");
            assert_eq!(super::layer::digest(&bytes), digest);
            bytes
        }

        /// The manifest and the configuration, by the index.
        fn documents(&self) -> [Value; 2] {
            let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
            let index = parse(&fs::read(self.layout.join("index.json")).expect("an index"));
            assert_eq!(index["manifests"][0]["digest"], self.digest);
            let manifest = parse(&self.blob(&index["manifests"][0]["digest"]));
            let config = parse(&self.blob(&manifest["config"]["digest"]));
            let layer = self.blob(&manifest["layers"][0]["digest"]);
            assert_eq!(manifest["layers"][0]["size"], layer.len());
            [manifest, config]
        }
    }

    /// The paths in the only layer.
    fn paths(written: &Written) -> Vec<String> {
        let [manifest, _] = written.documents();
        let layer = written.blob(&manifest["layers"][0]["digest"]);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&*layer));
        let entries = archive.entries().expect("an archive").map(|entry| {
            let entry = entry.expect("an entry");
            entry.path().expect("a path").display().to_string()
        });
        entries.collect()
    }

    #[test]
    fn an_image_for_aarch64_is_flat_and_of_its_platform() {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, disk) = (folder.path().join("arm.elf"), folder.path().join("disk"));
        fs::write(&image, crate::flat::tests::image(0x20_0400)).expect("written");
        fs::write(&disk, "sectors").expect("written");
        let contents = Contents {
            program: &image,
            arguments: &[],
            variables: &[],
            disk: Some(&disk),
        };
        let written = Written::of(Engine::Urunc, &contents);
        let [manifest, config] = written.documents();
        assert_eq!(config["architecture"], "arm64");
        let layer = written.blob(&manifest["layers"][0]["digest"]);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*layer), &mut bytes)
            .expect("compressed");
        assert!(bytes.windows(4).any(|four| four == b"ARM\x64"), "no Image");
        let index = fs::read(written.layout.join("index.json")).expect("an index");
        let index: Value = serde_json::from_slice(&index).expect("JSON");
        let platform = &index["manifests"][0]["platform"];
        assert_eq!(
            *platform,
            serde_json::json!({ "architecture": "arm64", "os": "linux" })
        );
        // KubeVirt's machines start a kernel by UEFI there, which this one isn't for.
        let found = paths(&Written::of(Engine::Kubevirt, &contents));
        assert!(
            found.iter().any(|path| path == "disk/disk.img"),
            "{found:?}"
        );
        assert!(
            !found.iter().any(|path| path.starts_with("boot")),
            "{found:?}"
        );
    }

    #[test]
    fn a_process_of_another_machine_is_refused_by_both_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("process");
        // Without the note, it is no image.
        let mut foreign = crate::flat::tests::image(0x20_0400);
        foreign[64 + 112] = 0;
        if crate::arch::Arch::HOST == crate::arch::Arch::Aarch64 {
            foreign[18] = 62;
        }
        fs::write(&program, foreign).expect("written");
        let contents = Contents {
            program: &program,
            arguments: &[],
            variables: &[],
            disk: None,
        };
        let output = folder.path().join("image");
        let error = write(Engine::Process, &contents, &output, false).expect_err("foreign");
        let text = error.to_string();
        assert!(
            text.contains("x86_64") && text.contains("aarch64"),
            "{text}"
        );
    }

    fn probe(folder: &Path) -> PathBuf {
        let image = folder.join("probe.elf");
        fs::write(&image, crate::run::kvm::probe_image()).expect("written");
        image
    }

    #[test]
    fn a_process_has_the_options_as_its_defaults() {
        let program = PathBuf::from("/bin/true");
        let variables = [
            ("A".into(), "x y".into()),
            ("SOIL_NET".into(), "user".into()),
        ];
        let contents = Contents {
            program: &program,
            arguments: &["a b".into()],
            variables: &variables,
            disk: None,
        };
        let [manifest, config] = Written::of(Engine::Process, &contents).documents();
        assert_eq!(manifest.get("annotations"), None);
        let found = &config["config"];
        assert_eq!(found["Cmd"], serde_json::json!(["a b"]));
        assert_eq!(found["User"], "65532:65532");
        let variables = serde_json::json!(["PATH=/bin", "A=x y", "SOIL_NET=user"]);
        assert_eq!(found["Env"], variables);
        assert_eq!(found["Entrypoint"], serde_json::json!(["/bin/true"]));
    }

    #[test]
    fn urunc_gets_its_values_in_base64() {
        let folder = tempfile::tempdir().expect("a folder");
        let contents = Contents {
            program: &probe(folder.path()),
            arguments: &["-v".into(), "a b".into()],
            variables: &[],
            disk: None,
        };
        let [manifest, config] = Written::of(Engine::Urunc, &contents).documents();
        assert_eq!(config["config"]["Labels"], manifest["annotations"]);
        let value = |name: &str| {
            let value = &manifest["annotations"][format!("com.urunc.unikernel.{name}")];
            let bytes = BASE64_STANDARD.decode(value.as_str().expect("text"));
            String::from_utf8(bytes.expect("base64")).expect("UTF-8")
        };
        assert_eq!(value("unikernelType"), "linux");
        assert_eq!(value("binary"), "/unikernel/image.elf");
        assert_eq!(value("initrd"), "/unikernel/initrd.cpio");
        assert_eq!((NO_FILES.len(), NO_FILES.find("TRAILER")), (124, Some(110)));
        assert_eq!(value("cmdline"), "/unikernel/image.elf -v 'a b'");
        let entry = serde_json::json!(["/unikernel/image.elf"]);
        assert_eq!(config["config"]["Entrypoint"], entry);
    }

    #[test]
    fn a_wrong_form_or_word_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, output) = (probe(folder.path()), folder.path().join("image"));
        let program = PathBuf::from("/bin/true");
        let word = [std::os::unix::ffi::OsStringExt::from_vec(vec![0xff])];
        let none: [OsString; 0] = [];
        for (engine, program, arguments, reason) in [
            (Engine::Process, &image, &none[..], "an image is no process"),
            (
                Engine::Urunc,
                &program,
                &none[..],
                "a process is no machine",
            ),
            (Engine::Process, &program, &word[..], "isn't UTF-8"),
        ] {
            let contents = Contents {
                program,
                arguments,
                variables: &[],
                disk: None,
            };
            let error = write(engine, &contents, &output, false).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
            let left = fs::read_dir(folder.path()).expect("a folder").count();
            assert_eq!(left, 1, "the probe only");
        }
    }
}
