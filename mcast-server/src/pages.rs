//! `mcast-server manual`: pages and completions, for whoever packages the program.

use clap::CommandFactory;
use command_line::manual::{self, ManualArguments};

use crate::cli::Cli;
use crate::exit::{Exit, Failure};

/// Writes them.
pub(crate) fn run(arguments: &ManualArguments) -> Result<Exit, Failure> {
    let folder = &arguments.output;
    match manual::write(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), &Cli::command(), folder) {
        Ok(written) => {
            written.iter().for_each(|path| println!("{}", path.display()));
            Ok(Exit::Success)
        }
        Err(error) => Err(Failure::new(Exit::Error, format!("cannot write into {folder:?}: {error}"))),
    }
}
