//! Rows and columns that fit the terminal: long texts go on in the next line between words, names are cut, and where
//! that is not enough the least important columns are left out.

use super::figures::plain;

/// Between two columns.
const GAP: usize = 2;
/// A column whose texts go on in the next line is not narrower, if it can be helped.
const LEAST_WRAP: usize = 24;

/// A column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    head: &'static str,
    right: bool,
    give: Give,
    /// 0 always stays; of the others the highest goes first.
    rank: u8,
}

/// How a column gets narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Give {
    Never,
    /// Its texts are cut, to no less than so many characters.
    Cut(usize),
    /// Its texts go on in the next line.
    Wrap,
}

impl Column {
    pub(super) const fn left(head: &'static str) -> Self {
        Self { head, right: false, give: Give::Never, rank: 0 }
    }

    /// For numbers.
    pub(super) const fn right(head: &'static str) -> Self {
        Self { right: true, ..Self::left(head) }
    }

    /// May be cut to so many characters.
    pub(super) const fn cut(mut self, least: usize) -> Self {
        self.give = Give::Cut(least);
        self
    }

    /// May go on in the next line.
    pub(super) const fn wrap(mut self) -> Self {
        self.give = Give::Wrap;
        self
    }

    /// May be left out, the highest rank first.
    pub(super) const fn rank(mut self, rank: u8) -> Self {
        self.rank = rank;
        self
    }

    /// The least that it needs, if its texts have `natural` characters at most.
    fn least(&self, natural: usize) -> usize {
        let least = match self.give {
            Give::Never => natural,
            Give::Cut(least) => least,
            Give::Wrap => LEAST_WRAP,
        };
        least.max(length(self.head)).min(natural)
    }
}

/// Rows under heads.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    heads: bool,
}

impl Table {
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new(), heads: true }
    }

    /// Names and what they stand for, without heads.
    pub(super) fn sheet(rows: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let columns = vec![Column::left(""), Column::left("").wrap()];
        let rows = rows.into_iter().map(|(name, text)| vec![name.to_owned(), plain(&text)]);
        Self { columns, rows: rows.collect(), heads: false }
    }

    /// A cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| plain(&cell)).collect();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All of it, no line longer than `width`, if there is one.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let heads = self.columns.iter().map(|column| column.head.to_owned()).collect::<Vec<_>>();
        let mut lines = Vec::new();
        for row in self.heads.then_some(&heads).into_iter().chain(&self.rows) {
            self.draw(row, &widths, &mut lines);
        }
        lines.iter().map(|line| cut(line, width.unwrap_or(usize::MAX))).collect()
    }

    /// How wide each column is; none if it is left out.
    fn widths(&self, width: Option<usize>) -> Vec<Option<usize>> {
        let natural = |at: usize| {
            let cells = self.rows.iter().map(|row| length(&row[at])).max().unwrap_or(0);
            // What is empty in all rows says nothing.
            (cells > 0).then(|| cells.max(length(self.columns[at].head)))
        };
        let mut widths: Vec<_> = (0..self.columns.len()).map(natural).collect();
        let Some(width) = width else { return widths };
        let total = |widths: &[Option<usize>]| {
            let shown = widths.iter().flatten();
            shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
        };
        loop {
            let least = self.columns.iter().zip(&widths).map(|(column, natural)| natural.map(|n| column.least(n)));
            if total(&least.collect::<Vec<_>>()) <= width {
                break;
            }
            let shown = (0..widths.len()).filter(|at| widths[*at].is_some() && self.columns[*at].rank > 0);
            let Some(last) = shown.max_by_key(|at| self.columns[*at].rank) else { break };
            widths[last] = None;
        }
        // Texts that go on lose nothing: they give first.
        for wraps in [true, false] {
            while total(&widths) > width {
                let can = |at: &usize| {
                    (self.columns[*at].give == Give::Wrap) == wraps
                        && widths[*at].is_some_and(|natural| self.columns[*at].least(natural) < natural)
                };
                let Some(widest) = (0..widths.len()).filter(can).max_by_key(|at| widths[*at]) else { break };
                widths[widest] = widths[widest].map(|width| width - 1);
            }
        }
        widths
    }

    /// One row, of as many lines as it takes.
    fn draw(&self, row: &[String], widths: &[Option<usize>], lines: &mut Vec<String>) {
        let shown = self.columns.iter().zip(row).zip(widths);
        let cells: Vec<_> = shown
            .filter_map(|((column, cell), width)| {
                let width = (*width)?;
                let parts = if column.give == Give::Wrap { wrap(cell, width) } else { vec![cut(cell, width)] };
                Some((column, width, parts))
            })
            .collect();
        let height = cells.iter().map(|(_, _, parts)| parts.len()).max().unwrap_or(0);
        for number in 0..height {
            let mut line = String::new();
            for (at, (column, width, parts)) in cells.iter().enumerate() {
                let part = parts.get(number).map_or("", String::as_str);
                line.push_str(if at > 0 { "  " } else { "" });
                line.push_str(&if column.right { format!("{part:>width$}") } else { format!("{part:<width$}") });
            }
            lines.push(line.trim_end().to_owned());
        }
    }
}

/// The words of `text` in lines of at most `width` characters; a longer word is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let word = cut(word, width);
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = word,
            Some(line) if length(line) + 1 + length(&word) <= width => *line = format!("{line} {word}"),
            _ => lines.push(word),
        }
    }
    lines
}

/// At most `width` characters of it.
fn cut(text: &str, width: usize) -> String {
    if length(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(Some('…')).collect()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn table() -> Table {
        let columns = [
            Column::left("id"),
            Column::left("image").cut(8),
            Column::right("size").rank(1),
            Column::left("version").rank(3),
            Column::left("group").rank(2),
            Column::left("reason").wrap(),
        ];
        let mut table = Table::new(columns);
        let mut row = |cells: [&str; 6]| table.row(cells.map(str::to_owned));
        row(["68d0f2a1", "install.wim", "4.00 GiB", "", "239.194.1.2:63001", ""]);
        row([
            "68d0f2a2",
            "a-rather-long-name-of-an-image.img",
            "900.00 MiB",
            "",
            "239.194.1.3:63002",
            "its disk is full, and what was to be written could not be written",
        ]);
        table
    }

    fn check(width: Option<usize>, expected: &Expect) {
        let lines = table().lines(width);
        let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.unwrap_or(usize::MAX), "{widest}");
        expected.assert_eq(&lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    }

    #[test]
    fn where_a_program_reads_nothing_is_cut_and_empty_columns_are_left_out() {
        check(
            None,
            &expect![[r#"
                id        image                                     size  group              reason
                68d0f2a1  install.wim                           4.00 GiB  239.194.1.2:63001
                68d0f2a2  a-rather-long-name-of-an-image.img  900.00 MiB  239.194.1.3:63002  its disk is full, and what was to be written could not be written
            "#]],
        );
    }

    #[test]
    fn texts_go_on_in_the_next_line_before_names_are_cut() {
        check(
            Some(110),
            &expect![[r#"
                id        image                                     size  group              reason
                68d0f2a1  install.wim                           4.00 GiB  239.194.1.2:63001
                68d0f2a2  a-rather-long-name-of-an-image.img  900.00 MiB  239.194.1.3:63002  its disk is full, and what was to
                                                                                             be written could not be written
            "#]],
        );
        check(
            Some(80),
            &expect![[r#"
                id        image                size  group              reason
                68d0f2a1  install.wim      4.00 GiB  239.194.1.2:63001
                68d0f2a2  a-rather-lon…  900.00 MiB  239.194.1.3:63002  its disk is full, and
                                                                        what was to be written
                                                                        could not be written
            "#]],
        );
    }

    #[test]
    fn the_least_important_columns_are_left_out_first() {
        check(
            Some(60),
            &expect![[r#"
            id        image               size  reason
            68d0f2a1  install.wim     4.00 GiB
            68d0f2a2  a-rather-lo…  900.00 MiB  its disk is full, and
                                                what was to be written
                                                could not be written
        "#]],
        );
        check(
            Some(44),
            &expect![[r#"
            id        image     reason
            68d0f2a1  install…
            68d0f2a2  a-rathe…  its disk is full, and
                                what was to be written
                                could not be written
        "#]],
        );
    }

    #[test]
    fn no_terminal_is_too_narrow() {
        for width in 1..120 {
            assert!(table().lines(Some(width)).iter().all(|line| line.chars().count() <= width), "{width}");
        }
    }
}
