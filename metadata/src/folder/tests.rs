//! Labels are compared with libblkid's, on images that several tools make.

use super::Folder;
use fs::Block;
use fs::fake::Disk;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder for images, which is removed.
struct Images(PathBuf);

impl Drop for Images {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The path of a tool; `None`, with a line, where it isn't installed.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("left out: {name} isn't installed (tools/setup/setup.sh)");
    }
    found
}

fn run(program: &Path, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?} {args:?}: {text}");
}

/// libblkid's label: `LABEL`, otherwise `LABEL_FATBOOT`.
fn of_blkid(blkid: &Path, image: &Path) -> Option<String> {
    let args = ["-p", "-o", "udev"].map(AsRef::<std::ffi::OsStr>::as_ref);
    let output = Command::new(blkid).args(args).arg(image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let field = |name: &str| {
        let mut lines = text.lines();
        let encoded = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        // `\x20` stands for a byte that the rules of udev don't take.
        let mut parts = encoded.split("\\x");
        let mut bytes = parts.next()?.as_bytes().to_vec();
        for part in parts {
            bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
            bytes.extend_from_slice(part.get(2..)?.as_bytes());
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    field("ID_FS_LABEL_ENC").or_else(|| field("ID_FS_LABEL_FATBOOT_ENC"))
}

fn of_soil(bytes: Vec<u8>) -> Option<String> {
    let disk = Disk::new(bytes, 512);
    let mut open = || Box::new(disk.clone()) as Box<dyn Block + Send>;
    let found = Folder::open(&mut open, |label| {
        (!label.is_empty()).then(|| String::from(label))
    });
    assert_eq!(disk.state().writes, 0);
    found.map(|(_, label)| label)
}

const FAT_LABELS: [&str; 7] = [
    "CIDATA",
    "cidata",
    "CONFIG-2",
    "A B",
    "NO NAME",
    "X",
    "ELEVEN CHAR",
];

/// File systems of dosfstools and mtools.
fn fat_images(folder: &Path) {
    let path = |name: String| folder.join(name).to_str().unwrap().to_owned();
    if let Some(mkfs) = tool("mkfs.fat") {
        for (bits, kib, more_kib) in [("12", 1000, 2000), ("16", 4000, 16_000), ("32", 2000, 8000)]
        {
            for (n, label) in FAT_LABELS.iter().enumerate() {
                let image = path(format!("mkfs-{bits}-{n}.fat"));
                let kib = kib.to_string();
                run(
                    &mkfs,
                    &["-F", bits, "-s", "1", "-n", label, "-C", &image, &kib],
                );
            }
            for (n, more) in [["-f", "1"], ["-R", "40"], ["-S", "2048"]]
                .iter()
                .enumerate()
            {
                let image = path(format!("more-{bits}-{n}.fat"));
                let kib = more_kib.to_string();
                let [option, value] = *more;
                let args = ["-F", bits, "-s", "1", option, value, "-n", "cidata"];
                run(&mkfs, &[&args[..], &["-C", &image, &kib]].concat());
            }
            let unlabelled = path(format!("none-{bits}.fat"));
            run(
                &mkfs,
                &["-F", bits, "-s", "1", "-C", &unlabelled, &kib.to_string()],
            );
        }
    }
    let (Some(mformat), Some(mlabel)) = (tool("mformat"), tool("mlabel")) else {
        return;
    };
    for (n, label) in FAT_LABELS.iter().enumerate() {
        for (size, extra) in [("2880", ""), ("9000", ""), ("70000", "-F")] {
            // mtools' FAT32 has at least 33 MiB.
            if n > 1 && !extra.is_empty() {
                continue;
            }
            let image = path(format!("mtools-{size}-{n}.fat"));
            let mut args = vec![
                "-C", "-i", &image, "-T", size, "-h", "2", "-s", "18", "-v", label,
            ];
            args.extend((!extra.is_empty()).then_some(extra));
            args.push("::");
            run(&mformat, &args);
            let renamed = path(format!("mlabel-{size}-{n}.fat"));
            std::fs::copy(&image, &renamed).unwrap();
            let new = format!("::{}", FAT_LABELS[(n + 1) % FAT_LABELS.len()]);
            run(&mlabel, &["-i", &renamed, &new]);
            let cleared = path(format!("mclear-{size}-{n}.fat"));
            std::fs::copy(&image, &cleared).unwrap();
            run(&mlabel, &["-c", "-i", &cleared, "::"]);
        }
    }
}

/// File systems of genisoimage and xorriso, with each kind of names.
fn iso_images(folder: &Path) {
    let files = folder.join("files");
    std::fs::create_dir(&files).unwrap();
    for name in ["meta-data", "user-data", "network-config"] {
        std::fs::write(files.join(name), name).unwrap();
    }
    let files = files.to_str().unwrap();
    let labels = [
        "cidata",
        "CIDATA",
        "config-2",
        "two words",
        "a_b",
        "sixteen letters!",
        "as long as is possible, 32 chars",
    ];
    let kinds: [&[&str]; 7] = [
        &[],
        &["-J"],
        &["-R"],
        &["-J", "-R"],
        &["-iso-level", "4"],
        &["-iso-level", "4", "-J"],
        &["-iso-level", "3", "-J", "-R"],
    ];
    let makers = [
        ("genisoimage", vec!["-quiet"]),
        ("xorriso", vec!["-as", "mkisofs", "-quiet"]),
    ];
    for (name, first) in makers {
        let Some(program) = tool(name) else { continue };
        for (n, label) in labels.iter().enumerate() {
            for (m, kind) in kinds.iter().enumerate() {
                let image = folder.join(format!("{name}-{n}-{m}.iso"));
                let last = ["-V", label, "-o", image.to_str().unwrap(), files];
                run(&program, &[&first[..], kind, &last].concat());
            }
        }
    }
}

/// What other writers make of an image: labels padded with NUL, or in one place only.
fn variants(name: &str, bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut change = |what, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        all.push((what, bytes));
    };
    if name.ends_with(".iso") {
        let pad = |bytes: &mut Vec<u8>| {
            let label = &mut bytes[32_768 + 40..32_768 + 72];
            for byte in label.iter_mut().rev().take_while(|byte| **byte == b' ') {
                *byte = 0;
            }
        };
        change("padded with NUL", &pad);
        return all;
    }
    let place = if bytes[22..24] == [0, 0] { 71 } else { 43 };
    change("no label in the boot sector", &|bytes| {
        bytes[place..place + 11].copy_from_slice(b"NO NAME    ");
    });
    change("another in the boot sector", &|bytes| {
        bytes[place..place + 11].copy_from_slice(b"OTHER      ");
    });
    all
}

#[test]
fn labels_are_those_of_libblkid() {
    let Some(blkid) = tool("blkid") else { return };
    let folder = std::env::temp_dir().join(format!("soil-labels-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let folder = Images(folder);
    fat_images(&folder.0);
    iso_images(&folder.0);
    let scratch = folder.0.join("variant");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(of_soil(bytes.clone()), of_blkid(&blkid, &path), "{name}");
        count += 1;
        for (what, bytes) in variants(&name, &bytes) {
            std::fs::write(&scratch, &bytes).unwrap();
            let expected = of_blkid(&blkid, &scratch);
            assert_eq!(of_soil(bytes), expected, "{name}: {what}");
            count += 1;
        }
        std::fs::remove_file(&path).unwrap();
    }
    eprintln!("{count} images");
}

/// A config drive on FAT, as providers with VMware's and Hyper-V's machines make them.
#[test]
fn a_config_drive_on_fat() {
    let Some(mkfs) = tool("mkfs.fat") else { return };
    let folder = std::env::temp_dir().join(format!("soil-drive-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let folder = Images(folder);
    let image = folder.0.join("drive.img");
    run(
        &mkfs,
        &["-n", "config-2", "-C", image.to_str().unwrap(), "2000"],
    );
    let drive = |more: &str, vendor: &str| {
        let disk = Disk::new(std::fs::read(&image).unwrap(), 512);
        let mut volume =
            fs::fat::mount(Box::new(disk.clone()), fs::VolumeOptions::default()).unwrap();
        volume.mkdir("openstack").unwrap();
        volume.mkdir("openstack/latest").unwrap();
        let metadata = format!("{{\"uuid\": \"i-1\", \"hostname\": \"web-1\"{more}}}");
        for (name, contents) in [
            ("meta_data.json", &*metadata),
            ("user_data", "#cloud-config\nsoil: {arguments: [a]}\n"),
            ("vendor_data.json", vendor),
        ] {
            let flags = fs::OpenFlags::WRITE | fs::OpenFlags::CREATE;
            let file = volume
                .open(&format!("openstack/latest/{name}"), flags)
                .unwrap();
            volume.write_at(file, 0, contents.as_bytes()).unwrap();
            volume.close(file).unwrap();
        }
        volume.sync().unwrap();
        let found = crate::disk::read(&mut || Box::new(disk.clone()) as Box<dyn Block + Send>);
        let instance = found.unwrap().unwrap();
        assert_eq!((&*instance.id, &*instance.host_name), ("i-1", "web-1"));
        assert_eq!(instance.program.arguments, ["a"]);
        instance.ignored
    };
    assert_eq!(drive("", "{}\n"), [""; 0]);
    assert_eq!(drive(", \"random_seed\": \"x\"", ""), [""; 0]);
    let files = ", \"files\": [{\"path\": \"/a\"}], \"network_config\": {\"content_path\": \"/b\"}";
    assert_eq!(
        drive(files, "{\"cloud-init\": \"#cloud-config\"}"),
        [
            "files of meta_data.json",
            "network_config of meta_data.json",
            "the file vendor_data.json",
        ]
    );
}
