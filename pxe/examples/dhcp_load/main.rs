//! Asks a DHCP server much, to measure and to try it. Each command prints one line of JSON.
//!
//! ```text
//! dhcp_load --interface eth0 offers --rate 500 --seconds 10
//! {"event":"offers","sent":5000,"answered":5000,"lost":0,"median_us":61.0,"p99_us":140.0,"most_us":820.0}
//! dhcp_load --interface eth0 boots --count 20
//! dhcp_load --interface eth0 hostile --count 100000
//! ```
//!
//! Port 68 takes root, or `CAP_NET_BIND_SERVICE`. Only for networks made for it: it takes addresses as it is given
//! them.

mod boots;
mod hostile;
mod line;
mod offers;

use std::error::Error;

use clap::{Parser, Subcommand};

use boots::Boots;
use hostile::Hostile;
use line::Line;
use offers::Offers;

#[derive(Parser)]
struct Arguments {
    /// The interface to ask by
    #[arg(long)]
    interface: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send discovers of as many machines, evenly, and take the time of each offer
    Offers(Offers),
    /// Boot machines at once: discover, offer, request, acknowledgement, and the boot file by TFTP
    Boots(Boots),
    /// Send malformed and odd messages, and ask for a sound answer in between
    Hostile(Hostile),
}

type Failed = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failed> {
    let Arguments { interface, command } = Arguments::parse();
    let line = Line::open(&interface)?;
    match command {
        Command::Offers(offers) => offers.run(&line),
        Command::Boots(boots) => boots.run(&line),
        Command::Hostile(hostile) => hostile.run(&line),
    }
}
