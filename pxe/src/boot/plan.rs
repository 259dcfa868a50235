//! What one machine boots, out of what the site wants: decided without I/O.

use std::time::SystemTime;

use super::program::{BootImage, Program};
use super::site::{Computer, Deployment, Doer, Site, Target};
use crate::machine::{Mac, Machine, Platform, Uuid};

/// What a machine boots.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Name of the computer, if the site knows the machine.
    pub computer: Option<String>,
    /// Why it boots.
    pub deployment: Deployment,
    /// What it boots.
    pub program: Program,
}

/// Why a machine boots nothing from here. The text is for an operator, and for whoever stands at the machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The site answers nobody.
    #[error("answering is switched off in this site")]
    Off,
    /// It is in no list of computers.
    #[error("the site does not know this machine ({mac}{}), and unknown ones are not answered", with_uuid(*uuid))]
    Unknown {
        /// Its card.
        mac: Mac,
        /// Its board.
        uuid: Option<Uuid>,
    },
    /// Its card or board stands for two computers.
    #[error("it could be {first} or {second}: {what}; correct one of the two computers")]
    Ambiguous {
        /// What they share.
        what: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// No deployment is for it.
    #[error("nothing is deployed to {who}")]
    NothingDeployed {
        /// The computer's name, or what stands for it.
        who: String,
    },
    /// All deployments for it are over.
    #[error("deployment {deployment} is over")]
    Over {
        /// The first of them.
        deployment: String,
    },
    /// It has booted what was to be booted once.
    #[error("deployment {deployment} was for once, and is done")]
    Done {
        /// The first of them.
        deployment: String,
    },
    /// It does not say what it is.
    #[error("it does not say what firmware it has, or one that no boot image is for")]
    NoPlatform,
    /// The boot image is not there.
    #[error(
        "deployment {deployment} wants boot image {image}, which this server does not have: add it by mcast-server ctl pxe images add {image}"
    )]
    ImageMissing {
        /// The deployment.
        deployment: String,
        /// The boot image.
        image: String,
    },
    /// The boot image has nothing for this firmware.
    #[error(
        "boot image {image} has nothing for {platform} (it has {has}): add it by mcast-server ctl pxe images add {image} --platform {platform}"
    )]
    PlatformMissing {
        /// The boot image.
        image: String,
        /// What is missing.
        platform: Platform,
        /// What it has.
        has: String,
    },
    /// The boot image needs 64 bits.
    #[error("boot image {image} needs a processor with 64 bits, and this one has 32: deploy one for 32 bits to it")]
    Narrow {
        /// The boot image.
        image: String,
    },
}

impl Refusal {
    /// Nothing is wrong: there is just nothing to boot, so that the machine goes on to its disk without a word.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self, Self::NothingDeployed { .. } | Self::Over { .. } | Self::Done { .. })
    }
}

/// Finds the computer that a machine is.
///
/// # Errors
/// [`Refusal::Ambiguous`], which is never guessed at.
pub fn recognise<'a>(site: &'a Site, machine: &Machine) -> Result<Option<&'a Computer>, Refusal> {
    let by_mac = site.computers.iter().filter(|computer| computer.macs.contains(&machine.mac));
    let by_mac = only(by_mac, || format!("both have the card {}", machine.mac))?;
    let Some(uuid) = machine.uuid.filter(|uuid| uuid.is_meaningful()) else { return Ok(by_mac) };
    let mut by_uuid = site.computers.iter().filter(|computer| computer.uuid == Some(uuid));
    match by_mac {
        // A board whose UUID its maker gave to others, too, is told from them by its card.
        Some(card) if card.uuid == Some(uuid) => Ok(Some(card)),
        Some(card) => match by_uuid.next() {
            Some(board) => Err(ambiguous(
                card,
                board,
                format!("the card {} is the first one's, the UUID {uuid} the other's", machine.mac),
            )),
            None => Ok(Some(card)),
        },
        None => only(by_uuid, || format!("both have the UUID {uuid}")),
    }
}

/// Decides what `machine` boots. A deployment to the computer itself goes before one to a kind of machines, and that
/// before one to all.
///
/// # Errors
/// [`Refusal`]
pub fn plan(
    site: &Site,
    image: impl Fn(&str) -> Option<BootImage>,
    machine: &Machine,
    now: SystemTime,
) -> Result<Plan, Refusal> {
    let (computer, deployment) = choose(site, machine, now)?;
    let platform = machine.platform.ok_or(Refusal::NoPlatform)?;
    let found = image(&deployment.boot_image).ok_or_else(|| Refusal::ImageMissing {
        deployment: deployment.name.clone(),
        image: deployment.boot_image.clone(),
    })?;
    let program = found.programs.get(&platform).ok_or_else(|| Refusal::PlatformMissing {
        image: found.name.clone(),
        platform,
        has: found.platforms(),
    })?;
    if program.needs_64_bit() && machine.long_mode == Some(false) {
        return Err(Refusal::Narrow { image: found.name });
    }
    Ok(Plan {
        computer: computer.map(|computer| computer.name.clone()),
        deployment: deployment.clone(),
        program: program.clone(),
    })
}

/// The deployment that counts for a machine, whether or not it can be carried out.
///
/// # Errors
/// [`Refusal`]
pub fn choose<'a>(
    site: &'a Site,
    machine: &Machine,
    now: SystemTime,
) -> Result<(Option<&'a Computer>, &'a Deployment), Refusal> {
    if !site.policy.respond {
        return Err(Refusal::Off);
    }
    let computer = recognise(site, machine)?;
    if computer.is_none() && !site.policy.unknown {
        return Err(Refusal::Unknown { mac: machine.mac, uuid: machine.uuid.filter(|uuid| uuid.is_meaningful()) });
    }
    let mut fitting: Vec<_> = site.deployments.iter().filter(|deployment| fits(deployment, computer)).collect();
    fitting.sort_by_key(|deployment| breadth(&deployment.target));
    let mut spent = None;
    for deployment in fitting {
        let name = || deployment.name.clone();
        if deployment.is_over(now) {
            spent.get_or_insert_with(|| Refusal::Over { deployment: name() });
        } else if deployment.once && is_done(site, &deployment.name, computer, machine) {
            spent.get_or_insert_with(|| Refusal::Done { deployment: name() });
        } else {
            return Ok((computer, deployment));
        }
    }
    let who = || computer.map_or_else(|| "unknown machines".to_owned(), |computer| computer.name.clone());
    Err(spent.unwrap_or_else(|| Refusal::NothingDeployed { who: who() }))
}

/// Whether it has booted it, perhaps before the site knew it: then by a card of its own, or by the one that it comes
/// by now, if none is known. What is in doubt is done, as a disk would be written once more.
fn is_done(site: &Site, deployment: &str, computer: Option<&Computer>, machine: &Machine) -> bool {
    let by = |doer| site.done.contains(&(deployment.to_owned(), doer));
    let Some(Computer { name, macs, .. }) = computer else { return by(Doer::Machine(machine.mac)) };
    let cards = if macs.is_empty() { std::slice::from_ref(&machine.mac) } else { macs };
    by(Doer::Computer(name.clone())) || cards.iter().any(|mac| by(Doer::Machine(*mac)))
}

fn fits(deployment: &Deployment, computer: Option<&Computer>) -> bool {
    match &deployment.target {
        Target::Computer(name) => computer.is_some_and(|computer| computer.name == *name),
        Target::Known => computer.is_some(),
        Target::Unknown => computer.is_none(),
        Target::All => true,
    }
}

/// How many machines a target may mean.
fn breadth(target: &Target) -> u8 {
    match target {
        Target::Computer(_) => 0,
        Target::Known | Target::Unknown => 1,
        Target::All => 2,
    }
}

/// The one computer, or none.
fn only<'a>(
    mut found: impl Iterator<Item = &'a Computer>,
    what: impl Fn() -> String,
) -> Result<Option<&'a Computer>, Refusal> {
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(ambiguous(first, second, what())),
        (first, _) => Ok(first),
    }
}

fn ambiguous(first: &Computer, second: &Computer, what: String) -> Refusal {
    Refusal::Ambiguous { what, first: first.name.clone(), second: second.name.clone() }
}

fn with_uuid(uuid: Option<Uuid>) -> String {
    uuid.map_or_else(String::new, |uuid| format!(", UUID {uuid}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::super::site::{Occasion, Policy};
    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn mac(last: u8) -> Mac {
        Mac([0x52, 0x54, 0, 0, 0, last])
    }

    fn uuid(first: u8) -> Uuid {
        format!("{first:02x}112233-4455-6677-8899-aabbccddeeff").parse().unwrap()
    }

    fn machine(card: u8) -> Machine {
        Machine { platform: Some(Platform::UefiX64), ..Machine::new(mac(card)) }
    }

    fn computer(name: &str, card: u8, board: Option<Uuid>) -> Computer {
        Computer { name: name.to_owned(), macs: vec![mac(card)], uuid: board, address: None }
    }

    fn deployment(name: &str, target: Target) -> Deployment {
        Deployment {
            name: name.to_owned(),
            target,
            boot_image: "client".to_owned(),
            image: None,
            occasion: Occasion::Required,
            once: false,
            until: None,
        }
    }

    fn site(computers: Vec<Computer>, deployments: Vec<Deployment>) -> Site {
        Site { policy: Policy::default(), computers, deployments, ..Site::default() }
    }

    fn image(name: &str) -> Option<BootImage> {
        let program = Program::Efi { file: "shell.efi".to_owned() };
        (name == "client")
            .then(|| BootImage { name: name.to_owned(), programs: BTreeMap::from([(Platform::UefiX64, program)]) })
    }

    fn chosen(site: &Site, machine: &Machine) -> Result<String, Refusal> {
        plan(site, image, machine, NOW).map(|plan| plan.deployment.name)
    }

    #[test]
    fn the_nearest_deployment_counts_and_the_next_one_when_it_is_over_or_done() {
        let mut near = deployment("near", Target::Computer("pc-1".to_owned()));
        near.once = true;
        let all = [deployment("all", Target::All), deployment("known", Target::Known), near];
        let mut site = site(vec![computer("pc-1", 1, None)], all.to_vec());
        assert_eq!(chosen(&site, &machine(1)).unwrap(), "near");
        site.done.insert(("near".to_owned(), Doer::Computer("pc-1".to_owned())));
        assert_eq!(chosen(&site, &machine(1)).unwrap(), "known");
        site.deployments[1].until = Some(NOW);
        assert_eq!(chosen(&site, &machine(1)).unwrap(), "all");
        site.deployments[0].until = Some(NOW);
        assert!(chosen(&site, &machine(1)).unwrap_err().is_quiet());
        site.deployments[0].until = Some(NOW + Duration::from_secs(1));
        assert_eq!(chosen(&site, &machine(1)).unwrap(), "all");
    }

    #[test]
    fn once_is_once_for_a_computer_whatever_card_it_comes_by() {
        let once = Deployment { once: true, ..deployment("d", Target::All) };
        let board = computer("board", 5, Some(uuid(1)));
        let mut bare = computer("bare", 0, Some(uuid(2)));
        bare.macs.clear();
        let mut two = computer("two", 1, None);
        two.macs.push(mac(2));
        let mut site = site(vec![board, bare, two], vec![once]);
        site.policy.unknown = true;
        let is_done = |site: &Site, card, board| {
            matches!(chosen(site, &Machine { uuid: board, ..machine(card) }), Err(Refusal::Done { .. }))
        };
        site.done.insert(("d".to_owned(), Doer::Computer("two".to_owned())));
        assert!(is_done(&site, 1, None) && is_done(&site, 2, None), "by either card");
        assert!(!is_done(&site, 7, None));
        // A card that is lent from one computer to the next, and was used on one that is not known.
        site.done.insert(("d".to_owned(), Doer::Machine(mac(7))));
        assert!(is_done(&site, 7, None));
        assert!(!is_done(&site, 7, Some(uuid(1))), "another computer, by its board");
        assert!(is_done(&site, 7, Some(uuid(2))), "it may be that one: no card of it is known");
        site.computers[0].macs.push(mac(7));
        assert!(is_done(&site, 7, Some(uuid(1))), "its own card, by which it did it before it was known");
        assert!(is_done(&site, 5, None), "and then by either");
    }

    #[test]
    fn unknown_machines_are_answered_only_if_the_site_says_so() {
        let mut site = site(vec![], vec![deployment("known", Target::Known), deployment("new", Target::Unknown)]);
        let refusal = chosen(&site, &machine(9)).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the site does not know this machine (52:54:00:00:00:09), and unknown ones are not answered"
        );
        site.policy.unknown = true;
        assert_eq!(chosen(&site, &machine(9)).unwrap(), "new");
        site.policy.respond = false;
        assert_eq!(chosen(&site, &machine(9)), Err(Refusal::Off));
    }

    #[test]
    fn a_computer_is_known_by_its_card_or_its_board_and_two_are_never_guessed_at() {
        let computers = vec![computer("a", 1, Some(uuid(1))), computer("b", 2, Some(uuid(1))), computer("c", 3, None)];
        let site = site(computers, vec![]);
        let name = |card, board| {
            let machine = Machine { uuid: board, ..machine(card) };
            recognise(&site, &machine).map(|computer| computer.map(|computer| computer.name.clone()))
        };
        assert_eq!(name(1, None).unwrap().as_deref(), Some("a"));
        assert_eq!(name(2, Some(uuid(1))).unwrap().as_deref(), Some("b"), "the card tells shared boards apart");
        assert_eq!(name(3, Some(uuid(7))).unwrap().as_deref(), Some("c"), "its board was not written down");
        assert_eq!(name(9, Some(uuid(9))).unwrap(), None);
        let shared = name(9, Some(uuid(1))).unwrap_err().to_string();
        assert!(shared.starts_with("it could be a or b: both have the UUID 01112233"), "{shared}");
        let mixed = name(3, Some(uuid(1))).unwrap_err().to_string();
        assert!(mixed.contains("the card 52:54:00:00:00:03 is the first one's"), "{mixed}");
        let zero = "00000000-0000-0000-0000-000000000000".parse().unwrap();
        assert_eq!(name(9, Some(zero)).unwrap(), None, "what many boards share says nothing");
    }

    #[test]
    fn what_cannot_be_booted_says_what_to_add() {
        let mut site = site(vec![computer("a", 1, None)], vec![deployment("d", Target::All)]);
        let ia32 = Machine { platform: Some(Platform::UefiIa32), ..machine(1) };
        let text = chosen(&site, &ia32).unwrap_err().to_string();
        assert_eq!(
            text,
            "boot image client has nothing for uefi-ia32 (it has uefi-x64): \
             add it by mcast-server ctl pxe images add client --platform uefi-ia32"
        );
        assert_eq!(chosen(&site, &Machine { platform: None, ..machine(1) }), Err(Refusal::NoPlatform));
        site.deployments[0].boot_image = "other".to_owned();
        let text = chosen(&site, &machine(1)).unwrap_err().to_string();
        assert!(text.contains("wants boot image other, which this server does not have"), "{text}");
    }

    #[test]
    fn a_machine_of_32_bits_is_not_given_a_kernel_of_64() {
        let wide = Program::Kernel {
            kernel: "vmlinuz".to_owned(),
            initramfs: vec![],
            arguments: String::new(),
            needs_64_bit: true,
        };
        let image = |_: &str| {
            Some(BootImage { name: "w".to_owned(), programs: BTreeMap::from([(Platform::BiosX86, wide.clone())]) })
        };
        let site = site(vec![computer("a", 1, None)], vec![deployment("d", Target::All)]);
        let of = |long_mode| Machine { platform: Some(Platform::BiosX86), long_mode, ..machine(1) };
        assert!(plan(&site, image, &of(Some(true)), NOW).is_ok());
        assert!(plan(&site, image, &of(None), NOW).is_ok(), "a BIOS does not say: iPXE finds out");
        assert!(matches!(plan(&site, image, &of(Some(false)), NOW), Err(Refusal::Narrow { .. })));
    }
}
