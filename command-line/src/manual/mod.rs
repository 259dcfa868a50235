//! Manual pages and completions, made from the command line itself: what a page says is what the program takes.
//!
//! One page for the program and one for each command of it. Options, their values and defaults come from clap. The
//! text behind them (`after_help`) is written for a terminal; its paragraphs, examples and tables become sections of
//! the page ([`epilogue`]), so that nothing is written twice.

mod epilogue;
mod page;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::{Shell, generate};

/// What the hidden command of a program takes that writes its pages.
#[derive(Debug, Args)]
pub struct ManualArguments {
    /// Folder to write into: man1 with the pages, and bash, zsh and fish with the completions
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
}

/// The shells that get completions, each in a folder of its name, and what stands before and behind the program's
/// name in the name of the file that the shell looks for.
const SHELLS: [(Shell, &str, [&str; 2]); 3] =
    [(Shell::Bash, "bash", ["", ""]), (Shell::Zsh, "zsh", ["_", ""]), (Shell::Fish, "fish", ["", ".fish"])];

/// Writes pages and completions of the program `name` below `folder`, and gives the paths of what was written.
///
/// `program` is its command line; commands that are hidden are left out.
///
/// # Errors
/// What the system says of a folder or file that cannot be written.
pub fn write(name: &'static str, version: &'static str, program: &Command, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut program = without_hidden(name, version, program);
    let mut written = Vec::new();
    let mut put = |path: PathBuf, content: Vec<u8>| {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, content)?;
        written.push(path);
        io::Result::Ok(())
    };
    for (shell, place, [before, behind]) in SHELLS {
        let mut script = Vec::new();
        generate(shell, &mut program, name, &mut script);
        put(folder.join(place).join(format!("{before}{name}{behind}")), script)?;
    }
    program.build();
    for (file, page) in page::all(&program)? {
        put(folder.join("man1").join(file), page)?;
    }
    Ok(written)
}

/// The same program as its users know it: clap lists hidden commands in completions.
fn without_hidden(name: &'static str, version: &'static str, program: &Command) -> Command {
    let shown = Command::new(name)
        .version(version)
        .disable_help_subcommand(true)
        .subcommand_required(program.is_subcommand_required_set())
        .subcommands(program.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
        .args(program.get_arguments().cloned());
    let shown = program.get_about().into_iter().fold(shown, |shown, about| shown.about(about.clone()));
    let shown = program.get_long_about().into_iter().fold(shown, |shown, about| shown.long_about(about.clone()));
    program.get_after_help().into_iter().fold(shown, |shown, help| shown.after_help(help.clone()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Arg;

    use super::*;

    #[test]
    fn every_command_but_the_hidden_ones_gets_a_page_and_completions() {
        let option = Arg::new("rate").long("rate").help("Bits per second").default_value("400mbit");
        let program = Command::new("tool")
            .about("Does things")
            .subcommand_required(true)
            .subcommand(Command::new("run").about("Runs").arg(option))
            .subcommand(Command::new("secret").about("Hidden").hide(true));
        let folder = tempfile::tempdir().unwrap();
        let written = write("tool", "1.2", &program, folder.path()).unwrap();
        let names: Vec<_> = written.iter().map(|path| path.strip_prefix(folder.path()).unwrap()).collect();
        let wanted = ["bash/tool", "zsh/_tool", "fish/tool.fish", "man1/tool.1", "man1/tool-run.1"];
        assert_eq!(names, wanted.map(Path::new));
        for path in &written {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains("run") && !text.contains("secret"), "{path:?}: {text}");
        }
        let page = fs::read_to_string(folder.path().join("man1/tool-run.1")).unwrap();
        assert!(page.contains(r"\-\-rate") && page.contains("400mbit") && page.contains(r"\fBtool\fR(1)"), "{page}");
    }
}
