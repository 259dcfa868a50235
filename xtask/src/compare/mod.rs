//! `cargo xtask compare`: the same image by us, by uftp, by udpcast, by unicast HTTP and by multicast
//! without any protocol, side by side in the lab's network. Prints the table as Markdown on the
//! standard output, and what goes on on the standard error.

mod ballast;
mod bench;
mod peers;
mod race;
mod rows;
mod table;
pub(crate) mod tftp;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::interrupt;
use crate::lab::Lab;
use bench::Bench;
use rows::Row;
pub(crate) use table::{Line, read_json};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only rows whose name holds this; may be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Only these tools: ours, uftp, udpcast, http, limit
    #[arg(long, value_name = "TOOL", value_delimiter = ',', value_parser = peers::NAMES)]
    tool: Vec<String>,
    /// Name the rows and what each measures, and run none
    #[arg(long)]
    list: bool,
    /// Smaller images: quick, but start and end weigh more
    #[arg(long)]
    quick: bool,
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
    /// Write the lines as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the lines of these files, written by --json before, and run nothing
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    from: Vec<PathBuf>,
    /// Keep the folder with what the programs said
    #[arg(long)]
    keep: bool,
}

/// Runs, lists or prints again; whether all of our own sessions delivered.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    if !arguments.from.is_empty() {
        return print_again(&arguments.from).map(|()| true);
    }
    let chosen = choose(&arguments.only)?;
    if arguments.list {
        chosen.iter().for_each(|row| println!("{:<14} {}", row.name, row.measures));
        return Ok(true);
    }
    let lab = Lab::prepare("compare", &peers::PROGRAMS, arguments.release_dir.as_deref(), arguments.keep)?;
    let bench = Bench::new(&lab, arguments.quick, &arguments.tool)?;
    let mut lines = Vec::new();
    // Of a run that is ended early what it has is shown, too.
    let done = chosen.into_iter().try_for_each(|row| measure(&bench, row, &mut lines, arguments.json.as_deref()));
    print!("{}", table::markdown(&lines));
    if arguments.keep {
        eprintln!("kept: {}", lab.folder.keep().display());
    }
    done.map(|()| lines.iter().all(Line::ours_delivered))
}

fn measure(bench: &Bench<'_>, row: &Row, lines: &mut Vec<Line>, json: Option<&Path>) -> Result<()> {
    eprintln!("{}", row.name);
    let found = (row.run)(bench, row);
    interrupt::check()?;
    lines.extend(found.with_context(|| format!("row {} cannot be measured", row.name))?);
    json.map_or(Ok(()), |path| table::write_json(lines, path))
}

fn print_again(files: &[PathBuf]) -> Result<()> {
    let mut lines = Vec::new();
    for path in files {
        lines.extend(read_json(path)?);
    }
    print!("{}", table::markdown(&lines));
    Ok(())
}

fn choose(patterns: &[String]) -> Result<Vec<&'static Row>> {
    let all = rows::ALL.iter().copied().flatten();
    let chosen: Vec<_> =
        all.filter(|row| patterns.is_empty() || patterns.iter().any(|pattern| row.name.contains(&**pattern))).collect();
    if chosen.is_empty() {
        bail!("no row's name holds {}; --list names them", patterns.join(" or "));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let all = choose(&[]).unwrap();
        let names: std::collections::HashSet<_> = all.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), all.len());
        assert!(choose(&["no such row".to_owned()]).is_err());
    }
}
