//! Answers DHCP alone, for benches and experiments: who asks, and what is answered, is printed line by line.
//!
//! Boot files come from any TFTP or HTTP server at the same address.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use pxe::dhcp::{Booting, DhcpServer, DriverConfig, Menu, Mode, Pool, Settings};
use pxe::machine::{Mac, Machine, Platform};

#[derive(Parser)]
struct Arguments {
    /// Where to answer; may be given several times
    #[arg(long, required = true)]
    interface: Vec<String>,
    /// NETWORK,FIRST,LAST[,ROUTER]: gives addresses; without one another server does
    #[arg(long, value_parser = pool)]
    pool: Vec<Pool>,
    /// WHO=FILE: what a platform (bios, uefi-x64 …), http:PLATFORM or ipxe loads
    #[arg(long, value_parser = boot)]
    boot: Vec<(String, String)>,
    /// MAC=ADDRESS: keeps an address for a machine
    #[arg(long, value_parser = reservation)]
    reserve: Vec<(Mac, Ipv4Addr)>,
    /// Seconds that another server goes first
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Seconds for which firmware shows a menu
    #[arg(long)]
    menu: Option<u8>,
    /// No other server gives addresses here
    #[arg(long)]
    authoritative: bool,
    /// Print nothing
    #[arg(long)]
    quiet: bool,
}

/// Tells each kind of machine one file.
struct Files {
    boot: BTreeMap<String, String>,
    reserved: BTreeMap<Mac, Ipv4Addr>,
}

impl Booting for Files {
    fn boot_file(&self, machine: &Machine, _: Ipv4Addr) -> Result<String, String> {
        let platform = machine.platform.map_or("unknown", Platform::name);
        let who = if machine.http { format!("http:{platform}") } else { platform.to_owned() };
        let ipxe = self.boot.get("ipxe").filter(|_| machine.ipxe);
        ipxe.or(self.boot.get(&who)).cloned().ok_or_else(|| format!("there is nothing for {who}"))
    }

    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr> {
        self.reserved.get(&machine.mac).copied()
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        self.reserved.values().any(|reserved| *reserved == address)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { interface, pool, boot, reserve, delay, menu, authoritative, quiet } = Arguments::parse();
    let mode = if pool.is_empty() { Mode::Proxy } else { Mode::Full { pools: pool, others: true, authoritative } };
    let menu = menu.map(|seconds| Menu {
        prompt: "Boot from the network".into(),
        seconds,
        boot: "Network".into(),
        disk: Some("Disk".into()),
        disk_first: false,
    });
    let settings = Settings { delay: Duration::from_secs(delay), menu, ..Settings::new(mode) };
    let files = Files { boot: boot.into_iter().collect(), reserved: reserve.into_iter().collect() };
    let config = DriverConfig { settings, interfaces: interface, leases: Vec::new() };
    let server = DhcpServer::start(config, Arc::new(files), move |event| {
        if !quiet {
            println!("{event}");
        }
    })?;
    for listening in server.listening() {
        println!("listening at {} as {}, shared: {}", listening.interface, listening.address, listening.shared);
    }
    loop {
        thread::park();
    }
}

fn pool(text: &str) -> Result<Pool, String> {
    let parts: Vec<_> = text.split(',').collect();
    let address = |text: &str| text.parse::<Ipv4Addr>().map_err(|error| format!("{text}: {error}"));
    let (network, first, last, router) = match *parts {
        [network, first, last] => (network, first, last, None),
        [network, first, last, router] => (network, first, last, Some(address(router)?)),
        _ => return Err("it is not NETWORK,FIRST,LAST[,ROUTER]".into()),
    };
    let network = network.parse().map_err(|error| format!("{error}"))?;
    Ok(Pool { router, ..Pool::new(network, address(first)?, address(last)?) })
}

fn boot(text: &str) -> Result<(String, String), String> {
    let (who, file) = text.split_once('=').ok_or("it is not WHO=FILE")?;
    Ok((who.into(), file.into()))
}

fn reservation(text: &str) -> Result<(Mac, Ipv4Addr), String> {
    let (mac, address) = text.split_once('=').ok_or("it is not MAC=ADDRESS")?;
    Ok((
        mac.parse().map_err(|error| format!("{error}"))?,
        address.parse().map_err(|error| format!("{address}: {error}"))?,
    ))
}
