use super::{Additions, Error, amended};
use firmware::fake::shown;
use firmware::fdt::{Fdt, Token, Writer};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, proptest};

pub(crate) const ADDITIONS: Additions<'_> = Additions {
    line: b"A=b -- c",
    acpi_root: 0x7f00_0010,
    time: Some(0x1_6a00_0000),
    seed: None,
    memory: &[(0x4000_0000, 0x1000_0000), (0x8_0000_0000, 0x4000_0000)],
};

/// The firmware's tree: with root cells of so many words, and with `/chosen` or without.
fn firmware(words: u32, chosen: bool) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    let mut tree = Writer::new(&mut buffer, b"");
    tree.begin(b"");
    tree.words("#address-cells", &[words]);
    tree.words("#size-cells", &[words]);
    tree.begin_at("memory", 0x4000_0000);
    tree.text("device_type", &["memory"]);
    tree.begin(b"inner");
    tree.end();
    tree.end();
    if chosen {
        tree.begin(b"chosen");
        tree.text("bootargs", &["old"]);
        tree.text("stdout-path", &["/serial"]);
        tree.words("linux,initrd-start", &[1]);
        tree.words("linux,uefi-system-table", &[1]);
        tree.words("soil,time", &[1]);
        tree.begin(b"module");
        tree.text("bootargs", &["another's"]);
        tree.end();
        tree.end();
    }
    tree.begin(b"serial");
    tree.text("bootargs", &["not of /chosen"]);
    tree.begin(b"memory");
    tree.end();
    tree.end();
    tree.end();
    let len = tree.finish().unwrap();
    buffer.truncate(len);
    buffer
}

fn amend(source: &[u8], additions: &Additions<'_>, room: usize) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0xff; room];
    let len = amended(&Fdt::parse(source).unwrap(), additions, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

#[test]
fn the_firmwares_tree_gets_additions() {
    let bytes = amend(&firmware(2, true), &ADDITIONS, 4096).unwrap();
    let expected = "/
/#address-cells = <2>
/#size-cells = <2>
/chosen/
/chosen/bootargs = A=b -- c|
/chosen/soil,acpi-root = <0 7f000010>
/chosen/soil,time = <1 6a000000>
/chosen/stdout-path = /serial|
/chosen/module/
/chosen/module/bootargs = another's|
/serial/
/serial/bootargs = not of /chosen|
/serial/memory/
/memory@40000000/
/memory@40000000/device_type = memory|
/memory@40000000/reg = <0 40000000 0 10000000 8 0 0 40000000>
";
    assert_eq!(shown(&bytes), expected);
    // Once more: it stays.
    assert_eq!(shown(&amend(&bytes, &ADDITIONS, 4096).unwrap()), expected);
}

#[test]
fn random_bytes_replace_the_firmwares() {
    let mut buffer = vec![0; 4096];
    let mut tree = Writer::new(&mut buffer, b"");
    tree.begin(b"");
    tree.begin(b"chosen");
    tree.parts("rng-seed", &[&[1; 64]]);
    tree.end();
    tree.end();
    let len = tree.finish().unwrap();
    let values = |seed| {
        let additions = Additions { seed, ..ADDITIONS };
        let bytes = amend(&buffer[..len], &additions, 4096).unwrap();
        let tree = Fdt::parse(&bytes).unwrap();
        let seeds = tree.tokens().filter_map(|token| match token {
            Token::Property { name, value } if tree.name(name) == Some(b"rng-seed") => {
                Some(value.to_vec())
            }
            _ => None,
        });
        seeds.collect::<Vec<_>>()
    };
    assert_eq!(values(None), [vec![1; 64]]);
    assert_eq!(values(Some([2; 32])), [vec![2; 32]]);
}

#[test]
fn small_numbers_leave_out_high_memory() {
    let additions = Additions {
        acpi_root: 0,
        time: None,
        ..ADDITIONS
    };
    let bytes = amend(&firmware(1, false), &additions, 4096).unwrap();
    let expected = "/
/#address-cells = <1>
/#size-cells = <1>
/serial/
/serial/bootargs = not of /chosen|
/serial/memory/
/chosen/
/chosen/bootargs = A=b -- c|
/memory@40000000/
/memory@40000000/device_type = memory|
/memory@40000000/reg = <40000000 10000000>
";
    assert_eq!(shown(&bytes), expected);
}

#[test]
fn a_tree_without_sense_is_refused() {
    for words in [0, 3] {
        let damaged = amend(&firmware(words, true), &ADDITIONS, 4096);
        assert_eq!(damaged, Err(Error::Damaged));
    }
    let good = firmware(2, true);
    let needed = amend(&good, &ADDITIONS, 4096).unwrap().len();
    for room in 0..needed {
        assert_eq!(amend(&good, &ADDITIONS, room), Err(Error::TooLarge));
    }
    // Without the last end, with one more, and with a second root.
    let tree = |write: &dyn Fn(&mut Writer<'_>)| {
        let mut buffer = vec![0; 256];
        let mut tree = Writer::new(&mut buffer, b"");
        write(&mut tree);
        let len = tree.finish().unwrap();
        amend(&buffer[..len], &ADDITIONS, 4096)
    };
    let root = |tree: &mut Writer<'_>| {
        tree.begin(b"");
        tree.end();
    };
    assert!(tree(&root).is_ok());
    assert_eq!(tree(&|tree| tree.begin(b"")), Err(Error::Damaged));
    assert_eq!(tree(&|tree| tree.end()), Err(Error::Damaged));
    assert_eq!(tree(&|tree| tree.words("a", &[])), Err(Error::Damaged));
    let twice = tree(&|tree| {
        root(tree);
        root(tree);
    });
    assert_eq!(twice, Err(Error::Damaged));
}

proptest! {
    /// A damaged tree is refused, or what is made of it can be read.
    #[test]
    fn damaged_trees_are_refused_or_read(changes in vec((0usize..1000, any::<u8>()), 1..20)) {
        let mut bytes = firmware(2, true);
        let len = bytes.len();
        for (at, byte) in changes {
            bytes[at % len] = byte;
        }
        let Some(tree) = Fdt::parse(&bytes) else {
            return Ok(());
        };
        let mut buffer = vec![0; 4096];
        if let Ok(len) = amended(&tree, &ADDITIONS, &mut buffer) {
            let text = shown(&buffer[..len]);
            prop_assert!(text.contains("/chosen/bootargs = A=b -- c|"), "{}", text);
        }
    }
}
