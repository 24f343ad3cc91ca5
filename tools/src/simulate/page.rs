//! The page with the picture of a run and the list of its events.

use super::drawing::escaped;
use super::events::{Event, Part};
use serde_json::json;

/// The page, without resources of others.
const PAGE: &str = include_str!("page.html");

/// Returns the page (HTML). Selecting an event in its list marks the shape of the event in the
/// picture.
pub fn html(picture: &str, events: &[Event], part: &Part, title: &str) -> String {
    let listed = events.iter().enumerate();
    let listed = listed.filter(|(index, _)| (part.first..part.end).contains(index));
    let listed: Vec<_> = listed
        .map(|(index, event)| json!([index, event.t, event.described()]))
        .collect();
    // Within a script only `<` can end it.
    let listed = json!(listed).to_string().replace('<', "\\u003c");
    let mut page = String::new();
    for (index, piece) in PAGE.split("@@").enumerate() {
        page.push_str(match (index % 2, piece) {
            (0, piece) => piece,
            (_, "PICTURE") => picture,
            (_, "EVENTS") => &listed,
            _ => "",
        });
    }
    page.replacen(
        "<title></title>",
        &format!("<title>{}</title>", escaped(title)),
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::html;
    use crate::simulate::drawing::svg;
    use crate::simulate::events::{Part, parse};

    #[test]
    fn the_page_has_the_picture_and_the_events_of_its_part() {
        let text = "{\"t\":5,\"k\":\"log\",\"node\":\"db0\",\"text\":\"first\"}\n\
            {\"t\":6,\"k\":\"log\",\"node\":\"db0\",\"text\":\"</script>@@EVENTS@@\"}\n";
        let events = parse(text).expect("valid");
        let part = Part::before_failure(&events, 1);
        let picture = svg(&events, &part, "seed 1");
        let page = html(&picture, &events, &part, "seed 1");
        assert!(page.contains("<title>seed 1</title>"), "{page}");
        assert!(page.contains(&picture));
        assert!(
            page.contains(r#"[[1,6,"db0: \u003c/script>@@EVENTS@@"]]"#),
            "{page}"
        );
        assert_eq!(page.matches("</script>").count(), 1);
        for outside in ["http://", "https://", "src=", "url("] {
            let found = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!found.contains(outside), "{outside}");
        }
    }
}
