//! `cargo xtask deb`: the Debian packages, with the pages and completions that the programs write themselves.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::binaries::Binaries;

/// Where the packages' lists of files look for pages and completions: in this folder beside the programs.
const MANUAL: &str = "manual";

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
}

/// Makes a package of each program.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in no workspace")?;
    let binaries = Binaries::find_or_build(None)?;
    let manual = binaries.server.with_file_name(MANUAL);
    for program in [&binaries.server, &binaries.client] {
        finish(Command::new(program).arg("manual").arg("--output").arg(&manual).stdout(Stdio::null()))?;
    }
    compress(&manual.join("man1"))?;
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

/// As Debian wants pages, and without a date in them, so that the same program gives the same package.
fn compress(pages: &Path) -> Result<()> {
    let folder = std::fs::read_dir(pages).with_context(|| format!("cannot read folder {}", pages.display()))?;
    let all = folder.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    let plain = all.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "1"));
    finish(Command::new("gzip").args(["-9", "-n", "-f"]).args(plain))
}

fn finish(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {program}"))?;
    if !status.success() {
        bail!("{program} ended with {status}");
    }
    Ok(())
}
