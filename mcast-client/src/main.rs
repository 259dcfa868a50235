//! `mcast-client`: receives an image that `mcast-server` streams to many machines at once.

mod booted;
mod cli;
mod doctor;
mod exit;
mod fallback;
mod http;
mod pages;
mod platform;
mod receive;
mod server;
mod text;
mod view;

use std::process::ExitCode;

use clap::Parser;
use command_line::Interrupt;

use crate::cli::{Cli, Command};
use crate::exit::Failure;
use crate::view::Sink;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Receive(arguments) => {
            match Interrupt::install().map_err(Failure::from).and_then(|interrupt| receive::run(&arguments, &interrupt))
            {
                Ok(exit) => exit.into(),
                Err(failure) => failure.report(arguments.json.then(|| arguments.sink())),
            }
        }
        // Nothing that it does has to be put in order: a signal ends it.
        Command::Doctor(arguments) => {
            doctor::run(&arguments).unwrap_or_else(|failure| failure.report(arguments.json.then_some(Sink::Stdout)))
        }
        Command::Manual(arguments) => match pages::run(&arguments) {
            Ok(exit) => exit.into(),
            Err(failure) => failure.report(None),
        },
    }
}
