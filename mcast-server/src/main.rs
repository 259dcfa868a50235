//! `mcast-server`: serves disk images to many machines at once.

mod amounts;
mod cli;
mod config;
mod ctl;
mod doctor;
mod exit;
mod host;
mod keyboard;
mod pages;
mod plan;
mod platform;
mod send;
mod serve;
mod site;
mod summary;
mod terms;
mod text;
mod token;
mod verify;
mod view;

use std::process::ExitCode;

use clap::Parser;
use command_line::Interrupt;

use crate::cli::{Cli, Command};
use crate::config::ServeArguments;
use crate::exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Serve(arguments) => return serve::run(arguments),
        Command::Pxe(arguments) => {
            let arguments = ServeArguments { boots_only: true, ..ServeArguments::clone(arguments) };
            return serve::run(&arguments);
        }
        Command::Ctl(arguments) => return ctl::run(arguments),
        Command::Doctor(arguments) => {
            let ended =
                Interrupt::install().map_err(Failure::from).and_then(|interrupt| doctor::run(arguments, &interrupt));
            return ended.unwrap_or_else(|failure| failure.report(arguments.json));
        }
        _ => {}
    }
    let ended = Interrupt::install().map_err(Failure::from).and_then(|interrupt| match &cli.command {
        Command::Send(arguments) => send::run(arguments, &interrupt),
        Command::Verify(arguments) => verify::run(arguments, &interrupt),
        Command::Plan(arguments) => plan::run(arguments, &interrupt),
        Command::Token(arguments) => token::run(arguments),
        Command::Manual(arguments) => pages::run(arguments),
        Command::Serve(_) | Command::Pxe(_) | Command::Ctl(_) | Command::Doctor(_) => Ok(Exit::Success),
    });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(cli.json()),
    }
}
