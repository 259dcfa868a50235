//! Tests of the workspace that need what `cargo test` cannot ask for: a database server, a browser.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Need, Scenario};
use crate::lab::Lab;
use crate::lab::findings::Findings;
use crate::lab::point::Postgres;
use crate::process::{self, Running};

/// Building the tests counts.
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub(super) const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "tests-postgres",
        claim: "the site database's tests pass on PostgreSQL as they do on SQLite",
        needs: &[Need::Postgres, Need::Program("setpriv")],
        run: postgres,
    },
    Scenario {
        name: "tests-page",
        claim: "in a real browser a session is watched from 0 to 100 % and a client is removed by click",
        needs: &[Need::Program("chromium"), Need::Program("chromedriver")],
        run: page,
    },
    Scenario {
        name: "tests-pxe",
        claim: "a machine is followed from its refusal to its client, by HTTP and DHCP on loopback with the ports that they have",
        needs: &[],
        run: pxe,
    },
];

fn postgres(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let folder = lab.new_image_folder()?;
    let server = Postgres::start(folder.path())?;
    let mut tests = ignored(&["--bin", "mcast-server", "site::"]);
    tests.env("MCAST_TEST_POSTGRES", server.url()).env("MCAST_TEST_POSTGRES_PEER", server.peer_url());
    pass(lab, findings, "tests-postgres", &mut tests)
}

fn page(lab: &Lab, findings: &mut Findings) -> Result<()> {
    let mut tests = ignored(&["--test", "page", "--test", "pxe"]);
    let programs = lab.binaries.server.parent().context("the programs lie in no folder")?;
    tests.env("MCAST_BIN_DIR", programs);
    pass(lab, findings, "tests-page", &mut tests)
}

fn pxe(lab: &Lab, findings: &mut Findings) -> Result<()> {
    pass(lab, findings, "tests-pxe", &mut ignored(&["--test", "serve_pxe", "--test", "serve_api"]))
}

/// Those tests of the whole workspace that are ignored otherwise: so they share what it was built with.
fn ignored(which: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["test", "--workspace"]).args(which).args(["--", "--ignored"]);
    command
}

/// Runs them; none is not enough.
fn pass(lab: &Lab, findings: &mut Findings, label: &str, tests: &mut Command) -> Result<()> {
    let (folder, _) = lab.new_folder()?;
    let mut running = Running::start(label, tests, &folder)?;
    process::wait_for([&mut running], LIMIT)?;
    let said = running.stdout();
    for line in said.lines().filter(|line| line.ends_with(" ... FAILED")) {
        findings.check(false, || line.to_owned());
    }
    process::wait_for_success([&mut running], LIMIT)?;
    let passed = said.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ok")).count();
    findings.figure("tests passed", passed as f64, "");
    findings.check(passed > 0, || "no test was run".to_owned());
    Ok(())
}
