use super::{Fdt, HEADER, Line, Node, Token, Writer, size};
use crate::fake::{Builder, shown, virt};
use proptest::collection::vec;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

#[test]
fn reads_what_a_loader_wrote() {
    let bytes = virt();
    assert_eq!(size(&bytes), Some(bytes.len()));
    let tree = Fdt::parse(&bytes).unwrap();
    assert_eq!(tree.used(), bytes.len());
    let child = |name: &str| {
        let is_it = |node: &Node<'_>| node.base_name() == name.as_bytes();
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

fn written(room: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0xff; room];
    let mut tree = Writer::new(&mut buffer, b"");
    tree.begin(b"");
    tree.words("#address-cells", &[2]);
    tree.path("first", "serial", 0x900_0000);
    tree.begin_at("serial", 0x900_0000);
    tree.text("compatible", &["arm,pl011", "arm,primecell"]);
    tree.numbers("reg", &[0x900_0000, 0x1000]);
    tree.cells("interrupts", |tree| {
        tree.cell(0);
        tree.number(1, 1);
        tree.number(4, 2);
    });
    tree.text("dma-coherent", &[]);
    tree.end();
    tree.begin_at("serial", 0);
    tree.parts("compatible", &[b"a", b"b\0"]);
    tree.end();
    tree.end();
    let len = tree.finish()?;
    buffer.truncate(len);
    Some(buffer)
}

#[test]
fn what_is_written_is_read() {
    let bytes = written(4096).unwrap();
    assert_eq!(size(&bytes[..HEADER]), Some(bytes.len()));
    let expected = "/
/#address-cells = <2>
/first = /serial@9000000|
/serial@9000000/
/serial@9000000/compatible = arm,pl011|arm,primecell|
/serial@9000000/reg = <0 9000000 0 1000>
/serial@9000000/interrupts = <0 1 0 4>
/serial@9000000/dma-coherent = <>
/serial@0/
/serial@0/compatible = ab|
";
    assert_eq!(shown(&bytes), expected);
    // Each name is in the strings once.
    let names = bytes
        .windows(11)
        .filter(|window| *window == b"compatible\0");
    assert_eq!(names.count(), 1);
}

#[test]
fn what_does_not_fit_is_none() {
    let len = written(4096).unwrap().len();
    for room in 0..len {
        assert_eq!(written(room), None, "{room}");
    }
    assert!(written(len).is_some());
    // More names than there is room for.
    let mut buffer = vec![0; 1 << 16];
    let mut tree = Writer::new(&mut buffer, b"");
    tree.begin(b"");
    for number in 0..200 {
        tree.words(&format!("name-{number}"), &[]);
    }
    tree.end();
    assert_eq!(tree.finish(), None);
}

#[test]
fn a_header_is_checked() {
    let good = written(4096).unwrap();
    let with = |at: usize, word: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
        Fdt::parse(&bytes).is_some()
    };
    assert!(with(20, 16) && with(20, 17) && with(24, 1));
    let len = good.len() as u32;
    for (at, word) in [
        (0, 0xd00d_feee),
        (4, 39),
        (8, len + 1),
        (8, u32::MAX),
        (12, u32::MAX),
        (20, 15),
        (24, 17),
        (32, u32::MAX),
        (36, u32::MAX),
    ] {
        assert!(!with(at, word), "{at} {word:#x}");
    }
    for len in 0..good.len() {
        assert!(Fdt::parse(&good[..len]).is_none());
    }
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

    /// Tokens of a damaged tree end, and lie in it.
    #[test]
    fn damaged_trees_end(changes in vec((0usize..400, any::<u8>()), 1..20)) {
        let mut bytes = written(4096).unwrap();
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at % len] = byte;
        }
        if let Some(tree) = Fdt::parse(&bytes) {
            prop_assert!(tree.tokens().count() <= len / 4);
        }
    }

    #[test]
    fn any_property_is_kept(
        names in vec("[a-z#,-]{1,12}", 1..20),
        values in vec(vec(any::<u8>(), 0..40), 20),
    ) {
        let mut buffer = vec![0; 1 << 13];
        let mut tree = Writer::new(&mut buffer, b"given\0");
        tree.begin(b"");
        for (name, value) in names.iter().zip(&values) {
            tree.parts(name, &[value]);
        }
        tree.property_at(0, b"x");
        tree.end();
        let len = tree.finish().unwrap();
        let tree = Fdt::parse(&buffer[..len]).unwrap();
        let found: Vec<_> = tree
            .tokens()
            .filter_map(|token| match token {
                Token::Property { name, value } => Some((tree.name(name)?, value)),
                _ => None,
            })
            .collect();
        let written = names.iter().zip(&values).map(|(name, value)| (name.as_bytes(), &value[..]));
        let expected: Vec<_> = written.chain([(&b"given"[..], &b"x"[..])]).collect();
        prop_assert_eq!(found, expected);
    }
}
