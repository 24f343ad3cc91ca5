//! Tests: what rust-vmm's crates write, of which Firecracker and Cloud Hypervisor are made, is read
//! as it was meant. Addresses are those of Firecracker's src/vmm/src/arch/x86_64/layout.rs.

use firmware::acpi::find_root;
use firmware::command_line::{CommandLine, MmioDevice};
use firmware::memory::{MemoryMap as _, Physical, Region};
use firmware::pvh::Info;
use linux_loader::configurator::pvh::PvhBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::elf::start_info::{
    hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use linux_loader::loader::{Cmdline, load_cmdline};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const MIB: u64 = 1 << 20;
const MEMORY: u64 = 128 * MIB;
const RAM: u32 = 1;
const RESERVED: u32 = 2;

struct Guest(GuestMemoryMmap);

// SAFETY: the tests write nothing while a slice lives.
impl Physical for Guest {
    fn read(&self, address: u64, len: usize) -> Option<&[u8]> {
        let slice = self.0.get_slice(GuestAddress(address), len).ok()?;
        // SAFETY: the memory lives as long as `self`, in one piece of this length.
        Some(unsafe { core::slice::from_raw_parts(slice.ptr_guard().as_ptr(), len) })
    }
}

/// A guest with this memory map and command line, as the monitors make it.
fn guest(map: &[(u64, u64, u32)], line: &Cmdline, rsdp: u64) -> Guest {
    let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap();
    let map = map
        .iter()
        .map(|&(addr, size, type_)| hvm_memmap_table_entry {
            addr,
            size,
            type_,
            reserved: 0,
        });
    let map: Vec<_> = map.collect();
    let info = hvm_start_info {
        magic: 0x336e_c578,
        version: 1,
        cmdline_paddr: 0x2_0000,
        memmap_paddr: 0x7000,
        memmap_entries: map.len() as u32,
        nr_modules: 1,
        modlist_paddr: 0x6040,
        rsdp_paddr: rsdp,
        ..hvm_start_info::default()
    };
    let module = hvm_modlist_entry {
        paddr: 64 * MIB,
        size: MIB,
        ..hvm_modlist_entry::default()
    };
    let mut params = BootParams::new(&info, GuestAddress(0x6000));
    params.set_sections(&map, GuestAddress(0x7000));
    params.set_modules(&[module], GuestAddress(0x6040));
    PvhBootConfigurator::write_bootparams(&params, &memory).unwrap();
    load_cmdline(&memory, GuestAddress(0x2_0000), line).unwrap();
    Guest(memory)
}

#[test]
fn a_start_info_of_firecracker_is_read() {
    let mut line = Cmdline::try_from("console=ttyS0 reboot=k A=1 -- one two", 2048).unwrap();
    let place = GuestAddress(0xc000_1000);
    line.add_virtio_mmio_device(4096, place, 5, None).unwrap();
    line.add_virtio_mmio_device(1 << 20, place, 6, Some(3))
        .unwrap();
    let map = [
        (0, 0x9_fc00, RAM),
        (0x9_fc00, 0x4_0400, RESERVED),
        (0xeec0_0000, 256 * MIB, RESERVED),
        (MIB, MEMORY - MIB, RAM),
    ];
    let guest = guest(&map, &line, 0);
    let mut rsdp = *b"RSD PTR \0FIRECK\0\0\0\0\0";
    rsdp[8] = rsdp.iter().fold(0, |sum: u8, byte| sum.wrapping_sub(*byte));
    guest.0.write_slice(&rsdp, GuestAddress(0xe_0000)).unwrap();

    let info = Info::parse(&guest, 0x6000).unwrap();
    assert_eq!((info.rsdp, find_root(&guest)), (0, Some(0xe_0000)));
    let usable: Vec<_> = info.usable(&guest).collect();
    let region = |start, end| Region { start, end };
    assert_eq!(usable, [region(0, 0x9_fc00), region(MIB, MEMORY)]);
    let read = CommandLine::parse(info.command_line(&guest));
    assert_eq!(read.arguments, [b"one", b"two"]);
    assert_eq!(
        (read.variable(b"A"), read.unknown.len()),
        (Some(&b"1"[..]), 0)
    );
    let device = |size, irq| MmioDevice {
        address: 0xc000_1000,
        size,
        irq,
    };
    assert_eq!(read.mmio_devices, [device(4096, 5), device(1 << 20, 6)]);
}

#[test]
fn a_start_info_of_cloud_hypervisor_is_read() {
    let line = Cmdline::try_from("console=hvc0 root=/dev/vda1 rw", 0x1_0000).unwrap();
    let map = [(0, 0xa_0000, RAM), (MIB, MEMORY - MIB, RAM)];
    let guest = guest(&map, &line, 0xa_0000);
    let info = Info::parse(&guest, 0x6000).unwrap();
    assert_eq!((info.rsdp, info.usable(&guest).count()), (0xa_0000, 2));
    let read = CommandLine::parse(info.command_line(&guest));
    assert_eq!((read.environment.len(), read.unknown.len()), (2, 0));
}
