use super::{Fdt, Line, size};
use proptest::collection::vec;
use proptest::prelude::{any, prop, prop_assert, proptest};

/// Writes a tree, as loaders do.
pub struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
    reservations: Vec<[u64; 2]>,
}

impl Builder {
    pub fn new() -> Self {
        Self {
            structure: Vec::new(),
            strings: Vec::new(),
            reservations: Vec::new(),
        }
    }

    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn align(&mut self) {
        while !self.structure.len().is_multiple_of(4) {
            self.structure.push(0);
        }
    }

    pub fn reserve(mut self, address: u64, len: u64) -> Self {
        self.reservations.push([address, len]);
        self
    }

    pub fn begin(mut self, name: &str) -> Self {
        self.word(1);
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.align();
        self
    }

    pub fn end(mut self) -> Self {
        self.word(2);
        self
    }

    pub fn bytes(mut self, name: &str, value: &[u8]) -> Self {
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        for word in [3, value.len() as u32, at] {
            self.word(word);
        }
        self.structure.extend(value);
        self.align();
        self
    }

    pub fn text(self, name: &str, value: &str) -> Self {
        self.bytes(name, format!("{value}\0").as_bytes())
    }

    pub fn words(self, name: &str, value: &[u32]) -> Self {
        let bytes: Vec<u8> = value.iter().flat_map(|word| word.to_be_bytes()).collect();
        self.bytes(name, &bytes)
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let reservations = self.reservations.iter().flatten();
        let mut reservations: Vec<u8> = reservations.flat_map(|half| half.to_be_bytes()).collect();
        reservations.extend([0; 16]);
        let structure = 40 + reservations.len();
        let strings = structure + self.structure.len();
        let total = strings + self.strings.len();
        let words = [
            0xd00d_feed,
            total,
            structure,
            strings,
            40,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let header = words.iter().flat_map(|word| (*word as u32).to_be_bytes());
        let parts = [reservations, self.structure, self.strings];
        header.chain(parts.into_iter().flatten()).collect()
    }
}

/// A tree like that of QEMU's `virt`.
pub fn virt() -> Vec<u8> {
    let root = Builder::new()
        .reserve(0x4800_0000, 0x1000)
        .begin("")
        .text("compatible", "linux,dummy-virt")
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .begin("reserved-memory")
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .begin("secret@47000000")
        .words("reg", &[0, 0x4700_0000, 0, 0x2000])
        .end()
        .end()
        .begin("memory@40000000")
        .text("device_type", "memory")
        .words("reg", &[0, 0x4000_0000, 0, 0x800_0000, 8, 0, 1, 0])
        .end()
        .begin("chosen")
        .text("bootargs", "A=1 -- x")
        .text("stdout-path", "/pl011@9000000")
        .end()
        .begin("intc@8000000")
        .words("phandle", &[0x8005])
        .words("#address-cells", &[2])
        .words("#size-cells", &[2])
        .bytes("compatible", b"arm,cortex-a15-gic\0arm,gic\0")
        .words(
            "reg",
            &[0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000],
        )
        .begin("v2m@8020000")
        .text("compatible", "arm,gic-v2m-frame")
        .words("reg", &[0, 0x802_0000, 0, 0x1000])
        .end()
        .end();
    root.begin("pl011@9000000")
        .bytes("compatible", b"arm,pl011\0arm,primecell\0")
        .words("reg", &[0, 0x900_0000, 0, 0x1000])
        .words("interrupts", &[0, 1, 4])
        .end()
        .begin("pl011@9040000")
        .text("status", "disabled")
        .text("compatible", "arm,pl011")
        .end()
        .begin("virtio_mmio@a000200")
        .text("compatible", "virtio,mmio")
        .words("reg", &[0, 0xa00_0200, 0, 0x200])
        .words("interrupts", &[0, 0x11, 1])
        .end()
        .end()
        .finish()
}

#[test]
fn reads_what_a_loader_wrote() {
    let bytes = virt();
    assert_eq!(size(&bytes), Some(bytes.len()));
    let tree = Fdt::parse(&bytes).unwrap();
    assert_eq!(tree.used(), bytes.len());
    let child = |name: &str| {
        let is_it = |node: &super::Node<'_>| node.base_name() == name.as_bytes();
        tree.nodes().find(is_it).unwrap()
    };
    let chosen = child("chosen");
    assert_eq!(chosen.string("bootargs"), Some(&b"A=1 -- x"[..]));
    let memory = child("memory");
    let expected = [(0x4000_0000, 0x800_0000), (8 << 32, 1 << 32)];
    assert_eq!(memory.registers().collect::<Vec<_>>(), expected);
    let uart = tree.compatible(&["arm,pl011"]).unwrap();
    assert_eq!(uart.base_name(), b"pl011");
    let line = Line {
        number: 33,
        edge: false,
    };
    assert_eq!(uart.interrupt(0), Some(line));
    assert_eq!(uart.interrupt(1), None);
    let mmio = tree.compatible(&["virtio,mmio"]).unwrap();
    let line = Line {
        number: 49,
        edge: true,
    };
    assert_eq!(mmio.interrupt(0), Some(line));
    let frame = tree.compatible(&["arm,gic-v2m-frame"]).unwrap();
    assert_eq!(
        (frame.depth(), frame.registers().next()),
        (2, Some((0x802_0000, 0x1000)))
    );
    assert_eq!(tree.phandle(0x8005).unwrap().base_name(), b"intc");
}

#[test]
fn reserved_memory_is_of_both_kinds() {
    let bytes = virt();
    let reserved: Vec<_> = Fdt::parse(&bytes).unwrap().reserved().collect();
    assert_eq!(reserved, [(0x4800_0000, 0x1000), (0x4700_0000, 0x2000)]);
}

#[test]
fn processors_are_listed() {
    for words in [1, 2] {
        let mut builder = Builder::new().begin("").begin("cpus");
        builder = builder
            .words("#address-cells", &[words])
            .words("#size-cells", &[0]);
        for (number, status) in [(0, "okay"), (1, "okay"), (0x100, "fail"), (0x101, "okay")] {
            let reg = [0, 0x8000_0000 | number];
            builder = builder
                .begin("cpu")
                .text("device_type", "cpu")
                .text("status", status)
                .words("reg", &reg[2 - words as usize..])
                .end();
        }
        let bytes = builder.begin("cpu-map").end().end().end().finish();
        let found: Vec<_> = Fdt::parse(&bytes).unwrap().processors().collect();
        assert_eq!(found, [0, 1, 0x101]);
    }
}

#[test]
fn a_disabled_node_is_absent() {
    let bytes = virt();
    let tree = Fdt::parse(&bytes).unwrap();
    let enabled = tree
        .nodes()
        .filter(|node| node.is_compatible("arm,pl011") && node.is_enabled());
    assert_eq!(enabled.count(), 1);
}

/// The parts of a tree may come in any order, and room for more may follow.
#[test]
fn the_list_of_reservations_may_be_the_last_part() {
    let mut bytes = virt();
    let list = bytes.len() as u32;
    let entries = [0x4900_0000u64, 0x1000, 0, 0];
    bytes.extend(entries.iter().flat_map(|half| half.to_be_bytes()));
    bytes[16..20].copy_from_slice(&list.to_be_bytes());
    let used = bytes.len();
    bytes.extend([0; 100]);
    let total = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&total.to_be_bytes());
    let tree = Fdt::parse(&bytes).unwrap();
    assert_eq!(tree.used(), used);
    assert!(tree.reserved_entries().eq([(0x4900_0000, 0x1000)]));
}

#[test]
fn refuses_another_structure() {
    let mut bytes = virt();
    bytes[0] ^= 1;
    assert!(Fdt::parse(&bytes).is_none());
    assert!(Fdt::parse(&[]).is_none());
    let bytes = virt();
    assert!(Fdt::parse(&bytes[..bytes.len() - 1]).is_none());
}

#[test]
fn deep_trees_are_cut() {
    let mut builder = Builder::new();
    for _ in 0..40 {
        builder = builder.begin("node");
    }
    for _ in 0..40 {
        builder = builder.end();
    }
    let bytes = builder.finish();
    assert_eq!(Fdt::parse(&bytes).unwrap().nodes().count(), 16);
}

/// Calls everything that reads the tree.
fn read_all(bytes: &[u8]) -> usize {
    let Some(tree) = Fdt::parse(bytes) else {
        return 0;
    };
    let mut count = tree.reserved().count();
    for node in tree.nodes() {
        count += node.registers().count() + node.depth() + node.base_name().len();
        for name in ["reg", "interrupts", "compatible", "bootargs", "phandle"] {
            count += node.property(name).map_or(0, <[u8]>::len);
            count += node.string(name).map_or(0, <[u8]>::len);
            count += node.number(name).map_or(0, |number| number as usize & 1);
        }
        for index in 0..3 {
            count += usize::from(node.interrupt(index).is_some());
        }
        count += usize::from(node.is_enabled());
    }
    count + usize::from(tree.phandle(7).is_some())
}

proptest! {
    #[test]
    fn survives_changed_bytes(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = virt();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert!(read_all(&bytes) < 1 << 32);
    }

    #[test]
    fn survives_any_structure(words in vec(0u32..12, 0..200)) {
        let mut bytes = Builder::new().begin("").finish();
        let strings = bytes.len();
        bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        let total = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&total.to_be_bytes());
        bytes[8..12].copy_from_slice(&(strings as u32).to_be_bytes());
        bytes[36..40].copy_from_slice(&(total - strings as u32).to_be_bytes());
        prop_assert!(read_all(&bytes) < 1 << 32);
    }
}
