//! The text behind a command's options, understood: paragraphs, examples, tables.
//!
//! ```text
//! A paragraph, which may come
//! anywhere.
//!
//! Examples:
//!   command one
//!       What it does.
//!
//! Exit codes:
//!   0    what it means, and
//!        the rest of it
//! ```

/// A section of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text to be filled.
    Paragraph(String),
    /// Commands, each with what it does.
    Examples(Vec<(Vec<String>, String)>),
    /// Terms, each with what it means, under a heading.
    Table(String, Vec<(String, String)>),
}

/// The parts of `text`, in order.
pub(crate) fn read(text: &str) -> Vec<Part> {
    let blocks = text.split("\n\n").map(|block| block.lines().collect::<Vec<_>>());
    blocks.filter(|block| block.iter().any(|line| !line.trim().is_empty())).flat_map(|block| part(&block)).collect()
}

fn part(block: &[&str]) -> Vec<Part> {
    let [heading, lines @ ..] = block else { return Vec::new() };
    let is_heading = heading.ends_with(':') && indent(heading) == 0 && lines.first().is_some_and(|l| indent(l) > 0);
    if !is_heading {
        return vec![Part::Paragraph(filled(block))];
    }
    let entries = entries(lines);
    match heading.trim_end_matches(':') {
        "Examples" => vec![Part::Examples(entries.iter().map(|entry| example(entry)).collect())],
        heading => vec![Part::Table(heading.to_owned(), entries.iter().map(|entry| row(entry)).collect())],
    }
}

/// Lines that belong together: each begins at the first one's indent, what is indented more goes on.
fn entries<'a>(lines: &[&'a str]) -> Vec<Vec<&'a str>> {
    let first = lines.first().map_or(0, |line| indent(line));
    let mut entries: Vec<Vec<&str>> = Vec::new();
    for line in lines {
        match entries.last_mut() {
            Some(entry) if indent(line) > first => entry.push(line),
            _ => entries.push(vec![line]),
        }
    }
    entries
}

/// A command, which goes on behind a backslash, and the words below it.
fn example(entry: &[&str]) -> (Vec<String>, String) {
    let goes_on = entry.iter().take_while(|line| line.ends_with('\\')).count();
    let (command, words) = entry.split_at((goes_on + 1).min(entry.len()));
    let first = command.first().map_or(0, |line| indent(line));
    (command.iter().map(|line| line[first.min(indent(line))..].to_owned()).collect(), filled(words))
}

/// A term, at least two spaces, and what it means.
fn row(entry: &[&str]) -> (String, String) {
    let line = entry.first().map_or("", |line| line.trim());
    let (term, meaning) = line.split_once("  ").unwrap_or((line, ""));
    let rest = std::iter::once(meaning).chain(entry.iter().skip(1).copied()).collect::<Vec<_>>();
    (term.to_owned(), filled(&rest))
}

fn filled(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_examples_and_tables_are_told_apart() {
        let text = "\
A note of\ntwo lines: it is no heading.

Examples:
  tool run a \\
           --b
      Runs it.
  tool stop

Exit codes:
  0    all is well,
       really
  130  ended

Environment of --exec:
  NAME    the name";
        let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        assert_eq!(
            read(text),
            [
                Part::Paragraph("A note of two lines: it is no heading.".to_owned()),
                Part::Examples(vec![
                    (vec!["tool run a \\".to_owned(), "         --b".to_owned()], "Runs it.".to_owned()),
                    (vec!["tool stop".to_owned()], String::new()),
                ]),
                Part::Table("Exit codes".to_owned(), owned(&[("0", "all is well, really"), ("130", "ended")])),
                Part::Table("Environment of --exec".to_owned(), owned(&[("NAME", "the name")])),
            ]
        );
    }
}
