//! The picture of a run: a lane for each node and client, time to the right.

use super::events::{Event, Part, What, time};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The room for the lanes' names, and for time, in pixels: with the margin less than 1,200. The
/// page stretches time to its window.
const LEFT: f64 = 130.0;
const WIDTH: f64 = 1000.0;
/// The room above the lanes, of each lane, and below them.
const TOP: f64 = 60.0;
const LANE: f64 = 56.0;
const BOTTOM: f64 = 40.0;
/// The distance of the marks of the axis, at least.
const TICK: f64 = 120.0;

const STYLE: &str = "
text{font:12px sans-serif;fill:#222}
.title{font-size:15px}
.lane{stroke:#ddd}
.axis{stroke:#888}
#marks line,#marks rect,#marks path{vector-effect:non-scaling-stroke}
.alive{fill:#8b98a5}
.exit{stroke:#444;stroke-width:3}
.message{stroke:#3b76c4;stroke-opacity:.55}
.lost{stroke:#c00;stroke-dasharray:3 3}
.cross{stroke:#c00;stroke-width:1.5}
.log{stroke:#2a7d3f;stroke-width:2}
.disk{fill:#c58a1b;stroke:#c58a1b}
.operation{fill:#b9d4f2;stroke:#3b76c4}
.open{fill:#fbe3c0;stroke:#c58a1b}
.fault{fill:#e0653a;fill-opacity:.16}
.instant{stroke:#e0653a;stroke-width:2}
.check{stroke:#c00;stroke-width:2}
.named{font-size:11px;fill:#a03c17}
.failed{font-weight:bold;fill:#c00}
.selected{stroke:#000;stroke-width:3;stroke-opacity:1}
";

/// A run's lanes, by name: their heights.
struct Lanes(BTreeMap<String, f64>, Vec<String>);

impl Lanes {
    /// The lanes of all events: nodes, then clients, each in the order of their names.
    fn new(events: &[Event]) -> Self {
        let (mut nodes, mut clients): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
        for event in events {
            match &event.what {
                What::Start { node } | What::Log { node, .. } => nodes.push(node),
                What::Send { from, to, .. } => nodes.extend([from.as_str(), to]),
                What::Disk { node, .. } | What::Exit { node, .. } => nodes.push(node),
                What::Invoke { client, .. } => clients.push(client),
                _ => {}
            }
        }
        // A client is a node, too.
        nodes.retain(|name| !clients.contains(name));
        for names in [&mut nodes, &mut clients] {
            names.sort_by(|a, b| (in_words(a), a).cmp(&(in_words(b), b)));
            names.dedup();
        }
        let mut lanes = Self(BTreeMap::new(), Vec::new());
        for name in nodes.into_iter().chain(clients) {
            if !lanes.0.contains_key(name) {
                let above = lanes.1.iter().fold(TOP + LANE / 2.0, |y, _| y + LANE);
                lanes.0.insert(name.to_owned(), above);
                lanes.1.push(name.to_owned());
            }
        }
        lanes
    }

    /// The middle of a lane.
    fn y(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(TOP)
    }

    fn bottom(&self) -> f64 {
        self.1.iter().fold(TOP, |y, _| y + LANE)
    }

    /// The only lane that a text names.
    fn named(&self, text: &str) -> Option<f64> {
        let is_word = |c: char| c.is_alphanumeric() || "-_.".contains(c);
        let mut found = text
            .split(|c| !is_word(c))
            .filter_map(|word| self.0.get(word));
        let first = found.next()?;
        found.all(|other| other == first).then_some(*first)
    }
}

/// A name as a key for sorting, in which db2 precedes db10: its words, each with the number behind
/// it.
fn in_words(name: &str) -> Vec<(&str, u64)> {
    let mut words = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digit = rest.find(|c: char| c.is_ascii_digit());
        let (word, behind) = rest.split_at(digit.unwrap_or(rest.len()));
        let end = behind.find(|c: char| !c.is_ascii_digit());
        let (digits, next) = behind.split_at(end.unwrap_or(behind.len()));
        words.push((word, digits.parse().unwrap_or(0)));
        rest = next;
    }
    words
}

/// An extent in time whose end comes later than its beginning, of the event with this index.
struct Open {
    index: usize,
    from: u64,
}

struct Drawing<'a> {
    events: &'a [Event],
    part: &'a Part,
    lanes: Lanes,
    /// What lies behind, and in front.
    behind: String,
    front: String,
}

/// Draws a part of the events, as SVG.
pub fn svg(events: &[Event], part: &Part, title: &str) -> String {
    let mut drawing = Drawing {
        events,
        part,
        lanes: Lanes::new(events),
        behind: String::new(),
        front: String::new(),
    };
    drawing.draw_spans();
    drawing.draw_points();
    drawing.document(title)
}

impl Drawing<'_> {
    /// The place of a time, from the beginning of the lanes on.
    fn x(&self, t: u64) -> f64 {
        let Part { from, to, .. } = *self.part;
        let inside = t.clamp(from, to) - from;
        #[allow(clippy::cast_precision_loss)]
        let share = inside as f64 / (to - from) as f64;
        share * WIDTH
    }

    /// The part of an extent that is drawn: its place and width.
    fn extent(&self, from: u64, to: u64) -> Option<(f64, f64)> {
        let is_seen = to >= self.part.from && from <= self.part.to;
        is_seen.then(|| (self.x(from), self.x(to) - self.x(from)))
    }

    fn titled(&self, index: usize) -> String {
        let event = self.events.get(index);
        let text = event.map_or_else(String::new, |event| {
            format!("{}  {}", time(event.t), event.described())
        });
        format!("<title>{}</title>", escaped(&text))
    }

    /// Draws a rectangle for the event with this index.
    fn rectangle(&self, index: usize, class: &str, place: [f64; 4]) -> String {
        let [x, y, width, height] = place.map(number);
        let title = self.titled(index);
        format!(
            "<rect id=\"e{index}\" class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" \
            height=\"{height}\">{title}</rect>\n"
        )
    }

    fn line(&self, index: usize, class: &str, from: (f64, f64), to: (f64, f64)) -> String {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        let title = self.titled(index);
        format!(
            "<line id=\"e{index}\" class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" \
            y2=\"{y2}\">{title}</line>\n"
        )
    }

    /// Draws what lasts: lives of nodes, faults and operations, also those that began before the
    /// part.
    fn draw_spans(&mut self) {
        let (mut alive, mut faults, mut operations) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (index, event) in self.events.iter().enumerate() {
            let open = Open {
                index,
                from: event.t,
            };
            match &event.what {
                What::Start { node } => _ = alive.insert(node, open),
                What::Exit { node, .. } => {
                    if let Some(open) = alive.remove(node) {
                        self.life(node, &open, event.t);
                    }
                }
                What::Fault { id, name, what } => _ = faults.insert(*id, (open, name, what)),
                What::Heal { id } => {
                    if let Some((open, name, what)) = faults.remove(id) {
                        self.fault(&open, Some(event.t), name, what);
                    }
                }
                What::Invoke { client, id, .. } => _ = operations.insert(*id, (client, open)),
                What::Return { id, .. } => {
                    if let Some((client, open)) = operations.remove(id) {
                        self.operation(client, &open, event.t, "operation");
                    }
                }
                _ => {}
            }
        }
        let end = u64::MAX;
        for (node, open) in alive {
            self.life(node, &open, end);
        }
        for (open, name, what) in faults.into_values() {
            self.fault(&open, None, name, what);
        }
        for (client, open) in operations.into_values() {
            self.operation(client, &open, end, "operation open");
        }
    }

    fn life(&mut self, node: &str, open: &Open, end: u64) {
        let y = self.lanes.y(node);
        if let Some((x, width)) = self.extent(open.from, end) {
            let place = [x, y - 2.0, width, 4.0];
            self.behind += &self.rectangle(open.index, "alive", place);
        }
    }

    fn operation(&mut self, client: &str, open: &Open, end: u64, class: &str) {
        let y = self.lanes.y(client);
        if let Some((x, width)) = self.extent(open.from, end) {
            let place = [x, y - 8.0, width, 16.0];
            self.front += &self.rectangle(open.index, class, place);
        }
    }

    /// Draws a fault: a band until it ends, or a line for one that doesn't. In the lane of a node,
    /// if it names no other.
    fn fault(&mut self, open: &Open, end: Option<u64>, name: &str, what: &str) {
        let Some((x, width)) = self.extent(open.from, end.unwrap_or(open.from)) else {
            return;
        };
        let (top, bottom) = match self.lanes.named(what) {
            Some(y) => (y - LANE / 2.0, y + LANE / 2.0),
            None => (TOP, self.lanes.bottom()),
        };
        let shape = match end {
            Some(_) => {
                let place = [x, top, width, bottom - top];
                self.rectangle(open.index, "fault", place)
            }
            None => self.line(open.index, "instant", (x, top), (x, bottom)),
        };
        self.behind += &shape;
        let text = format!("{name} {what}");
        self.behind += &fixed(x + 2.0, top + 11.0, &label("named", &text));
    }

    /// Draws the events of the part that happen at one time.
    fn draw_points(&mut self) {
        let range = self.part.first..self.part.end;
        for (index, event) in self.events.iter().enumerate() {
            if !range.contains(&index) {
                continue;
            }
            let x = self.x(event.t);
            let shapes = match &event.what {
                What::Send { from, to, at, .. } => {
                    let ends = (self.lanes.y(from), self.lanes.y(to));
                    self.message(index, event.t, ends, *at)
                }
                What::Log { node, .. } => {
                    let y = self.lanes.y(node);
                    self.line(index, "log", (x, y - 16.0), (x, y - 3.0))
                }
                What::Exit { node, .. } => {
                    let y = self.lanes.y(node);
                    self.line(index, "exit", (x, y - 8.0), (x, y + 8.0))
                }
                What::Disk { node, until, .. } => {
                    let width = self.x(until.unwrap_or(event.t)) - x;
                    let place = [x, self.lanes.y(node) + 6.0, width.max(0.0), 6.0];
                    self.rectangle(index, "disk", place)
                }
                What::Check { name, .. } => {
                    let bottom = self.lanes.bottom();
                    let line = self.line(index, "check", (x, TOP - 14.0), (x, bottom));
                    let text = label("failed", name);
                    // Left of the line, which is at the right edge.
                    let text = text.replacen("<text ", "<text text-anchor=\"end\" ", 1);
                    line + &fixed(x - 4.0, TOP - 6.0, &text)
                }
                _ => continue,
            };
            self.front += &shapes;
        }
    }

    /// Draws a message between two lanes; a lost one ends in a cross on its way.
    fn message(&self, index: usize, t: u64, (from, to): (f64, f64), at: Option<u64>) -> String {
        let x = self.x(t);
        match at {
            Some(at) => self.line(index, "message", (x, from), (self.x(at), to)),
            None => {
                let y = from + (to - from) * 0.4;
                let cross = "<path class=\"cross\" d=\"M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5\"/>";
                self.line(index, "lost", (x, from), (x, y)) + &fixed(x, y, cross)
            }
        }
    }

    fn document(&self, title: &str) -> String {
        let (width, bottom) = (LEFT + WIDTH + 20.0, self.lanes.bottom());
        let height = bottom + BOTTOM;
        let Part { from, to, .. } = *self.part;
        let title = escaped(&format!("{title}: {}", self.part.described()));
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"picture\" width=\"{width}\" \
            height=\"{height}\" viewBox=\"0 0 {width} {height}\" data-from=\"{from}\" \
            data-to=\"{to}\" data-left=\"{LEFT}\" data-width=\"{WIDTH}\">\n\
            <style>{STYLE}</style>\n\
            <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
            <text class=\"title\" x=\"10\" y=\"22\">{title}</text>\n"
        );
        for name in &self.lanes.1 {
            let y = self.lanes.y(name);
            let right = LEFT + WIDTH;
            let name = escaped(name);
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "<line class=\"lane\" x1=\"{LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\"/>\
                <text x=\"10\" y=\"{}\">{name}</text>",
                y + 4.0
            );
        }
        let _ = writeln!(
            text,
            "<svg id=\"view\" x=\"{LEFT}\" y=\"0\" width=\"{WIDTH}\" height=\"{bottom}\">\
            <g id=\"marks\">\n{}{}</g></svg>",
            self.behind, self.front
        );
        let _ = writeln!(
            text,
            "<g id=\"axis\" transform=\"translate({LEFT} {bottom})\">"
        );
        let step = step(to - from);
        let mut t = from.div_ceil(step) * step;
        while t <= to {
            let x = number(self.x(t));
            let _ = writeln!(
                text,
                "<line class=\"axis\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"6\"/>\
                <text x=\"{x}\" y=\"20\" text-anchor=\"middle\">{}</text>",
                short(t)
            );
            t += step;
        }
        text.push_str("</g>\n</svg>\n");
        text
    }
}

/// The distance of the marks of the axis, in nanoseconds: 1, 2 or 5 and zeros.
fn step(ns: u64) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let marks = (WIDTH / TICK) as u64;
    let mut unit = 1;
    loop {
        for step in [unit, 2 * unit, 5 * unit] {
            if ns / step <= marks {
                return step;
            }
        }
        unit *= 10;
    }
}

/// A time in seconds, without zeros at its end.
fn short(ns: u64) -> String {
    let digits = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits} s")
}

/// A text at its group's origin.
fn label(class: &str, text: &str) -> String {
    format!(
        "<text class=\"{class}\" x=\"0\" y=\"0\">{}</text>",
        escaped(text)
    )
}

/// A group at a place that zooming moves, and doesn't stretch.
fn fixed(x: f64, y: f64, content: &str) -> String {
    let (x, y) = (number(x), number(y));
    format!(
        "<g class=\"fixed\" data-at=\"{x} {y}\" transform=\"translate({x} {y})\">{content}</g>\n"
    )
}

/// A number of pixels, precise enough to zoom in.
fn number(pixels: f64) -> String {
    let text = format!("{pixels:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

/// Text for a document in XML or HTML.
pub fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            // XML has no way to write them.
            c if c.is_control() && !matches!(c, '\n' | '\t') => shown.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{escaped, number, step, svg};
    use crate::simulate::events::{Part, parse};

    fn drawn(text: &str, limit: usize) -> String {
        let events = parse(text).expect("valid");
        let part = Part::before_failure(&events, limit);
        svg(&events, &part, "seed 41")
    }

    const RUN: &str = r#"{"t":0,"k":"start","node":"db0"}
        {"t":0,"k":"start","node":"db1"}
        {"t":100,"k":"invoke","client":"client0","op":"put <x>","id":7}
        {"t":200,"k":"send","from":"db0","to":"db1","at":300,"bytes":74,"what":"tcp"}
        {"t":250,"k":"fault","id":3,"name":"partition","what":"db0 | db1"}
        {"t":260,"k":"send","from":"db1","to":"db0","at":null,"bytes":74,"what":"tcp","why":"cut"}
        {"t":300,"k":"disk","node":"db0","what":"write","sector":8,"count":2,"until":400}
        {"t":400,"k":"log","node":"db0","text":"term 3"}
        {"t":450,"k":"fault","id":4,"name":"kill","what":"db1"}
        {"t":450,"k":"exit","node":"db1","status":137}
        {"t":500,"k":"heal","id":3}
        {"t":900,"k":"return","id":7,"result":"ok"}
        {"t":1000,"k":"check","name":"one leader","message":"two"}"#;

    #[test]
    fn each_event_has_its_shape() {
        let text = drawn(RUN, 100);
        for shape in [
            // Lanes are 56 apart; 1,000 pixels are 1,000 ns.
            r#"<rect id="e0" class="alive" x="0" y="86" width="1000" height="4">"#,
            r#"<rect id="e1" class="alive" x="0" y="142" width="450" height="4">"#,
            r#"<rect id="e2" class="operation" x="100" y="192" width="800" height="16">"#,
            r#"<line id="e3" class="message" x1="200" y1="88" x2="300" y2="144">"#,
            r#"<rect id="e4" class="fault" x="250" y="60" width="250" height="168">"#,
            r#"<line id="e5" class="lost" x1="260" y1="144" x2="260" y2="121.6">"#,
            r#"<rect id="e6" class="disk" x="300" y="94" width="100" height="6">"#,
            r#"<line id="e7" class="log" x1="400" y1="72" x2="400" y2="85">"#,
            // Of one node.
            r#"<line id="e8" class="instant" x1="450" y1="116" x2="450" y2="172">"#,
            r#"<line id="e12" class="check" x1="1000" y1="46" x2="1000" y2="228">"#,
            "put &lt;x&gt; (operation 7)</title>",
            "seed 41: all 13 events",
        ] {
            assert!(text.contains(shape), "{shape} in {text}");
        }
        assert_eq!(text.matches("class=\"cross\"").count(), 1);
    }

    #[test]
    fn the_picture_is_narrower_than_1200_pixels_with_sorted_lanes() {
        // As nodes start in a run: in any order, clients among them.
        let names = ["db10", "client10", "db2", "client2", "a-1-x", "db2"];
        let mut run: String = names
            .map(|name| format!("{{\"t\":1,\"k\":\"start\",\"node\":\"{name}\"}}\n"))
            .concat();
        for (id, name) in [(1, "client10"), (2, "client2")] {
            run.push_str(&format!(
                "{{\"t\":2,\"k\":\"invoke\",\"client\":\"{name}\",\"op\":\"get\",\"id\":{id}}}\n"
            ));
        }
        let text = drawn(&run, 100);
        let named = text.split("<text x=\"10\" y=\"").skip(1);
        let lanes: Vec<&str> = named
            .filter_map(|rest| rest.split_once('>')?.1.split_once('<'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(lanes, ["a-1-x", "db2", "db10", "client2", "client10"]);
        let width = text.split_once(" width=\"").expect("a width").1;
        let width: u32 = width
            .split_once('"')
            .expect("closed")
            .0
            .parse()
            .expect("pixels");
        assert!(width < 1200, "{width}");
    }

    #[test]
    fn a_part_has_what_lasts_in_it() {
        let text = drawn(RUN, 4);
        // From 450 to 1,000 ns.
        assert!(
            text.contains(r#"id="e0" class="alive" x="0" y="86" width="1000""#),
            "{text}"
        );
        assert!(text.contains(r#"id="e2" class="operation" x="0""#));
        assert!(text.contains(r#"id="e4" class="fault" x="0""#));
        for gone in ["e3", "e5", "e6", "e7"] {
            assert!(!text.contains(&format!("id=\"{gone}\"")), "{gone}");
        }
        assert!(text.contains("events 10 to 13 of 13"), "{text}");
    }

    #[test]
    fn the_axis_has_round_numbers() {
        assert_eq!(step(60_000_000_000), 10_000_000_000);
        assert_eq!(step(8), 1);
        assert_eq!(step(9), 2);
        assert_eq!(number(-0.0), "0");
        assert_eq!(number(120.5004), "120.5");
    }

    #[test]
    fn text_stays_text() {
        assert_eq!(
            escaped("a<b>&\"\u{1b}é\n"),
            "a&lt;b&gt;&amp;&quot;\u{fffd}é\n"
        );
    }
}
