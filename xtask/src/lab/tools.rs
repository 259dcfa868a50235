//! The system's programs that the lab calls, and the Debian packages that bring them.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// A program that we call.
struct Tool {
    program: &'static str,
    package: &'static str,
    /// Whether the network itself cannot be made without it.
    essential: bool,
}

const TOOLS: [Tool; 7] = [
    Tool { program: "ip", package: "iproute2", essential: true },
    Tool { program: "tc", package: "iproute2", essential: true },
    Tool { program: "nft", package: "nftables", essential: true },
    Tool { program: "ethtool", package: "ethtool", essential: true },
    Tool { program: "mount", package: "mount", essential: true },
    Tool { program: "wimlib-imagex", package: "wimtools", essential: false },
    Tool { program: "diff", package: "diffutils", essential: false },
];

/// `PATH`, and the system folders that `su` and `sudo` leave out of it on some machines.
static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let mut folders: Vec<_> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Into::into));
    folders
});

/// Where a program is, if it is installed.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A call of `program`; Ctrl-C does not reach it, so that a teardown is not torn itself.
pub(super) fn tool(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Runs `program` to its end and returns what it printed; an error quotes its complaint.
pub(super) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = tool(program);
    command.args(arguments);
    finish(&mut command)
}

/// Runs a call to its end and returns what it printed; an error quotes its complaint.
pub(super) fn finish(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}", written(command), complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The call as one would type it.
fn written(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Installs the packages of the programs that are missing, and says so; only what is essential
/// is an error if it cannot be had.
pub(super) fn install_missing() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    println!("the lab needs {}", names(&missing));
    if find("apt-get").is_some() {
        let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
        packages.dedup();
        println!("installing {}", packages.join(", "));
        let install = |packages: &[&str]| apt_get(&["install", "-y", "--no-install-recommends"], packages);
        // A fresh machine has no package lists; one off the network may have them and the files.
        if install(&packages).is_err() {
            let done = apt_get(&["update"], &[]).and_then(|()| install(&packages));
            if let Err(error) = done {
                println!("{error:#}");
            }
        }
    }
    let still = self::missing();
    if still.iter().any(|tool| tool.essential) {
        bail!("the lab cannot run without {}", names(&still));
    }
    if !still.is_empty() {
        println!("not installed: {}; what needs them is skipped", names(&still));
    }
    Ok(())
}

fn missing() -> Vec<&'static Tool> {
    TOOLS.iter().filter(|tool| find(tool.program).is_none()).collect()
}

fn names(tools: &[&Tool]) -> String {
    tools.iter().map(|tool| tool.program).collect::<Vec<_>>().join(", ")
}

fn apt_get(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let mut command = tool("apt-get");
    command.args(arguments).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    finish(&mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_call_is_quoted_with_its_complaint() {
        let error = run("sh", ["-c", "echo 'no such network' >&2; exit 1"]).unwrap_err().to_string();
        assert!(error.starts_with("sh -c") && error.ends_with("failed: no such network"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_installed_is_not_found() {
        assert!(find("sh").is_some());
        assert!(find("no such program").is_none());
    }
}
