use super::{Fdt, HEADER, Token, Writer, size};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::fmt::Write as _;

/// The tree as text, a line for each node and each property.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut path = Vec::new();
    for token in Fdt::parse(bytes).expect("a tree").tokens() {
        match token {
            Token::Begin(name) => {
                path.push(String::from_utf8_lossy(name).into_owned());
                let _ = writeln!(text, "{}/", path.join("/"));
            }
            Token::End => drop(path.pop()),
            Token::Property { name, value, .. } => {
                let (path, name) = (path.join("/"), String::from_utf8_lossy(name));
                let is_text = value.ends_with(&[0])
                    && value
                        .iter()
                        .all(|byte| *byte == 0 || (32..127).contains(byte))
                    && value.first() != Some(&0);
                let _ = match is_text {
                    true => {
                        let value = String::from_utf8_lossy(value).replace('\0', "|");
                        writeln!(text, "{path}/{name} = {value}")
                    }
                    false => {
                        let words: Vec<String> = value
                            .chunks(4)
                            .map(|word| {
                                word.iter().fold(0, |all, byte| all << 8 | u32::from(*byte))
                            })
                            .map(|word| format!("{word:x}"))
                            .collect();
                        writeln!(text, "{path}/{name} = <{}>", words.join(" "))
                    }
                };
            }
            Token::Last => assert!(path.is_empty()),
        }
    }
    text
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
        (4, len + 1),
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
                Token::Property { name, value, .. } => Some((name, value)),
                _ => None,
            })
            .collect();
        let written = names.iter().zip(&values).map(|(name, value)| (name.as_bytes(), &value[..]));
        let expected: Vec<_> = written.chain([(&b"given"[..], &b"x"[..])]).collect();
        prop_assert_eq!(found, expected);
    }
}
