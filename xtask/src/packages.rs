//! `cargo xtask deb`: the Debian packages, with the pages and completions that the programs write themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;

/// Where the packages' lists of files look for pages and completions.
const MANUAL: &str = "target/manual";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Who answers for the packages, as "NAME <ADDRESS>"
    #[arg(long, value_name = "WHO")]
    maintainer: Option<String>,
    /// Folder for the packages
    #[arg(long, value_name = "DIR", default_value = "target/debian")]
    output: PathBuf,
    /// Only write the pages and completions
    #[arg(long)]
    only_manual: bool,
    /// Take the programs' pages from those of this folder; cargo-deb takes the programs of cargo's own
    #[arg(long, value_name = "DIR")]
    release_dir: Option<PathBuf>,
}

/// Makes a package of each program.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in no workspace")?;
    let manual = root.join(MANUAL);
    let binaries = Binaries::find_or_build(arguments.release_dir.as_deref())?;
    for program in [&binaries.server, &binaries.client] {
        finish(Command::new(program).arg("manual").arg("--output").arg(&manual).stdout(Stdio::null()))?;
    }
    println!("written: {}", manual.display());
    if arguments.only_manual {
        return Ok(());
    }
    std::fs::create_dir_all(&arguments.output)
        .with_context(|| format!("cannot make folder {}", arguments.output.display()))?;
    let output = arguments.output.canonicalize()?;
    for package in ["mcast-server", "mcast-client"] {
        let mut deb = Command::new("cargo-deb");
        deb.current_dir(root).args(["--no-build", "--strip", "--package", package, "--output"]).arg(&output);
        if let Some(maintainer) = &arguments.maintainer {
            deb.args(["--maintainer", maintainer]);
        }
        finish(&mut deb).context("without cargo-deb: cargo install cargo-deb --locked")?;
    }
    Ok(())
}

fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
