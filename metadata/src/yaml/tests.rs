use super::parse;
use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};
use serde_json::{Value, json};

fn parsed(text: &str) -> Value {
    parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn refused(text: &str) -> String {
    match parse(text.as_bytes()) {
        Ok(value) => panic!("{text} is {value}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn block_collections() {
    let text = "\
# A comment
%YAML 1.2
---
a: 1   # one
\"b c\": 'it''s'
list:
- x
-   y: 1
    z: 2
- - deep
  - er
-
  w: 3
nested:
    m: {}

    n:
      - 1.10
empty:
url: http://a/b#c
...
ignored
";
    assert_eq!(
        parsed(text),
        json!({
            "a": "1", "b c": "it's",
            "list": ["x", {"y": "1", "z": "2"}, ["deep", "er"], {"w": "3"}],
            "nested": {"m": {}, "n": ["1.10"]},
            "empty": null, "url": "http://a/b#c",
        })
    );
    for (text, value) in [
        ("", Value::Null),
        ("# nothing\n\n", Value::Null),
        ("word", json!("word")),
        ("two\n words", json!("two words")),
        ("~", Value::Null),
        ("- a\r\n- b\r\n", json!(["a", "b"])),
        ("-", json!([null])),
        ("\u{feff}a: b", json!({"a": "b"})),
        ("a: b:c", json!({"a": "b:c"})),
        ("a: - b", json!({"a": "- b"})),
    ] {
        assert_eq!(parsed(text), value, "{text}");
    }
}

#[test]
fn flow_collections_and_json() {
    let text = "a: [1, two words, \"x\\u00e9\\ud83d\\ude00\", {b: c, d: }, [], ]\n\
                e: {\n  \"f\":1,  # comment\n  g: h:i\n  }\n";
    assert_eq!(
        parsed(text),
        json!({
            "a": ["1", "two words", "xé😀", {"b": "c", "d": null}, []],
            "e": {"f": "1", "g": "h:i"},
        })
    );
    let document = json!({"a": ["b", {"c": "d\n\"\\/\u{1}"}], "e": "f: g # h"});
    assert_eq!(parsed(&document.to_string()), document);
    assert_eq!(
        parsed(&serde_json::to_string_pretty(&document).unwrap()),
        document
    );
}

#[test]
fn quoted_scalars_over_lines() {
    // The last two are what PyYAML accepts, and Hetzner's documents have.
    for (text, value) in [
        ("a: \"b\n  c\"", "b c"),
        ("a: \"b\n\n  c\"", "b\nc"),
        ("a: \"b \\\n  c\"", "b c"),
        ("a: 'b\n  c'", "b c"),
        ("a: \"X='y'\nZ='w'\n\"", "X='y' Z='w' "),
    ] {
        assert_eq!(parsed(text), json!({"a": value}), "{text}");
    }
}

#[test]
fn blocks_of_text() {
    for (text, value) in [
        (
            "a: |\n  b\n    c\n\n  d # no comment\n\n",
            "b\n  c\n\nd # no comment\n",
        ),
        ("a: |-\n  b\n", "b"),
        ("a: |+\n  b\n\n", "b\n\n"),
        ("a: |2\n    b\n", "  b\n"),
        ("a: >\n  b\n  c\n\n  d\n   e\n  f\n", "b c\nd\n e\nf\n"),
        ("a: |\n", ""),
        ("a: | # comment\n b", "b\n"),
    ] {
        assert_eq!(parsed(text), json!({"a": value}), "{text}");
    }
    assert_eq!(
        parsed("- |\n a\n- b: |\n   c\n  d: e"),
        json!(["a\n", {"b": "c\n", "d": "e"}])
    );
}

#[test]
fn what_is_not_supported_is_an_error_with_its_line() {
    for (text, expected) in [
        (
            "a: 1\nb: &x 2",
            "line 2: anchors, aliases and tags are not supported",
        ),
        (
            "a: *x",
            "line 1: anchors, aliases and tags are not supported",
        ),
        (
            "[*x]",
            "line 1: anchors, aliases and tags are not supported",
        ),
        (
            "a: !!binary x",
            "line 1: anchors, aliases and tags are not supported",
        ),
        ("? a\n: b", "line 1: not a plain key"),
        ("a: 1\na: 2", "line 2: the key \"a\" a second time"),
        ("{a: 1, a: 2}", "line 1: the key \"a\" a second time"),
        ("a: b: c", "line 1: a key within a value"),
        ("a: 1\n  b: 2", "line 2: a key within a value"),
        (
            "a:\n  b: 1\n c: 2",
            "line 3: more indentation than the keys before",
        ),
        ("- a\n  - b: c", "line 2: a key within a value"),
        ("a: 1\n- b", "line 2: an entry of a list among keys"),
        ("a: \"b", "line 1: a quote is missing"),
        ("a: \"\\q\"", "line 1: not an escape"),
        ("a: [b", "line 1: a ] is missing"),
        ("a: [b\nc: d", "line 1: a ] is missing"),
        ("a: [b c: d]", "line 1: a comma is missing"),
        ("a: [b] c", "line 1: text after the end of a value"),
        ("\ta: b", "line 1: a tab in the indentation"),
        ("a: |x\n b", "line 1: not a header of a block of text"),
        ("word\nkey: value", "line 2: a key within a value"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert_eq!(parse(b"\xff").unwrap_err().to_string(), "not UTF-8");
}

#[test]
fn depth_and_number_of_values_are_bounded() {
    for open in ["[", "{a: ", "- "] {
        let error = refused(&open.repeat(100_000));
        assert!(error.contains("too many collections"), "{open}: {error}");
    }
    let nested: String = (0..40)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert!(refused(&nested).contains("too many collections"));
    assert!(refused(&"- a\n".repeat(10_000)).contains("too many values"));
    assert!(refused(&format!("[{}]", "a,".repeat(10_000))).contains("too many values"));
}

/// Words of the language in any order find more than random bytes.
fn word() -> impl Strategy<Value = String> {
    let words = [
        "a", "b: ", "- ", ":", "[", "]", "{", "}", ",", "\"", "'", "\\", "\n", "\n  ", "\n    ",
        "|", ">", " #", "---\n", "...", "&", "\t", "\r\n", "é", "~", "\\u12",
    ];
    prop_oneof![
        9 => (0..words.len()).prop_map(move |at| words[at].to_string()),
        1 => Just(()).prop_flat_map(|()| any::<char>()).prop_map(|c| c.to_string()),
    ]
}

fn printed(value: &Value, indent: usize) -> String {
    let space = " ".repeat(indent);
    match value {
        Value::Array(values) if !values.is_empty() => values
            .iter()
            .map(|value| format!("\n{space}-{}", printed(value, indent + 2)))
            .collect(),
        Value::Object(values) if !values.is_empty() => values
            .iter()
            .map(|(key, value)| format!("\n{space}{}:{}", json!(key), printed(value, indent + 2)))
            .collect(),
        other => format!(" {other}"),
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = any::<String>().prop_map(Value::String);
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map("[a-z:# ]{1,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn accepts_anything(words in proptest::collection::vec(word(), 0..60)) {
        let _ = parse(words.concat().as_bytes());
    }

    #[test]
    fn a_value_is_read_as_it_was_written(value in value()) {
        assert_eq!(parsed(&printed(&value, 0)), value);
        assert_eq!(parsed(&value.to_string()), value);
    }
}
