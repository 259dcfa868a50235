//! The command line of `mcast-server ctl pxe`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use pxe::machine::{Mac, Platform, Uuid};

use crate::amounts;

pub(super) const PXE_HELP: &str = "\
From nothing to the first machine:
  mcast-server ctl pxe images add rescue vmlinuz initrd.img \\
      --arguments 'console=ttyS0 quiet'
      A kernel and its initramfs, copied to the server as one boot image.
  mcast-server ctl pxe computers add pc-17 --mac 52:54:00:12:34:56
      Let the site know a machine.
  mcast-server ctl pxe deployments add install --computer pc-17 \\
      --boot-image rescue --image win11.wim --once
      It boots into the client, which receives win11.wim, once.
  mcast-server ctl pxe check
      What is missing before anyone boots.
  mcast-server ctl pxe machines
      Who is booting now, and how far.
  mcast-server ctl pxe log --refused
      Who was refused what, and why.

Of the deployments that fit a machine, those for this very computer go before
those for all known or all unknown ones, and these before those for all; of two
that are equal the first one of the list (deployments move).
Computers, deployments and policy are the site's, boot images and machines
those of the server that is asked.";

const COMPUTERS_HELP: &str = "\
Examples:
  mcast-server ctl pxe computers add pc-17 --mac 52:54:00:12:34:56
      By its network card; a machine with several cards takes several --mac.
  mcast-server ctl pxe computers add pc-18 \\
      --uuid 4c4c4544-0042-3510-8052-b7c04f4e3132
      By its board, whichever card it boots through.
  mcast-server ctl pxe computers add pc-17 --mac 52:54:00:12:34:57 --replace
      Its card was exchanged.
  mcast-server ctl pxe computers list --json | jq -r '.[].name'
      All names.";

const DEPLOYMENTS_HELP: &str = "\
Examples:
  mcast-server ctl pxe deployments add install --computer pc-17 \\
      --boot-image rescue --image win11.wim --once
      One computer gets win11.wim when it starts from the network next time.
  mcast-server ctl pxe deployments add rescue --known --boot-image rescue \\
      --available 10s
      Whoever presses a key within 10 s; else the machine boots from its disk.
  mcast-server ctl pxe deployments add inventory --unknown \\
      --boot-image inventory --until '2026-12-24 18:00'
      Machines that the site does not know (see ctl pxe policy), for a while.
  mcast-server ctl pxe deployments again install --computer pc-17
      Once more, for one that has done it already.";

const IMAGES_HELP: &str = "\
A boot image is a kernel with its initramfs, a WIM that boots (boot.wim), an EFI
program, or an iPXE script: what a file is it tells itself. Anything else is
refused. It is copied to the server that is asked and stays there.

Examples:
  mcast-server ctl pxe images add rescue vmlinuz initrd.img \\
      --arguments 'console=ttyS0 quiet'
      Linux, with this on its command line.
  mcast-server ctl pxe images add memtest memtest.efi --platform uefi-x64
      An EFI program, for UEFI machines of 64 bits.
  mcast-server ctl pxe images add winpe wimboot BCD boot.sdi boot.wim
      Windows PE, booted by wimboot.
  mcast-server ctl pxe images remove rescue --yes
      Without a question. Deployments that name it are left as they are.";

const POLICY_HELP: &str = "\
Examples:
  mcast-server ctl pxe policy
      What holds now.
  mcast-server ctl pxe policy --respond off
      No machine is answered any more, at once and at all servers of the site.
  mcast-server ctl pxe policy --unknown on
      Machines that the site does not know are answered, too; they need a
      deployment for unknown or all machines.";

const PASSWORD_HELP: &str = "\
The password is never an argument, for everybody on a host sees those. It goes
over https, or to this host itself; the server keeps a hash of it.

Examples:
  mcast-server ctl pxe password
      Asks for it twice, without showing it.
  mcast-server ctl pxe password --file /root/pxe-password
      A line in a file that nobody but its owner may read.
  pass show lab/pxe | mcast-server ctl pxe password --file -
      From another program.
  mcast-server ctl pxe password --none
      Machines boot without being asked for one.";

#[derive(Debug, Args)]
#[command(after_help = PXE_HELP, disable_help_subcommand = true)]
pub(in super::super) struct PxeArguments {
    #[command(subcommand)]
    pub(super) command: PxeCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PxeCommand {
    /// The service point at a glance
    Status,

    /// See or change what holds for all machines
    #[command(after_help = POLICY_HELP)]
    Policy {
        /// Answer machines at all
        #[arg(long, value_name = "on|off", value_parser = switch)]
        respond: Option<bool>,
        /// Answer machines that the site does not know
        #[arg(long, value_name = "on|off", value_parser = switch)]
        unknown: Option<bool>,
    },

    /// Set what is asked for at the machine before anything boots
    #[command(after_help = PASSWORD_HELP)]
    Password {
        /// Read it from this file, or from the standard input if it is -
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Ask for none any more
        #[arg(long, conflicts_with = "file")]
        none: bool,
    },

    /// The machines that the site knows
    #[command(subcommand, after_help = COMPUTERS_HELP, disable_help_subcommand = true)]
    Computers(Computers),

    /// What machines boot
    #[command(subcommand, after_help = DEPLOYMENTS_HELP, disable_help_subcommand = true)]
    Deployments(Deployments),

    /// The boot images of the server
    #[command(subcommand, after_help = IMAGES_HELP, disable_help_subcommand = true)]
    Images(Images),

    /// The addresses that the site's own DHCP has given out
    #[command(subcommand, disable_help_subcommand = true)]
    Leases(Leases),

    /// Who is booting now, and how far
    Machines,

    /// What machines asked for and were answered, or why not; the newest first
    Log {
        /// Entries at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Of this machine only, by its card
        #[arg(long, value_name = "MAC")]
        mac: Option<Mac>,
        /// Refusals only
        #[arg(long)]
        refused: bool,
    },

    /// What is missing before anyone boots: the exit code tells
    Check,
}

#[derive(Debug, Subcommand)]
pub(super) enum Computers {
    /// All of them
    List,

    /// Have the site know a machine
    #[command(after_help = COMPUTERS_HELP)]
    Add {
        /// Its name, unique in the site
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// A network card of it, for example 52:54:00:12:34:56; may be given several times
        #[arg(long = "mac", value_name = "MAC", required_unless_present = "uuid")]
        macs: Vec<Mac>,
        /// Its board's SMBIOS UUID, as its firmware shows it
        #[arg(long)]
        uuid: Option<Uuid>,
        /// The address that it gets from the site's own DHCP
        #[arg(long, value_name = "IPV4")]
        address: Option<Ipv4Addr>,
        /// Change the one of that name
        #[arg(long)]
        replace: bool,
    },

    /// Have the site forget machines, and what is deployed to them alone
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Deployments {
    /// All of them
    List,

    /// Have machines boot something
    #[command(after_help = DEPLOYMENTS_HELP)]
    Add(Box<Deploy>),

    /// Have machines boot it no more
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
        names: Vec<String>,
    },

    /// Give one another place in the order: of two that fit equally well the first counts
    #[command(group = clap::ArgGroup::new("place").required(true))]
    Move {
        /// The deployment
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// In front of this one
        #[arg(long, value_name = "DEPLOYMENT", group = "place")]
        before: Option<String>,
        /// Behind all others
        #[arg(long, group = "place")]
        last: bool,
    },

    /// Once more, where it counts as done
    Again {
        /// The deployment
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// For this one only, by its name or a MAC address
        #[arg(long, value_name = "COMPUTER")]
        computer: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// Its name, unique in the site
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(super) name: String,

    #[command(flatten)]
    pub(super) target: Target,

    /// What to boot: see ctl pxe images
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(super) boot_image: String,

    /// What the booted client is to receive: see ctl images
    #[arg(long, value_name = "NAME", value_parser = amounts::name)]
    pub(super) image: Option<String>,

    /// Boot only if a key is pressed within this time, for example 10s [default: boot always]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(super) available: Option<u32>,

    /// Only until it has booted once on a machine
    #[arg(long)]
    pub(super) once: bool,

    /// Not after this, by the clock of this host: a date, which counts, or a date and a time
    #[arg(long, value_name = "MOMENT", value_parser = until)]
    pub(super) until: Option<Until>,

    /// Change the one of that name
    #[arg(long)]
    pub(super) replace: bool,
}

/// Whom it is for.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Target {
    /// For this computer
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    computer: Option<String>,
    /// For all computers that the site knows
    #[arg(long)]
    known: bool,
    /// For all machines that it does not know
    #[arg(long)]
    unknown: bool,
    /// For all machines
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Images {
    /// All of them
    List,

    /// Copy a boot image to the server
    #[command(after_help = IMAGES_HELP)]
    Add {
        /// Its name, by which deployments name it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Its files: kernel and initramfs; a WIM and what boots it; an EFI program; an iPXE script
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Machines that it is for, if its files do not tell: bios, uefi-ia32, uefi-x64, uefi-arm32 or uefi-arm64; may
        /// be given several times
        #[arg(long = "platform", value_name = "PLATFORM")]
        platforms: Vec<Platform>,
        /// What to put on the kernel's command line
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        arguments: String,
    },

    /// Remove a boot image from the server
    Remove {
        /// Its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Leases {
    /// All of them
    List,

    /// Forget a lease, so that somebody else can have the address
    Remove {
        /// The address
        address: Ipv4Addr,
    },
}

impl Target {
    /// As the API has it.
    pub(super) fn word(&self) -> String {
        match &self.computer {
            Some(name) => format!("computer:{name}"),
            None if self.known => "known".to_owned(),
            None if self.unknown => "unknown".to_owned(),
            None => "all".to_owned(),
        }
    }
}

/// A moment by this host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Until(DateTime);

impl Until {
    /// Milliseconds since 1970.
    pub(super) fn ms(self, zone: &TimeZone) -> Option<i64> {
        Some(zone.to_ambiguous_zoned_datetime(self.0).compatible().ok()?.timestamp().as_millisecond())
    }
}

fn until(text: &str) -> Result<Until, String> {
    let day = |date: Date| date.at(23, 59, 59, 0);
    let moment = text.parse::<DateTime>().ok().filter(|_| text.contains(':'));
    let moment = moment.or_else(|| text.parse().ok().map(day));
    moment.map(Until).ok_or_else(|| "write 2026-12-24 or '2026-12-24 18:00'".to_owned())
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// The longest time that a machine waits for a key.
const WAIT_LIMIT: Duration = Duration::from_secs(3600);

fn seconds(text: &str) -> Result<u32, String> {
    match amounts::duration(text)? {
        time if time.subsec_nanos() == 0 && (1..=WAIT_LIMIT.as_secs()).contains(&time.as_secs()) => {
            Ok(u32::try_from(time.as_secs()).unwrap_or(u32::MAX))
        }
        _ => Err("whole seconds are wanted, from 1s to 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_terminal() {
        for help in [PXE_HELP, COMPUTERS_HELP, DEPLOYMENTS_HELP, IMAGES_HELP, POLICY_HELP, PASSWORD_HELP] {
            assert_eq!(help.lines().find(|line| line.chars().count() > 80), None);
        }
    }

    #[test]
    fn a_day_counts_to_its_end() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let ms = |text| until(text).unwrap().ms(&berlin).unwrap();
        assert_eq!(ms("2026-12-24 18:00"), ms("2026-12-24T18:00:00"));
        assert_eq!(ms("2026-12-24") - ms("2026-12-24 18:00"), (6 * 3600 - 1) * 1000);
        assert_eq!(ms("2026-12-24 01:00"), 1_798_070_400_000);
        for wrong in ["tomorrow", "18:00", "2026-13-01", ""] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_waited_for_whole_seconds() {
        assert_eq!([seconds("10s"), seconds("1m")], [Ok(10), Ok(60)]);
        for wrong in ["0s", "1500ms", "2h", "10"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
