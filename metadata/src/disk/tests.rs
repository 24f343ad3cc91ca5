use super::read;
use crate::iso9660::tests::{Style, build};
use crate::{Error, Instance, Source};
use fs::Block;
use fs::fake::Disk;

const META: &[u8] = b"instance-id: iid-local01\nlocal-hostname: cloudimg\n";
const USER: &[u8] = b"#cloud-config\nsoil: {arguments: [a]}\n";
const NETWORK: &[u8] =
    b"version: 2\nethernets: {eth0: {addresses: [10.0.0.2/24], gateway4: 10.0.0.1}}\n";

fn instance_of(bytes: Vec<u8>) -> Result<Option<Instance>, Error> {
    let disk = Disk::new(bytes, 512);
    let found = read(&mut || Box::new(disk.clone()) as Box<dyn Block + Send>);
    assert_eq!(disk.state().writes, 0, "nothing is written");
    found
}

fn iso(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    build(Style::Joliet, label, files)
}

#[test]
fn nocloud_on_a_disk() {
    for label in ["cidata", "CIDATA"] {
        let files = [
            ("meta-data", META),
            ("user-data", USER),
            ("network-config", NETWORK),
        ];
        let instance = instance_of(iso(label, &files)).unwrap().unwrap();
        assert_eq!(instance.source, Source::NoCloud);
        assert_eq!(
            (&*instance.id, &*instance.host_name),
            ("iid-local01", "cloudimg")
        );
        assert_eq!(instance.program.arguments, ["a"]);
        assert_eq!(instance.network.interfaces.len(), 1);
        assert!(instance.ignored.is_empty());
    }
}

#[test]
fn nocloud_in_a_partition() {
    let inner = iso("cidata", &[("meta-data", META)]);
    let sectors = (inner.len() / 512) as u32;
    let mut bytes = vec![0; 64 * 512];
    bytes[446 + 4] = 0x0c;
    bytes[446 + 8..446 + 12].copy_from_slice(&64u32.to_le_bytes());
    bytes[446 + 12..446 + 16].copy_from_slice(&sectors.to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes.extend(inner);
    assert_eq!(instance_of(bytes).unwrap().unwrap().id, "iid-local01");
}

/// A GPT's entry: a partition of this name.
fn gpt(partitions: &[(&str, u64, u64)], sectors: u64) -> Vec<u8> {
    let mut bytes = vec![0; sectors as usize * 512];
    bytes[446 + 4] = 0xee;
    bytes[446 + 8..446 + 12].copy_from_slice(&1u32.to_le_bytes());
    bytes[446 + 12..446 + 16].copy_from_slice(&(sectors as u32 - 1).to_le_bytes());
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut entries = vec![0; 128 * 128];
    for (number, (name, first, last)) in partitions.iter().enumerate() {
        let entry = &mut entries[number * 128..][..128];
        entry[..16].fill(1);
        entry[16..32].fill(number as u8 + 1);
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (at, unit) in name.encode_utf16().enumerate() {
            entry[56 + 2 * at..58 + 2 * at].copy_from_slice(&unit.to_le_bytes());
        }
    }
    let crc = crc(&entries);
    for (own, other, at) in [(1, sectors - 1, 2), (sectors - 1, 1, sectors - 33)] {
        let mut header = [0; 92];
        header[..8].copy_from_slice(b"EFI PART");
        header[8..12].copy_from_slice(&0x10000u32.to_le_bytes());
        header[12..16].copy_from_slice(&92u32.to_le_bytes());
        for (place, value) in [
            (24, own),
            (32, other),
            (40, 34),
            (48, sectors - 34),
            (72, at),
        ] {
            header[place..place + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        header[56..72].fill(9);
        header[80..84].copy_from_slice(&128u32.to_le_bytes());
        header[84..88].copy_from_slice(&128u32.to_le_bytes());
        header[88..92].copy_from_slice(&crc.to_le_bytes());
        let own_crc = self::crc(&header);
        header[16..20].copy_from_slice(&own_crc.to_le_bytes());
        bytes[own as usize * 512..][..92].copy_from_slice(&header);
        bytes[at as usize * 512..][..entries.len()].copy_from_slice(&entries);
    }
    bytes
}

/// CRC-32, as GPT has it (UEFI 2.10, 5.3.2).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

/// What is written to its data partition, or behind its table, would configure the program.
#[test]
fn a_disk_with_the_program_has_none() {
    let inner = iso("cidata", &[("meta-data", META)]);
    let sectors = inner.len() as u64 / 512;
    for (boot, is_found) in [("soil-boot", false), ("boot", true)] {
        let partitions = [(boot, 40, 127), ("data", 128, 127 + sectors)];
        let mut bytes = gpt(&partitions, 200 + sectors);
        bytes[128 * 512..][..inner.len()].copy_from_slice(&inner);
        let found = instance_of(bytes).unwrap();
        assert_eq!(found.is_some(), is_found, "{boot}: in a partition");
        // The volume descriptors of the whole disk lie behind the table.
        let mut bytes = gpt(&[(boot, 40, 127 + sectors)], 200 + sectors);
        bytes[64 * 512..inner.len()].copy_from_slice(&inner[64 * 512..]);
        let found = instance_of(bytes).unwrap();
        assert_eq!(found.is_some(), is_found, "{boot}: on the whole disk");
    }
}

#[test]
fn the_documents_are_optional_but_for_the_metadata() {
    let instance = instance_of(iso("cidata", &[("meta-data", b"")]))
        .unwrap()
        .unwrap();
    assert_eq!((&*instance.id, &*instance.host_name), ("", ""));
    let missing = instance_of(iso("cidata", &[("user-data", USER)])).unwrap_err();
    assert_eq!(
        missing.to_string(),
        "the disk labelled cidata: there is no file meta-data"
    );
    let broken = instance_of(iso("cidata", &[("meta-data", b"a: [")])).unwrap_err();
    assert_eq!(
        broken.to_string(),
        "the disk labelled cidata: meta-data: line 1: a ] is missing"
    );
    // A wrong network configuration leaves the rest.
    let files: [(&str, &[u8]); 2] = [("meta-data", META), ("network-config", b"version: 9")];
    let instance = instance_of(iso("cidata", &files)).unwrap().unwrap();
    assert_eq!(
        instance.ignored,
        ["the network configuration: version 9 is not supported; give 1 or 2"]
    );
}

/// The example of cloud-init's page on NoCloud.
#[test]
fn keys_for_linux_are_ignored_and_named() {
    let metadata = b"\
instance-id: iid-abcdefg
network-interfaces: |
  iface eth0 inet static
  address 192.168.1.10
  network 192.168.1.0
  netmask 255.255.255.0
  broadcast 192.168.1.255
  gateway 192.168.1.254
hostname: myhost
";
    let instance = instance_of(iso("cidata", &[("meta-data", metadata)]))
        .unwrap()
        .unwrap();
    assert_eq!(
        (&*instance.id, &*instance.host_name),
        ("iid-abcdefg", "myhost")
    );
    assert_eq!(instance.ignored, ["keys of meta-data: network-interfaces"]);
}

/// Proxmox VE's disks have an empty one.
#[test]
fn vendor_data_are_ignored_and_named() {
    let ignored = |vendor: &[u8]| {
        let files = [("meta-data", META), ("vendor-data", vendor)];
        instance_of(iso("cidata", &files)).unwrap().unwrap().ignored
    };
    let vendor = b"#cloud-config\nsoil: {arguments: [a]}\n";
    assert_eq!(ignored(vendor), ["the file vendor-data"]);
    assert_eq!(ignored(&[b'a'; 300_000]), ["the file vendor-data"]);
    assert_eq!(ignored(b"\n"), [""; 0]);
}

/// The boot sector has a label, as mtools writes it, and nothing else.
#[test]
fn a_damaged_fat_is_an_error() {
    let mut bytes = vec![0; 1 << 20];
    bytes[22] = 12;
    bytes[38] = 0x29;
    bytes[43..54].copy_from_slice(b"CIDATA     ");
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let damaged = instance_of(bytes.clone()).unwrap_err().to_string();
    assert!(
        damaged.starts_with("the disk labelled cidata: "),
        "{damaged}"
    );
}

#[test]
fn other_disks_have_none() {
    assert_eq!(instance_of(Vec::new()), Ok(None));
    assert_eq!(instance_of(vec![0; 1 << 20]), Ok(None));
    assert_eq!(instance_of(iso("debian", &[("meta-data", META)])), Ok(None));
}

#[test]
fn a_disk_that_cannot_be_read_has_none() {
    let disk = Disk::new(iso("cidata", &[("meta-data", META)]), 512);
    disk.state().gone = true;
    assert_eq!(
        read(&mut || Box::new(disk.clone()) as Box<dyn Block + Send>),
        Ok(None)
    );
}
