//! The site as the service point sees it, and the trait that gives it.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::machine::{Mac, Machine, Uuid};

/// What a site wants of its machines at one moment.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// What holds for all machines.
    pub policy: Policy,
    /// The machines that it knows.
    pub computers: Vec<Computer>,
    /// What machines are to boot, the first that fits goes first.
    pub deployments: Vec<Deployment>,
    /// What was deployed [`once`](Deployment::once) and is done: name of the deployment, by whom.
    pub done: HashSet<(String, Doer)>,
}

/// Who has booted something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Doer {
    /// A computer that the site knows, by its name: its cards may be several, and one of them may be lent.
    Computer(String),
    /// A machine that it does not know, by its card.
    Machine(Mac),
}

/// What holds for all machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Machines are answered at all.
    pub respond: bool,
    /// Machines that the site does not know are answered.
    pub unknown: bool,
    /// Asked at the machine before anything boots: argon2's string form.
    pub password: Option<String>,
}

/// A machine that the site knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Computer {
    /// Unique in the site.
    pub name: String,
    /// Its cards.
    pub macs: Vec<Mac>,
    /// Its board.
    pub uuid: Option<Uuid>,
    /// The address that it gets from this point's own DHCP, if that is not to be one of a pool.
    pub address: Option<Ipv4Addr>,
}

/// What some machines are to boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Unique in the site.
    pub name: String,
    /// Whom it is for.
    pub target: Target,
    /// Name of the boot image.
    pub boot_image: String,
    /// The image that the booted client is to receive, for its kernel command line.
    pub image: Option<String>,
    /// When it boots.
    pub occasion: Occasion,
    /// Only until it has booted once on a machine.
    pub once: bool,
    /// Not after this moment.
    pub until: Option<SystemTime>,
}

/// Whom a deployment is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One computer, by its name.
    Computer(String),
    /// Every machine that the site knows.
    Known,
    /// Every machine that it does not know.
    Unknown,
    /// Every machine.
    All,
}

/// When a deployment boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Whenever the machine starts from the network.
    Required,
    /// If a key is pressed within this time; else the machine boots from its disk.
    Available(Duration),
}

/// Something that happened to a machine, for the log and the live list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootNote {
    /// Who.
    pub machine: Machine,
    /// Its address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// How far it is.
    pub stage: Stage,
    /// The deployment that was chosen.
    pub deployment: Option<String>,
    /// What it was answered, or why it was not, in words for an operator.
    pub text: String,
    /// It was refused something.
    pub refused: bool,
}

/// How far a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It asked for an address or a boot file.
    Dhcp,
    /// It loads the network boot program.
    Loader,
    /// It got its script: it asks for a password, waits for a key, or boots from its disk.
    Script,
    /// It loads a kernel, a WIM or a program.
    Kernel,
    /// The booted client has said hello.
    Client,
    /// It was sent to its disk.
    Disk,
}

/// What the service point needs of its site.
///
/// DHCP must be answered in microseconds and while a database is away: [`site`](Self::site) answers from memory.
pub trait Directory: Send + Sync + 'static {
    /// The site as known now.
    fn site(&self) -> Arc<Site>;

    /// A single-use token, with which the client that `machine` boots into may ask for its deployment.
    ///
    /// # Errors
    /// [`DirectoryError`], if the site is out of reach.
    fn token(
        &self,
        machine: &Machine,
        deployment: &Deployment,
    ) -> impl Future<Output = Result<String, DirectoryError>> + Send;

    /// A deployment for once was booted by the card `mac`; or not after all, as what was loaded could not be started.
    fn done(&self, deployment: &str, by: &Doer, mac: Mac, done: bool);

    /// Something happened.
    fn tell(&self, note: BootNote);

    /// Something was refused at an address of which no machine is known, as where another server does DHCP.
    fn tell_of_stranger(&self, address: IpAddr, refusal: &str);
}

/// The site is out of reach.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the site cannot be asked: {0}")]
pub struct DirectoryError(pub String);

impl Deployment {
    /// Whether nobody boots it any more at `now`.
    #[must_use]
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Doer {
    /// Who boots on `machine`, which is `computer` if the site knows it.
    #[must_use]
    pub fn of(computer: Option<&str>, machine: &Machine) -> Self {
        computer.map_or(Self::Machine(machine.mac), |name| Self::Computer(name.to_owned()))
    }
}

impl fmt::Display for Doer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Computer(name) => f.write_str(name),
            Self::Machine(mac) => mac.fmt(f),
        }
    }
}

impl Default for Policy {
    /// Answers the machines that the site knows, without a password.
    fn default() -> Self {
        Self { respond: true, unknown: false, password: None }
    }
}

impl Stage {
    /// As it stands in logs and on the page.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "dhcp",
            Self::Loader => "loader",
            Self::Script => "script",
            Self::Kernel => "kernel",
            Self::Client => "client",
            Self::Disk => "disk",
        }
    }
}
