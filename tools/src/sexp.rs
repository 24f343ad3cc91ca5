//! Parses dune files as far as needed to add a stanza without damaging the rest: the stanzas and
//! their words (dune's manual, "Lexical conventions of s-expressions").

use std::ops::Range;

/// The maximum nesting; no real dune file is deeper.
const MAX_DEPTH: usize = 100;

/// A word or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sexp {
    /// A word, without its quotes; escapes are kept as written.
    Atom(String),
    /// A list in parentheses.
    List(Vec<Sexp>),
}

impl Sexp {
    /// Returns the elements after the list's first word, if that is `name`.
    pub fn stanza(&self, name: &str) -> Option<&[Sexp]> {
        match self {
            Self::List(items) => match items.split_first() {
                Some((Self::Atom(first), rest)) if first == name => Some(rest),
                _ => None,
            },
            Self::Atom(_) => None,
        }
    }

    /// Returns the word of an atom.
    pub fn atom(&self) -> Option<&str> {
        match self {
            Self::Atom(word) => Some(word),
            Self::List(_) => None,
        }
    }

    /// Returns the single word of the field `name`, such as `soil` for `(name soil)`.
    pub fn field<'a>(fields: &'a [Self], name: &str) -> Option<&'a str> {
        fields
            .iter()
            .find_map(|field| field.stanza(name)?.first()?.atom())
    }
}

/// Returns the file's expressions in order, or the line and reason of a syntax error.
pub fn parse(text: &str) -> Result<Vec<Sexp>, (usize, &'static str)> {
    let mut parser = Parser { text, at: 0 };
    let mut items = Vec::new();
    let result = loop {
        match parser.next(0) {
            Ok(Some(item)) => items.push(item),
            Ok(None) if parser.peek().is_some() => break Err("a ')' too many"),
            Ok(None) => break Ok(items),
            Err(why) => break Err(why),
        }
    };
    result.map_err(|why| {
        (
            text.get(..parser.at).unwrap_or(text).matches('\n').count() + 1,
            why,
        )
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, length: usize) -> Range<usize> {
        let start = self.at;
        self.at = self.text.len().min(start + length);
        start..self.at
    }

    /// The length up to `end`, or of the remaining text.
    fn until(&self, end: impl FnMut(char) -> bool) -> usize {
        self.rest().find(end).unwrap_or(self.rest().len())
    }

    /// Skips blanks and comments.
    fn blank(&mut self, depth: usize) -> Result<(), &'static str> {
        loop {
            let blank = self.until(|c| !c.is_whitespace());
            self.skip(blank);
            if self.rest().starts_with(';') {
                let comment = self.until(|c| c == '\n');
                self.skip(comment);
            } else if self.rest().starts_with("#|") {
                self.block_comment()?;
            } else if self.rest().starts_with("#;") {
                self.skip(2);
                if self.next(depth + 1)?.is_none() {
                    return Err("'#;' without an expression behind it");
                }
            } else {
                return Ok(());
            }
        }
    }

    /// Skips `#| … |#`, which nests.
    fn block_comment(&mut self) -> Result<(), &'static str> {
        let mut depth = 0_usize;
        loop {
            if self.rest().starts_with("#|") {
                depth += 1;
                self.skip(2);
            } else if self.rest().starts_with("|#") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return Ok(());
                }
            } else {
                match self.peek() {
                    Some(c) => self.skip(c.len_utf8()),
                    None => return Err("a comment '#|' without its '|#'"),
                };
            }
        }
    }

    /// Parses the next expression. `None` at the end or before a `)`.
    fn next(&mut self, depth: usize) -> Result<Option<Sexp>, &'static str> {
        if depth > MAX_DEPTH {
            return Err("too many parentheses inside each other");
        }
        self.blank(depth)?;
        match self.peek() {
            None | Some(')') => Ok(None),
            Some('(') => {
                self.skip(1);
                let mut items = Vec::new();
                while let Some(item) = self.next(depth + 1)? {
                    items.push(item);
                }
                if self.peek().is_none() {
                    return Err("a '(' without its ')'");
                }
                self.skip(1);
                Ok(Some(Sexp::List(items)))
            }
            Some('"') => self.quoted().map(Some),
            Some(_) => {
                let length = self.until(|c| c.is_whitespace() || "();\"".contains(c));
                let word = self.skip(length);
                Ok(Some(Sexp::Atom(
                    self.text.get(word).unwrap_or("").to_owned(),
                )))
            }
        }
    }

    /// Parses a string, or the lines of a block string (`"\|` and `"\>`, each to the end of its
    /// line).
    fn quoted(&mut self) -> Result<Sexp, &'static str> {
        if self.rest().starts_with("\"\\|") || self.rest().starts_with("\"\\>") {
            let length = self.until(|c| c == '\n');
            let line = self.skip(length);
            return Ok(Sexp::Atom(self.text.get(line).unwrap_or("").to_owned()));
        }
        self.skip(1);
        let mut escaped = false;
        let length = self.until(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let word = self.skip(length);
        if self.peek().is_none() {
            return Err("a string without its closing '\"'");
        }
        self.skip(1);
        Ok(Sexp::Atom(self.text.get(word).unwrap_or("").to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sexp, parse};
    use proptest::prelude::{any, proptest};

    fn atom(text: &str) -> Sexp {
        Sexp::Atom(text.into())
    }

    #[test]
    fn comments_and_strings_are_no_structure() {
        let text = "; (a\n(lang dune 3.17) #| ( #| \" |# |# #;(context (x)) \
            (name \"a ) \\\" b\")\n(v \"\\| (\n)";
        let parsed = parse(text).expect("well formed");
        assert_eq!(
            parsed,
            [
                Sexp::List(vec![atom("lang"), atom("dune"), atom("3.17")]),
                Sexp::List(vec![atom("name"), atom("a ) \\\" b")]),
                Sexp::List(vec![atom("v"), atom("\"\\| (")]),
            ]
        );
    }

    #[test]
    fn fields_are_found_by_name() {
        let parsed = parse("(context (default (name soil) (host default)))").expect("well formed");
        let kind = parsed[0].stanza("context").expect("a context")[0].stanza("default");
        assert_eq!(
            Sexp::field(kind.expect("a default context"), "name"),
            Some("soil")
        );
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for (text, line) in [
            ("(a\n(b)", 2),
            ("\n)", 2),
            ("\"x", 1),
            ("#| x", 1),
            ("(a) #;", 1),
        ] {
            assert_eq!(parse(text).expect_err("malformed").0, line, "{text}");
        }
        assert!(parse(&"(".repeat(5000)).is_err());
        assert!(parse(&"#;".repeat(5000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), shaped in "[()\"#|;\\\\ \na]{0,60}") {
            let _ = parse(&text);
            let _ = parse(&shaped);
        }
    }
}
