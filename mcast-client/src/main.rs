//! `mcast-client`: receives an image that `mcast-server` streams to many machines at once.

mod cli;
mod doctor;
mod exit;
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
use crate::view::Sink;

fn main() -> ExitCode {
    let arguments = match Cli::parse().command {
        Command::Receive(arguments) => arguments,
        // Nothing that it does has to be put in order: a signal ends it.
        Command::Doctor(arguments) => {
            return doctor::run(&arguments)
                .unwrap_or_else(|failure| failure.report(arguments.json.then_some(Sink::Stdout)));
        }
    };
    match Interrupt::install().and_then(|interrupt| receive::run(&arguments, &interrupt)) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(arguments.json.then(|| arguments.sink())),
    }
}
