//! Whole settings: from a file, the environment and flags to what is used and what is said.

mod booting;
mod errors;
mod example;
mod files;
mod reload;
mod sources;
mod values;

use std::fmt::Write as _;
use std::path::PathBuf;

use super::*;

/// A system that is the same on every machine.
fn around() -> Surroundings {
    Surroundings {
        host_name: "depot".to_owned(),
        state: Some(PathBuf::from("/var/lib/mcast")),
        credentials: None,
        folder: PathBuf::from("/root"),
        variables: Vec::new(),
        now: "2026-06-01T12:00[Europe/Berlin]".parse().unwrap(),
    }
}

/// The settings that `text` gives, and what is wrong with them; no other file is looked at.
fn fill(text: &str, arguments: &ServeArguments, around: &Surroundings) -> (Loaded, Vec<Problem>) {
    let file = ConfigFile { path: PathBuf::from("server.toml"), text: text.to_owned(), mode: 0o600 };
    let mut problems = Vec::new();
    let (loaded, _) = Loaded::fill(Some(&file), arguments, around, &mut problems);
    (loaded, problems)
}

/// The settings that `text` gives.
fn loaded(text: &str) -> Loaded {
    let (loaded, problems) = fill(text, &ServeArguments::default(), &around());
    assert_eq!(problems, []);
    loaded
}

/// The smallest file.
const LEAST: &str = "content.images = \"/srv/images\"\n";

/// What is said about each of some files, with a line of the file in front.
fn refusals(files: &[&str]) -> String {
    let mut table = String::new();
    for file in files {
        let text =
            if file.contains("content") { (*file).to_owned() } else { format!("{file}\n[content]\nimages = \"/\"") };
        let (_, problems) = fill(&text, &ServeArguments::default(), &around());
        assert!(!problems.is_empty(), "{file}");
        writeln!(
            table,
            "{}\n  {}",
            file.replace('\n', " ⏎ "),
            ConfigError::new(problems).to_string().replace('\n', "\n  ")
        )
        .unwrap();
    }
    table
}
