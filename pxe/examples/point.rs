//! A whole service point in a process of its own: every machine of a network boots one boot image.
//!
//! ```text
//! point --interface eth1 --pool 10.0.0.50-10.0.0.99 --kernel vmlinuz --initramfs initrd.img
//! point --interface eth1 --kernel memtest.efi          # beside another DHCP server
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use pxe::boot::{BootNote, Deployment, Directory, DirectoryError, Doer, Occasion, Policy, Site, Target};
use pxe::dhcp::{self, DhcpServer, DriverConfig, Mode, Network, Pool};
use pxe::images::{Loaders, Store};
use pxe::machine::Machine;
use pxe::point::{Point, PointSettings};
use pxe::tftp::{self, TftpServer};

/// Boots every machine of a network into one boot image.
#[derive(Parser)]
struct Arguments {
    /// Interface to answer at
    #[arg(long)]
    interface: String,
    /// Addresses to give, FIRST-LAST; without them another DHCP server does that
    #[arg(long, value_parser = range)]
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    /// A kernel, an EFI program, or an iPXE script
    #[arg(long)]
    kernel: PathBuf,
    /// What the kernel unpacks
    #[arg(long)]
    initramfs: Option<PathBuf>,
    /// The kernel's arguments
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    arguments: String,
    /// Network boot programs
    #[arg(long, default_value = "/usr/lib/ipxe")]
    loaders: PathBuf,
    /// Folder for the boot image
    #[arg(long)]
    images: PathBuf,
    /// HTTP port
    #[arg(long, default_value_t = 62_997)]
    port: u16,
}

fn range(text: &str) -> Result<(Ipv4Addr, Ipv4Addr), String> {
    let (first, last) = text.split_once('-').ok_or("two addresses with a hyphen between them")?;
    let address = |text: &str| text.parse::<Ipv4Addr>().map_err(|error| format!("{text:?}: {error}"));
    Ok((address(first)?, address(last)?))
}

/// A site that wants the same of everybody, and prints what happens.
struct Everybody {
    site: Arc<Site>,
}

impl Directory for Everybody {
    fn site(&self) -> Arc<Site> {
        self.site.clone()
    }

    async fn token(&self, machine: &Machine, _: &Deployment) -> Result<String, DirectoryError> {
        // Nobody asks for it here.
        Ok(format!("example-{}", machine.mac))
    }

    fn done(&self, _: &str, _: &Doer, _: pxe::machine::Mac, _: bool) {}

    fn tell_of_stranger(&self, address: IpAddr, refusal: &str) {
        println!("{address} {refusal}");
    }

    fn tell(&self, note: BootNote) {
        println!("{} {}: {}", note.machine.mac, note.stage.name(), note.text);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let images = Store::open(&arguments.images)?;
    let mut upload = images.begin("example", 1 << 32)?;
    for file in [Some(&arguments.kernel), arguments.initramfs.as_ref()].into_iter().flatten() {
        upload.file(&file.file_name().unwrap_or_default().to_string_lossy())?;
        upload.write(&std::fs::read(file)?)?;
    }
    upload.finish(&[], &arguments.arguments)?;
    let site = Site {
        policy: Policy { unknown: true, ..Policy::default() },
        computers: Vec::new(),
        deployments: vec![Deployment {
            name: "example".to_owned(),
            target: Target::All,
            boot_image: "example".to_owned(),
            image: None,
            occasion: Occasion::Required,
            once: false,
            until: None,
        }],
        done: HashSet::new(),
    };
    let settings = PointSettings { http_port: arguments.port, client_server: None, control_port: 62_999, trust: None };
    let directory = Arc::new(Everybody { site: Arc::new(site) });
    let point = Point::new(directory, images, Loaders::new(&arguments.loaders), settings);

    let mode = match arguments.pool {
        None => Mode::Proxy,
        Some((first, last)) => {
            let interfaces = dhcp::Interface::find(std::slice::from_ref(&arguments.interface))?;
            let local = interfaces[0].locals.first().ok_or("the interface has no address")?;
            let pool = Pool::new(Network::of(local.address, local.prefix), first, last);
            Mode::Full { pools: vec![pool], others: true, authoritative: true }
        }
    };
    let config = DriverConfig {
        settings: dhcp::Settings::new(mode),
        interfaces: vec![arguments.interface.clone()],
        leases: Vec::new(),
    };
    let notes = point.clone();
    let _dhcp = DhcpServer::start(config, point.clone(), move |event| notes.note_dhcp(&event))?;
    let notes = point.clone();
    let anywhere = vec![SocketAddr::from(([0, 0, 0, 0], tftp::PORT))];
    let _tftp = TftpServer::start(tftp::Settings::new(anywhere), point.clone(), move |event| notes.note_tftp(&event))?;
    let listener = tokio::net::TcpListener::bind(("0.0.0.0", arguments.port)).await?;
    println!("ready");
    axum::serve(listener, point.router().into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}
