//! What a developer runs beside `cargo test`: the demonstration on loopback (`cargo demo`), the lab
//! of network namespaces (`cargo xtask lab`), and what is measured: beside other tools (`compare`),
//! in instructions (`instructions`), as pictures (`plots`); and the packages (`deb`).

mod binaries;
mod compare;
mod demo;
mod events;
mod files;
mod instructions;
mod interrupt;
mod lab;
mod packages;
mod plots;
mod process;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What a developer runs beside `cargo test`")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// One image to four clients on loopback: one joins late, one is killed and started again
    Demo(demo::Arguments),
    /// The real binaries in a network of namespaces with loss, caps, cuts and kills (needs root)
    Lab(lab::Arguments),
    /// The same task by us, uftp, udpcast, unicast HTTP and the physical limit, as a table (needs root)
    Compare(compare::Arguments),
    /// One file by our TFTP server, dnsmasq, tftpd-hpa and atftpd, as a table (needs root)
    CompareTftp(compare::tftp::Arguments),
    /// Instructions of the hot paths beside their committed baselines (needs valgrind)
    Instructions(instructions::Arguments),
    /// The pictures of docs/performance.md
    Plots(plots::Arguments),
    /// The Debian packages (needs cargo-deb)
    Deb(packages::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = interrupt::catch().and_then(|()| match arguments.task {
        Task::Demo(arguments) => demo::run(&arguments).map(|()| true),
        Task::Lab(arguments) => lab::run(&arguments),
        Task::Compare(arguments) => compare::run(&arguments),
        Task::CompareTftp(arguments) => compare::tftp::run(&arguments),
        Task::Instructions(arguments) => instructions::run(&arguments),
        Task::Plots(arguments) => plots::run(&arguments).map(|()| true),
        Task::Deb(arguments) => packages::run(&arguments).map(|()| true),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        // Said already, in a table.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
