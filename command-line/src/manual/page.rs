//! A manual page of one command.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::epilogue::{self, Part};

/// The heading of all pages.
const MANUAL: &str = "mcast manual";

/// The pages of `program`, which is built, and of its commands: file names and contents.
pub(crate) fn all(program: &Command) -> io::Result<Vec<(String, Vec<u8>)>> {
    let pages = std::iter::once(program).chain(program.get_subcommands());
    pages.map(|command| Ok((format!("{}.1", name(command)), page(program, command)?))).collect()
}

fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(program: &Command, command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let parts = epilogue::read(&help);
    let mut page = title(program, command).into_bytes();
    man.render_name_section(&mut page)?;
    synopsis(command).to_writer(&mut page)?;
    description(command, &parts).to_writer(&mut page)?;
    if command.get_subcommands().next().is_some() {
        commands(program, command).to_writer(&mut page)?;
    }
    man.render_options_section(&mut page)?;
    sections(&parts).to_writer(&mut page)?;
    see_also(program, command).to_writer(&mut page)?;
    Ok(once(&page))
}

/// Without a date: a page is as old as the program. The library would leave the empty word out.
fn title(program: &Command, command: &Command) -> String {
    let version = program.get_version().unwrap_or_default();
    format!(".TH \"{}\" 1 \"\" \"{} {version}\" \"{MANUAL}\"\n", name(command), program.get_name())
}

/// With what the library puts before each piece, how an apostrophe is written, only once.
fn once(page: &[u8]) -> Vec<u8> {
    let lines = page.split_inclusive(|byte| *byte == b'\n');
    let mut seen = 0;
    let kept = lines.filter(|line| {
        let is_preamble = APOSTROPHE.iter().any(|start| line.starts_with(start));
        seen += usize::from(is_preamble);
        !is_preamble || seen <= APOSTROPHE.len()
    });
    kept.flatten().copied().collect()
}

/// The beginnings of its lines.
const APOSTROPHE: [&[u8]; 2] = [b".ie \\n(.g .ds Aq", b".el .ds Aq"];

/// As the help says it: a list of forty options in brackets tells nobody anything.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let called = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    match usage.strip_prefix(called) {
        Some(rest) => roff.text([bold(called), roman(rest)]),
        None => roff.text([roman(usage)]),
    };
    roff
}

/// What the command does: its own long text, and the parts without a heading; or the line that sums it up.
fn description(command: &Command, parts: &[Part]) -> Roff {
    let long = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let own = long.split("\n\n").map(|text| text.replace('\n', " "));
    let further =
        parts.iter().filter_map(|part| if let Part::Paragraph(text) = part { Some(text.clone()) } else { None });
    let mut texts = own.chain(further).filter(|text| !text.is_empty()).collect::<Vec<_>>();
    if texts.is_empty() {
        texts.push(format!("{}.", command.get_about().map(ToString::to_string).unwrap_or_default()));
    }
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    for (number, text) in texts.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(text)]);
    }
    roff
}

fn commands(program: &Command, command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in command.get_subcommands() {
        roff.control("TP", []);
        roff.text([bold(sub.get_name())]);
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        roff.text([roman(about), roman(", see "), bold(format!("{}-{}", program.get_name(), sub.get_name())), one()]);
    }
    roff
}

/// The parts with a heading, in order.
fn sections(parts: &[Part]) -> Roff {
    let mut roff = Roff::new();
    for part in parts {
        match part {
            Part::Paragraph(_) => {}
            Part::Examples(examples) => {
                roff.control("SH", ["EXAMPLES"]);
                for (number, (command, words)) in examples.iter().enumerate() {
                    if number > 0 {
                        roff.control("PP", []);
                    }
                    roff.control("nf", []);
                    for line in command {
                        roff.text([bold(line)]);
                    }
                    roff.control("fi", []);
                    roff.control("RS", ["4"]);
                    roff.text([roman(words)]);
                    roff.control("RE", []);
                }
            }
            Part::Table(heading, rows) => {
                roff.control("SH", [heading_of(heading).as_str()]);
                for (term, meaning) in rows {
                    roff.control("TP", []);
                    roff.text([bold(term)]);
                    roff.text([roman(meaning)]);
                }
            }
        }
    }
    roff
}

/// What other manuals call it.
fn heading_of(heading: &str) -> String {
    match heading {
        "Exit codes" => "EXIT STATUS".to_owned(),
        heading => heading.to_uppercase(),
    }
}

/// The program's other pages.
fn see_also(program: &Command, command: &Command) -> Roff {
    let all = std::iter::once(program).chain(program.get_subcommands());
    let others = all.filter(|other| name(other) != name(command));
    let mut words: Vec<Inline> = Vec::new();
    for other in others {
        if !words.is_empty() {
            words.push(roman(", "));
        }
        words.extend([bold(name(other)), one()]);
    }
    words.extend([
        roman(if words.is_empty() { "" } else { ", " }),
        italic("/usr/share/doc/"),
        italic(program.get_name()),
    ]);
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(words);
    roff
}

fn one() -> Inline {
    roman("(1)")
}
