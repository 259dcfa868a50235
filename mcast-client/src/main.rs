//! `mcast-client`: receives an image that `mcast-server` streams to many machines at once.

mod cli;
mod exit;
mod fallback;
mod http;
mod interrupt;
mod platform;
mod receive;
mod server;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::interrupt::Interrupt;

fn main() -> ExitCode {
    let Cli { command: Command::Receive(arguments) } = Cli::parse();
    match Interrupt::install().and_then(|interrupt| receive::run(&arguments, &interrupt)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(arguments.json.then(|| arguments.sink())),
    }
}
