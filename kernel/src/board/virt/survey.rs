//! What the boot needs of the device tree, found in one pass: each costs as much as some
//! thousand instructions.

use firmware::fdt::{Fdt, Node};
use firmware::memory::Region;

/// Maximum number of serial ports among which that of the console is searched.
const MAX_PORTS: usize = 4;
/// Maximum number of ranges of memory; the rest isn't used.
const MAX_RANGES: usize = 16;

/// Nodes by what they are for.
pub struct Survey<'a> {
    /// The whole tree.
    pub tree: Fdt<'a>,
    /// What the loader chose.
    pub chosen: Option<Node<'a>>,
    /// The console's serial port, and another.
    pub ports: [Option<Node<'a>>; 2],
    /// The first of each kind of [`Kind`].
    first: [Option<Node<'a>>; KINDS],
    /// Memory, in the tree's order; empty ranges at the end.
    memory: [Region; MAX_RANGES],
    /// Nodes reserve memory.
    has_reserved: bool,
}

/// The purpose of a device, of which the first one in the tree counts.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The firmware that ends the machine. Version 0.1 isn't: it has no fixed numbers of functions.
    Psci,
    /// The interrupt controller: a GICv2 or a GICv3.
    Controller,
    /// The processor's timer.
    Timer,
    /// The bridge to PCI.
    Bridge,
    /// QEMU's configuration device.
    Qemu,
    /// A serial port, of which each counts: the last of the kinds.
    Port,
}

/// The number of kinds without ports.
const KINDS: usize = Kind::Port as usize;

/// The kinds by the strings of `compatible`. A table, since each block of code is translated at
/// boot under emulation, which takes longer than the comparisons.
const NAMES: [(&[u8], Kind); 11] = [
    (b"arm,psci-1.0", Kind::Psci),
    (b"arm,psci-0.2", Kind::Psci),
    (b"arm,gic-v3", Kind::Controller),
    (b"arm,cortex-a15-gic", Kind::Controller),
    (b"arm,gic-400", Kind::Controller),
    (b"arm,armv8-timer", Kind::Timer),
    (b"pci-host-ecam-generic", Kind::Bridge),
    (b"qemu,fw-cfg-mmio", Kind::Qemu),
    (b"arm,pl011", Kind::Port),
    (b"arm,sbsa-uart", Kind::Port),
    (b"ns16550a", Kind::Port),
];

/// The kind by the first string of `compatible` that names one. Reading the property once per node
/// matters: machines have dozens of nodes.
fn kind(compatible: &[u8]) -> Option<Kind> {
    let mut names = compatible.split(|byte| *byte == 0);
    names.find_map(|name| {
        let mut known = NAMES.iter();
        known.find_map(|(known, kind)| (*known == name).then_some(*kind))
    })
}

impl<'a> Survey<'a> {
    /// Reads the tree.
    pub fn new(tree: Fdt<'a>) -> Self {
        let empty = Region { start: 0, end: 0 };
        let mut survey = Self {
            tree,
            chosen: None,
            ports: [None; 2],
            first: [None; KINDS],
            memory: [empty; MAX_RANGES],
            has_reserved: tree.reserved_entries().next().is_some(),
        };
        let mut ports = [None; MAX_PORTS];
        let mut range_count = 0;
        for node in tree.nodes() {
            match (node.depth(), node.base_name()) {
                (1, b"chosen") => survey.chosen = Some(node),
                (1, b"reserved-memory") => survey.has_reserved = true,
                (1, b"memory") if node.is_enabled() => {
                    for (start, len) in node.registers() {
                        if let Some(range) = survey.memory.get_mut(range_count) {
                            let end = start.saturating_add(len);
                            *range = Region { start, end };
                            range_count += 1;
                        }
                    }
                }
                _ => {
                    let kind = node.property("compatible").and_then(kind);
                    let Some(kind) = kind.filter(|_| node.is_enabled()) else {
                        continue;
                    };
                    let place = match survey.first.get_mut(kind as usize) {
                        Some(first) if first.is_none() => Some(first),
                        Some(_) => None,
                        None => ports.iter_mut().find(|port| port.is_none()),
                    };
                    if let Some(place) = place {
                        *place = Some(node);
                    }
                }
            }
        }
        survey.ports = select(&ports, survey.chosen.as_ref());
        survey
    }

    /// The first device of this kind, other than ports.
    pub fn first(&self, kind: Kind) -> Option<&Node<'a>> {
        self.first.get(kind as usize)?.as_ref()
    }

    /// The place of the initrd, empty without one.
    pub fn initrd(&self) -> Region {
        let number = |name| self.chosen.and_then(|node| node.number(name));
        match (number("linux,initrd-start"), number("linux,initrd-end")) {
            (Some(start), Some(end)) if start < end => Region { start, end },
            _ => Region::default(),
        }
    }

    /// The usable parts of memory, in the tree's order, but for those in `kept` and those that the
    /// tree reserves.
    pub fn usable(&self, kept: Region) -> impl Iterator<Item = Region> + use<'a> {
        let tree = self.has_reserved.then_some(self.tree);
        self.memory.into_iter().flat_map(move |range| {
            let Region { mut start, end } = range;
            core::iter::from_fn(move || {
                while start < end {
                    let reserved = tree.into_iter().flat_map(|tree| tree.reserved());
                    let reserved = reserved.map(|(start, len)| Region {
                        start,
                        end: start.saturating_add(len),
                    });
                    let next = reserved
                        .chain([kept])
                        .filter(|other| other.start < other.end)
                        .filter(|other| other.end > start && other.start < end)
                        .min_by_key(|other| other.start);
                    let before = Region {
                        start,
                        end: next.map_or(end, |next| next.start),
                    };
                    start = next.map_or(end, |next| next.end);
                    if before.start < before.end {
                        return Some(before);
                    }
                }
                None
            })
        })
    }
}

/// The port of the console, by `stdout-path` or else the first one, and the first of the others.
fn select<'a>(
    ports: &[Option<Node<'a>>; MAX_PORTS],
    chosen: Option<&Node<'a>>,
) -> [Option<Node<'a>>; 2] {
    // `/pl011@9000000:115200`.
    let path = chosen.and_then(|node| node.string("stdout-path"));
    let path = path.and_then(|path| path.strip_prefix(b"/")).unwrap_or(&[]);
    let wanted = path.split(|byte| *byte == b':').next().unwrap_or(&[]);
    let is_wanted = |port: &&Option<Node<'a>>| port.is_some_and(|node| node.name() == wanted);
    let first = ports.iter().find(is_wanted).unwrap_or(&ports[0]);
    let is_other =
        |port: &&Option<Node<'a>>| port.map(|node| node.name()) != first.map(|node| node.name());
    [*first, ports.iter().find(is_other).copied().flatten()]
}

#[cfg(test)]
mod tests {
    use super::{Kind, Survey};
    use firmware::fake::{Builder, virt};
    use firmware::fdt::Fdt;
    use firmware::memory::Region;
    use proptest::collection::vec;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    const NONE: Region = Region { start: 0, end: 0 };

    #[test]
    fn leaves_out_what_is_reserved() {
        let bytes = virt();
        let kept = Region {
            start: 0x4200_0000,
            end: 0x4200_2000,
        };
        let found: Vec<_> = Survey::new(Fdt::parse(&bytes).unwrap())
            .usable(kept)
            .map(|region| (region.start, region.end))
            .collect();
        let expected = [
            (0x4000_0000, 0x4200_0000),
            (0x4200_2000, 0x4700_0000),
            (0x4700_2000, 0x4800_0000),
            (8 << 32, 9 << 32),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn finds_the_devices_of_the_boot() {
        let bytes = virt();
        let survey = Survey::new(Fdt::parse(&bytes).unwrap());
        assert_eq!(survey.ports[0].unwrap().name(), b"pl011@9000000");
        assert!(survey.ports[1].is_none());
        let name = |kind| survey.first(kind).map(|node| node.name());
        assert_eq!(name(Kind::Controller), Some(&b"intc@8000000"[..]));
        let others = [Kind::Psci, Kind::Bridge, Kind::Qemu, Kind::Port];
        assert_eq!(others.map(name), [None; 4]);
    }

    #[test]
    fn the_console_is_the_trees() {
        let port = |builder: Builder, name, kind| {
            builder
                .begin(name)
                .text("compatible", kind)
                .words("reg", &[0, 1, 2])
                .end()
        };
        let mut builder = Builder::new().begin("");
        builder = builder
            .begin("chosen")
            .text("stdout-path", "/b@2:115200n8")
            .end();
        builder = port(builder, "a@1", "ns16550a");
        builder = port(builder, "b@2", "arm,pl011");
        let bytes = builder.end().finish();
        let [first, second] = Survey::new(Fdt::parse(&bytes).unwrap()).ports;
        assert_eq!(first.unwrap().name(), b"b@2");
        assert_eq!(second.unwrap().name(), b"a@1");
    }

    /// Addresses of one word or two, as QEMU and other loaders write them.
    #[test]
    fn an_initrd_has_a_start_and_an_end() {
        for (start, end, expected) in [
            (
                &[0x4800_0000][..],
                &[0, 0x4900_0000][..],
                (0x4800_0000, 0x4900_0000),
            ),
            (&[8, 0], &[8, 4096], (8 << 32, (8 << 32) + 4096)),
            (&[4096], &[4096], (0, 0)),
            (&[4097], &[4096], (0, 0)),
            (&[1, 2, 3], &[4096], (0, 0)),
        ] {
            let builder = Builder::new().begin("").begin("chosen");
            let builder = builder.words("linux,initrd-start", start);
            let bytes = builder.words("linux,initrd-end", end).end().end().finish();
            let found = Survey::new(Fdt::parse(&bytes).unwrap()).initrd();
            assert_eq!((found.start, found.end), expected, "{start:x?} {end:x?}");
        }
        assert_eq!(Survey::new(Fdt::parse(&virt()).unwrap()).initrd(), NONE);
    }

    #[test]
    fn the_first_device_of_a_kind_counts() {
        let mut builder = Builder::new().begin("");
        for name in ["first", "second"] {
            let node = builder.begin(name);
            builder = node.text("compatible", "x\0arm,psci-1.0").end();
        }
        // More ports than are kept.
        for name in ["a", "b", "c", "d", "e"] {
            builder = builder.begin(name).text("compatible", "ns16550a").end();
        }
        let bytes = builder.end().finish();
        let survey = Survey::new(Fdt::parse(&bytes).unwrap());
        assert_eq!(survey.first(Kind::Psci).unwrap().name(), b"first");
        assert_eq!(survey.ports.map(|port| port.unwrap().name()), [b"a", b"b"]);
    }

    proptest! {
        /// Compared with a map of units of memory.
        #[test]
        fn is_memory_without_the_reserved(
            memory in vec((0u64..40, 0u64..20), 1..4),
            reserved in vec((0u64..60, 1u64..8), 0..6),
        ) {
            const UNIT: u64 = 0x1000;
            let mut builder = Builder::new();
            for (start, len) in &reserved {
                // The pair of zeros ends the list.
                builder = builder.reserve((start + 1) * UNIT, len * UNIT);
            }
            builder = builder.begin("").words("#address-cells", &[1]).words("#size-cells", &[1]);
            for (start, len) in &memory {
                let words = [(start * UNIT) as u32, (len * UNIT) as u32];
                builder = builder.begin("memory").words("reg", &words).end();
            }
            let bytes = builder.end().finish();
            let kept = Region { start: 3 * UNIT, end: 4 * UNIT };
            let mut found = Vec::new();
            for region in Survey::new(Fdt::parse(&bytes).unwrap()).usable(kept) {
                found.extend(region.start / UNIT..region.end / UNIT);
            }
            let is_free = |unit: &u64| *unit != 3
                && !reserved.iter().any(|(start, len)| (start + 1..start + 1 + len).contains(unit));
            let expected: Vec<_> = memory
                .iter()
                .flat_map(|(start, len)| *start..start + len)
                .filter(is_free)
                .collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn survives_changed_bytes(
            changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        ) {
            let mut bytes = virt();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            if let Some(tree) = Fdt::parse(&bytes) {
                let survey = Survey::new(tree);
                let regions = survey.usable(NONE).take(1000);
                let mut ordered = regions.map(|region| region.start < region.end);
                prop_assert!(ordered.all(|ordered| ordered));
            }
        }
    }
}
