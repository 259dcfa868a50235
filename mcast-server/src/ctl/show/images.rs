//! Images.

use super::super::answers::{ImageView, SiteImageView};
use super::super::figures::{NOTHING, share, size};
use super::super::out::Paper;
use super::super::table::{Column, Table};

/// All of them.
pub(super) fn table(images: &[ImageView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("image").cut(16),
        Column::left("version").cut(8).rank(4),
        Column::left("state"),
        Column::right("size").rank(1),
        Column::left("multicast").rank(3),
        Column::right("priority").rank(6),
        Column::left("start").wrap().rank(5),
        Column::left("session").rank(2),
        Column::left("problem").wrap(),
    ]);
    for image in images {
        table.row([
            image.name.clone(),
            image.version.clone().unwrap_or_default(),
            state(image),
            bytes(image),
            image.multicast.clone(),
            image.priority.to_string(),
            image.start.clone(),
            image.session.clone().unwrap_or_default(),
            image.problem.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() { vec!["no images".to_owned()] } else { table.lines(paper.width) }
}

/// Those of all servers.
pub(super) fn site_table(images: &[SiteImageView], paper: &Paper) -> Vec<String> {
    let mut table = Table::new([
        Column::left("image").cut(16),
        Column::left("server"),
        Column::left("version").cut(8).rank(2),
        Column::left("state"),
        Column::right("size").rank(1),
        Column::left("multicast").rank(3),
    ]);
    for image in images {
        table.row([
            image.name.clone(),
            image.server.clone(),
            image.version.clone().unwrap_or_default(),
            image.state.clone(),
            image.bytes.map_or_else(|| NOTHING.to_owned(), size),
            image.multicast.clone(),
        ]);
    }
    if table.is_empty() { vec!["no images".to_owned()] } else { table.lines(paper.width) }
}

/// One of them.
pub(super) fn sheet(image: &ImageView, paper: &Paper) -> Vec<String> {
    let mut rows = vec![("image", image.name.clone())];
    rows.extend(image.version.clone().map(|version| ("version", version)));
    rows.push(("state", state(image)));
    rows.extend(image.problem.clone().map(|problem| ("problem", problem)));
    rows.extend(image.bytes.map(|bytes| ("size", format!("{bytes} bytes ({})", size(bytes)))));
    rows.extend(image.files.iter().enumerate().map(|(at, file)| (if at == 0 { "files" } else { "" }, file.clone())));
    rows.extend(image.root.clone().map(|root| ("root hash", root)));
    rows.push(("multicast", image.multicast.clone()));
    rows.push(("encrypted", if image.encrypted { "yes" } else { "no" }.to_owned()));
    rows.push(("priority", image.priority.to_string()));
    rows.push(("start", image.start.clone()));
    rows.push(("session", image.session.clone().unwrap_or_else(|| "none".to_owned())));
    Table::sheet(rows).lines(paper.width)
}

/// In a word, and how far it is while it is hashed.
pub(in super::super) fn state(image: &ImageView) -> String {
    match image.hashed {
        Some(hashed) => format!("{} {}", image.state, share(hashed)),
        None => image.state.clone(),
    }
}

fn bytes(image: &ImageView) -> String {
    image.bytes.map_or_else(|| NOTHING.to_owned(), size)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::samples::{self, text};
    use super::*;

    fn images() -> Vec<ImageView> {
        let ready = samples::image();
        let hashing = ImageView {
            name: "lab.img".to_owned(),
            version: None,
            state: "hashing".to_owned(),
            hashed: Some(0.4567),
            bytes: None,
            root: None,
            session: None,
            start: "30 clients, or 10m after the first".to_owned(),
            ..samples::image()
        };
        let broken = ImageView {
            name: "old.wim".to_owned(),
            state: "broken".to_owned(),
            problem: Some("cannot open \"/srv/images/old.wim\": permission denied".to_owned()),
            bytes: None,
            ..hashing.clone()
        };
        vec![ready, hashing, ImageView { hashed: None, ..broken }]
    }

    #[test]
    fn the_table_shows_what_fits() {
        expect![[r#"
            image        version  state               size  multicast  priority  start                               session            problem
            install.wim  2026-09  ready           4.00 GiB  allowed           5  with the first client               68d0f2a1-0a1b2c3d
            lab.img               hashing 45.6 %         -  allowed           5  30 clients, or 10m after the first
            old.wim               broken                 -  allowed           5  30 clients, or 10m after the first                     cannot open "/srv/images/old.wim": permission denied
        "#]].assert_eq(&text(&table(&images(), &samples::paper(None))));
        expect![[r#"
            image        state               size  problem
            install.wim  ready           4.00 GiB
            lab.img      hashing 45.6 %         -
            old.wim      broken                 -  cannot open "/srv/images/old.wim":
                                                   permission denied
        "#]]
        .assert_eq(&text(&table(&images(), &samples::paper(Some(79)))));
        assert_eq!(table(&[], &samples::paper(None)), ["no images"]);
    }

    #[test]
    fn the_sheet_shows_all() {
        expect![[r#"
            image      install.wim
            version    2026-09
            state      ready
            size       4294967296 bytes (4.00 GiB)
            files      /srv/images/install.swm
                       /srv/images/install2.swm
            root hash  af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262
            multicast  allowed
            encrypted  no
            priority   5
            start      with the first client
            session    68d0f2a1-0a1b2c3d
        "#]]
        .assert_eq(&text(&sheet(&samples::image(), &samples::paper(Some(79)))));
    }
}
