//! Values of documents, in serde_json's form. Scalars of YAML are strings.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::Value;

/// The text of a scalar: a string, number or truth value.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of the scalar `key` of a mapping.
pub fn text_at(value: &Value, key: &str) -> Option<String> {
    text(value.get(key)?)
}

/// The elements of the sequence `key` of a mapping; none if there is no such sequence.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map_or(&[], |list| list.as_slice())
}

/// Whether the scalar `key` of a mapping is true, in the words of YAML 1.1.
pub fn is_true(value: &Value, key: &str) -> bool {
    let text = text_at(value, key).unwrap_or_default();
    ["true", "yes", "on"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word))
}

/// The words of the key of a mapping: those of its list, or of its text, which has blanks or commas
/// between them.
pub fn words(value: &Value, key: &str) -> Vec<String> {
    let one = value.get(key).filter(|value| !value.is_array());
    let all = list(value, key).iter().chain(one).filter_map(text);
    let split = |text: String| {
        let words = text.split([' ', '\t', '\n', ',']);
        let words = words.filter(|word| !word.is_empty());
        words.map(String::from).collect::<Vec<_>>()
    };
    all.flat_map(split).collect()
}

/// The keys of a mapping that have a value and aren't among `read`, with commas between them; empty
/// if there are none.
pub fn other_keys(value: &Value, read: &[&str]) -> String {
    let pairs = value.as_object().into_iter().flatten();
    let others = pairs.filter(|(key, value)| !value.is_null() && !read.contains(&key.as_str()));
    others
        .map(|(key, _)| key.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}
