//! A TFTP server in a process of its own: a folder, read-only, at the addresses given.
//!
//! It prints one line for each event, the first one when it listens, the last one with sums when it is ended by
//! SIGTERM or Ctrl-C:
//!
//! ```text
//! listening address=127.0.0.1:6969
//! started client=127.0.0.1:46131 file="pxelinux.0" bytes=42376 block=1468 window=4
//! done client=127.0.0.1:46131 file="pxelinux.0" bytes=42376 seconds=0.001 resent=0 confirmed=true
//! ```

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::mpsc;

use clap::Parser;
use pxe::files::BootFiles;
use pxe::tftp::{Counters, PORT, Settings, TftpServer};

/// Serves a folder by TFTP (RFC 1350, 2347, 2348, 2349, 7440), read-only.
#[derive(Parser)]
struct Arguments {
    /// The folder
    folder: PathBuf,
    /// Address to listen at; may be given several times
    #[arg(long, value_name = "ADDRESS", default_values_t = [IpAddr::V4(Ipv4Addr::UNSPECIFIED)])]
    listen: Vec<IpAddr>,
    /// UDP port; 0: any, which the first line tells
    #[arg(long, default_value_t = PORT)]
    port: u16,
    /// Transfers at a time
    #[arg(long, value_name = "N")]
    transfers: Option<usize>,
    /// Transfers of one address at a time
    #[arg(long, value_name = "N")]
    transfers_per_client: Option<usize>,
    /// Blocks of a window at most
    #[arg(long, value_name = "N")]
    window_limit: Option<u16>,
    /// Bytes of a block at most, fragments or not [default: what fits into a packet]
    #[arg(long, value_name = "BYTES")]
    block_limit: Option<u16>,
    /// Ports to send files from [default: any]
    #[arg(long, value_name = "A-B", value_parser = range)]
    ports: Option<RangeInclusive<u16>>,
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').ok_or("two ports with a hyphen between them")?;
    let port = |text: &str| text.parse::<u16>().map_err(|error| format!("{text:?}: {error}"));
    Ok(port(first)?..=port(last)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let listen = arguments.listen.iter().map(|address| SocketAddr::new(*address, arguments.port)).collect();
    let usual = Settings::new(listen);
    let settings = Settings {
        transfers: arguments.transfers.unwrap_or(usual.transfers),
        transfers_per_client: arguments.transfers_per_client.unwrap_or(usual.transfers_per_client),
        window_limit: arguments.window_limit.unwrap_or(usual.window_limit),
        block_limit: arguments.block_limit,
        ports: arguments.ports,
        ..usual
    };
    let (end, ended) = mpsc::channel();
    ctrlc::set_handler(move || _ = end.send(()))?;
    let server = TftpServer::start(settings, BootFiles::new(arguments.folder), |event| println!("{event}"))?;
    server.addresses().iter().for_each(|address| println!("listening address={address}"));
    ended.recv()?;
    let Counters { started, done, size_only, aborted, refused, garbage, bytes, resent, .. } = server.counters();
    server.stop();
    println!(
        "ended started={started} done={done} size_only={size_only} aborted={aborted} refused={refused} \
         garbage={garbage} bytes={bytes} resent={resent}"
    );
    Ok(())
}
