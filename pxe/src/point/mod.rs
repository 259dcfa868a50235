//! The service point: what a site wants, its boot images, and the ways by which machines ask.
//!
//! A [`Point`] is asked by [DHCP](crate::dhcp::Booting) for what a machine loads first, by [TFTP](crate::tftp::Source)
//! and by HTTP ([`Point::router`]) for files, and by iPXE for scripts. It holds the site in memory, through its
//! [`Directory`], and tells it what happened.

mod files;
mod http;
mod notes;
mod seen;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use tokio::sync::Semaphore;

use self::seen::Given;
pub use self::seen::{Booting as BootingMachine, Seen};
use crate::boot::password::{self, Tries, Verdict};
use crate::boot::script::{self, Base, Introduction};
use crate::boot::{
    BootNote, Directory, DirectoryError, Doer, Occasion, Plan, Refusal, Site, Stage, choose, plan, recognise,
};
use crate::files::BootFiles;
use crate::images::{Loaders, Store};
use crate::machine::{Mac, Machine, Platform, ipv4_of};

/// Passwords that are hashed at the same time: each takes a core, and 19 MiB.
const HASHING: usize = 2;
/// Before the name of what DHCP tells firmware to load.
pub(crate) const LOADER: &str = "loader/";

/// How a point introduces itself.
#[derive(Clone, Debug)]
pub struct PointSettings {
    /// The port of the HTTP side, without TLS: firmware and iPXE know no authority that could vouch for us.
    pub http_port: u16,
    /// Host and control port of the server that booted clients ask for their image; without one this host.
    pub client_server: Option<String>,
    /// The control port, if it is this host.
    pub control_port: u16,
    /// The site's fingerprint, that booted clients may know their server.
    pub trust: Option<String>,
}

/// A service point.
pub struct Point<D> {
    pub(crate) directory: Arc<D>,
    images: Arc<Store>,
    loaders: Loaders,
    settings: PointSettings,
    tries: Tries,
    hashing: Semaphore,
    seen: Mutex<Seen>,
}

/// What a machine gets that asks for its script.
pub(crate) struct Asked<'a> {
    pub(crate) machine: Machine,
    /// The available deployment that somebody pressed a key for.
    pub(crate) wanted: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) from: SocketAddr,
    /// Host and port at which it asked, which are ours.
    pub(crate) host: &'a str,
}

impl<D: Directory> Point<D> {
    /// A point of a site, with its boot images and its network boot programs.
    pub fn new(directory: Arc<D>, images: Arc<Store>, loaders: Loaders, settings: PointSettings) -> Arc<Self> {
        Arc::new(Self {
            directory,
            images,
            loaders,
            settings,
            tries: Tries::default(),
            hashing: Semaphore::new(HASHING),
            seen: Mutex::default(),
        })
    }

    /// What it answers by HTTP, below `/pxe/v1`.
    pub fn router(self: &Arc<Self>) -> Router {
        http::router(self.clone())
    }

    /// The machines that boot, those that did last first.
    pub fn booting(&self) -> Vec<BootingMachine> {
        self.seen().all()
    }

    /// Its boot images.
    pub fn images(&self) -> &Arc<Store> {
        &self.images
    }

    /// Its network boot programs.
    pub fn loaders(&self) -> &Loaders {
        &self.loaders
    }

    /// Takes down what happened to a machine, and tells the site.
    pub fn note(&self, mut note: BootNote) {
        let mut seen = self.seen();
        note.address = note.address.or_else(|| seen.address_of(note.machine.mac));
        let is_news = seen.take(&note, SystemTime::now());
        drop(seen);
        if is_news {
            self.directory.tell(note);
        }
    }

    /// Takes down the address of a machine that was seen.
    pub(crate) fn note_address(&self, mac: Mac, address: Ipv4Addr) {
        self.seen().set_address(mac, address);
    }

    /// The machine that was seen at an address.
    pub(crate) fn seen_at(&self, address: Ipv4Addr) -> Option<Machine> {
        self.seen().at(address)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self, site: &Site, machine: &Machine) -> Result<Plan, Refusal> {
        plan(site, |name| self.images.get(name), machine, SystemTime::now())
    }

    /// The script for a machine.
    pub(crate) async fn script(&self, asked: &Asked<'_>) -> String {
        let site = self.directory.site();
        // Who asks has done with what it got before.
        self.seen().give(asked.machine.mac, None);
        let plan = match self.plan(&site, &asked.machine) {
            Ok(plan) => plan,
            Err(refusal) => return self.refused(asked, &refusal),
        };
        let base = Base::at(asked.host);
        let name = plan.deployment.name.clone();
        let tell = |stage, text: String, refused| self.tell(asked, stage, Some(&name), text, refused);
        if let Occasion::Available(wait) = plan.deployment.occasion
            && asked.wanted != Some(&name)
        {
            tell(Stage::Script, format!("is offered {name}, for a key within {} s", wait.as_secs()), false);
            return base.offer(&plan, wait);
        }
        if let Some(hash) = &site.policy.password {
            match self.check(asked, hash).await {
                None => {
                    tell(Stage::Script, "is asked for the password".to_owned(), false);
                    return base.password(None, asked.wanted);
                }
                Some(Verdict::Right) => {}
                Some(Verdict::Wrong { left }) => {
                    let tries = if left == 1 { "try is" } else { "tries are" };
                    tell(Stage::Script, format!("gave a wrong password; {left} {tries} left"), true);
                    let text = format!("The password is wrong: {left} {tries} left");
                    return base.password(Some(&text), asked.wanted);
                }
                Some(Verdict::Paused { wait }) => {
                    let text = format!("wrong passwords: no more tries for {} min", wait.as_secs().div_ceil(60));
                    tell(Stage::Disk, text.clone(), true);
                    return script::refuse(&text);
                }
            }
        }
        let introduction = match self.introduction(asked, &plan).await {
            Ok(introduction) => introduction,
            Err(error) => {
                tell(Stage::Script, error.to_string(), true);
                return script::refuse(&error.to_string());
            }
        };
        tell(Stage::Script, format!("boots {} for {name}", plan.deployment.boot_image), false);
        let given = Given {
            deployment: name.clone(),
            boot_image: plan.deployment.boot_image.clone(),
            once: plan.deployment.once,
            by: Doer::of(plan.computer.as_deref(), &asked.machine),
        };
        self.seen().give(asked.machine.mac, Some(given));
        base.boot(&plan, introduction.as_ref())
    }

    /// For a program that is told anything; others boot while the site is out of reach, too.
    async fn introduction(&self, asked: &Asked<'_>, plan: &Plan) -> Result<Option<Introduction>, DirectoryError> {
        if !plan.program.is_introduced() {
            return Ok(None);
        }
        let token = self.directory.token(&asked.machine, &plan.deployment).await?;
        let host = asked.host;
        let ours = || {
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            format!("{host}:{}", self.settings.control_port)
        };
        let server = self.settings.client_server.clone().unwrap_or_else(ours);
        Ok(Some(Introduction { server, trust: self.settings.trust.clone(), token }))
    }

    fn refused(&self, asked: &Asked<'_>, refusal: &Refusal) -> String {
        let text = refusal.to_string();
        let quiet = refusal.is_quiet();
        self.tell(asked, if quiet { Stage::Disk } else { Stage::Script }, None, text.clone(), !quiet);
        if quiet { script::to_disk(&text) } else { script::refuse(&text) }
    }

    fn tell(&self, asked: &Asked<'_>, stage: Stage, deployment: Option<&str>, text: String, refused: bool) {
        let address = ipv4_of(asked.from.ip());
        let (machine, deployment) = (asked.machine.clone(), deployment.map(str::to_owned));
        self.note(BootNote { machine, address, stage, deployment, text, refused });
    }

    /// Looks at a password; `None` if there is none yet.
    async fn check(&self, asked: &Asked<'_>, hash: &str) -> Option<Verdict> {
        let (given, mac, from) = (asked.password?.to_owned(), asked.machine.mac, asked.from.ip());
        // Of many tries at once each is counted before the next one is looked at, but for the two that are.
        let Ok(_turn) = self.hashing.acquire().await else { return Some(Verdict::Paused { wait: Duration::ZERO }) };
        if let Some(paused) = self.tries.pause(mac, from, Instant::now()) {
            return Some(paused);
        }
        let hash = hash.to_owned();
        let right = tokio::task::spawn_blocking(move || password::is_right(&given, &hash)).await.unwrap_or(false);
        Some(self.tries.note(mac, from, right, Instant::now()))
    }

    /// A machine has loaded all files of a boot image. Whom no script told to is not counted.
    pub(crate) fn loaded(&self, machine: Machine, image: &str) {
        let text = format!("has loaded boot image {image}");
        self.booted(machine, image, None, text, true);
    }

    /// A machine says, from its address, that it could not load or start a boot image: what was done is not.
    pub(crate) fn failed(&self, machine: Machine, image: &str, address: Option<Ipv4Addr>) {
        if self.seen().address_of(machine.mac) == address {
            let text = format!("could not load or start boot image {image}");
            self.booted(machine, image, address, text, false);
        }
    }

    fn booted(&self, machine: Machine, image: &str, address: Option<Ipv4Addr>, text: String, done: bool) {
        let Some(given) = self.seen().given(machine.mac, image) else { return };
        let Given { deployment, once, by, .. } = given;
        if once {
            self.directory.done(&deployment, &by, machine.mac, done);
        }
        let deployment = Some(deployment);
        self.note(BootNote { machine, address, stage: Stage::Kernel, deployment, text, refused: !done });
    }

    /// A machine that was seen.
    pub(crate) fn seen_machine(&self, mac: Mac) -> Option<Machine> {
        self.seen().machine(mac)
    }

    /// All that was seen of a machine of which only the card is known.
    pub(crate) fn known(&self, machine: &Machine) -> Machine {
        self.seen_machine(machine.mac).unwrap_or_else(|| machine.clone())
    }

    /// Boot images' files.
    pub(crate) fn image_files(&self) -> BootFiles {
        BootFiles::new(self.images.folder())
    }
}

impl<D: Directory> crate::dhcp::Booting for Point<D> {
    /// Firmware gets its network boot program, iPXE its first script, also who is to boot from its disk: what is wrong
    /// is said on its screen, and UEFI that gets no boot file asks for a minute before it goes on.
    fn boot_file(&self, machine: &Machine, server: Ipv4Addr) -> Result<String, String> {
        let platform = machine.platform.ok_or_else(|| Refusal::NoPlatform.to_string())?;
        let site = self.directory.site();
        if let Err(refusal @ (Refusal::Off | Refusal::Unknown { .. })) = choose(&site, machine, SystemTime::now()) {
            return Err(refusal.to_string());
        }
        let Base { url } = Base::at(format_args!("{server}:{}", self.settings.http_port));
        if machine.ipxe {
            return Ok(format!("{url}/scripts/start"));
        }
        if self.loaders.find(platform).is_none() {
            return Err(self.loaders.missing(platform));
        }
        let name = loader_name(platform);
        Ok(if machine.http { format!("{url}/files/{name}") } else { name.to_owned() })
    }

    fn reserved(&self, machine: &Machine) -> Option<Ipv4Addr> {
        recognise(&self.directory.site(), machine).ok().flatten().and_then(|computer| computer.address)
    }

    fn is_reserved(&self, address: Ipv4Addr) -> bool {
        self.directory.site().computers.iter().any(|computer| computer.address == Some(address))
    }

    fn may_keep(&self, machine: &Machine, address: Ipv4Addr) -> bool {
        let site = self.directory.site();
        let mut kept = site.computers.iter().filter(|computer| computer.address == Some(address));
        kept.any(|computer| computer.macs.is_empty() && machine.uuid.is_none_or(|uuid| computer.uuid == Some(uuid)))
    }
}

/// What a platform's network boot program is called, whatever its file is called. Windows' and UEFI's HTTP boot look
/// at the ending.
#[must_use]
pub fn loader_name(platform: Platform) -> &'static str {
    match platform {
        Platform::BiosX86 => "loader/bios.pxe",
        Platform::UefiIa32 => "loader/uefi-ia32.efi",
        Platform::UefiX64 => "loader/uefi-x64.efi",
        Platform::UefiArm32 => "loader/uefi-arm32.efi",
        Platform::UefiArm64 => "loader/uefi-arm64.efi",
    }
}

/// The platform whose network boot program is called so.
#[must_use]
pub fn platform_of_loader(name: &str) -> Option<Platform> {
    Platform::ALL.into_iter().find(|platform| loader_name(*platform).eq_ignore_ascii_case(name))
}
