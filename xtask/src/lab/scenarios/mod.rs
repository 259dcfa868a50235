//! What the lab shows, a file for each kind.

mod bad_input;
mod boots;
mod clients;
mod dhcp;
mod doctor;
mod images;
mod instructions;
mod ladder;
mod rooms;
mod serve;
mod server;
mod sessions;
mod settings;
mod suites;
mod tftp;
mod version;
mod wims;

use anyhow::Result;

use super::Lab;
use super::findings::Findings;

/// One thing to show.
pub(super) struct Scenario {
    /// By which `--only` chooses it.
    pub(super) name: &'static str,
    /// What it shows, in a line.
    pub(super) claim: &'static str,
    /// Without which it is skipped.
    pub(super) needs: &'static [Need],
    /// Shows it. An error fails the scenario, as a check or a bound in the findings does.
    pub(super) run: fn(&Lab, &mut Findings) -> Result<()>,
}

/// What this machine may lack.
pub(super) enum Need {
    /// A program.
    Program(&'static str),
    /// A processor of this kind.
    Architecture(&'static str),
    /// A PostgreSQL server's programs.
    Postgres,
    /// Bytes free in the folder of images and copies.
    Space(u64),
    /// All of these.
    All(&'static [Need]),
}

/// All of them, in the order in which they run.
pub(super) const ALL: &[&[Scenario]] = &[
    &rooms::SCENARIOS,
    &clients::SCENARIOS,
    &ladder::SCENARIOS,
    &server::SCENARIOS,
    &sessions::SCENARIOS,
    &serve::SCENARIOS,
    &settings::SCENARIOS,
    &wims::SCENARIOS,
    &images::SCENARIOS,
    &bad_input::SCENARIOS,
    &doctor::SCENARIOS,
    &dhcp::SCENARIOS,
    &boots::table::TABLE,
    &boots::answers::SCENARIOS,
    &boots::deployments::SCENARIOS,
    &boots::programs::SCENARIOS,
    &tftp::SCENARIOS,
    &suites::SCENARIOS,
    &version::SCENARIOS,
    &instructions::SCENARIOS,
];
