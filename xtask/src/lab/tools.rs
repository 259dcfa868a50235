//! The system's programs that the lab and the comparison call, and the Debian packages that bring them.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

/// A program that we call.
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    /// Whether nothing at all can run without it.
    pub(crate) essential: bool,
}

/// A file that only the busybox without libraries brings.
pub(super) const STATIC_BUSYBOX: &str = "/usr/share/doc/busybox-static/copyright";

/// The UEFI of 32 bits.
pub(super) const UEFI_32: &str = "/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd";
/// The program of UEFI that starts the kernel in it.
pub(super) const EFI_STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// What makes the network.
pub(crate) const NETWORK: [Tool; 4] = [
    Tool { program: "ip", package: "iproute2", essential: true },
    Tool { program: "tc", package: "iproute2", essential: true },
    Tool { program: "nft", package: "nftables", essential: true },
    Tool { program: "ethtool", package: "ethtool", essential: true },
];

/// What single scenarios of the lab need.
pub(super) const SCENARIOS: [Tool; 21] = [
    Tool { program: "mount", package: "mount", essential: true },
    Tool { program: "wimlib-imagex", package: "wimtools", essential: false },
    Tool { program: "curl", package: "curl", essential: false },
    Tool { program: "setpriv", package: "util-linux", essential: false },
    Tool { program: "pg_createcluster", package: "postgresql", essential: false },
    Tool { program: "chromium", package: "chromium", essential: false },
    Tool { program: "chromedriver", package: "chromium-driver", essential: false },
    Tool { program: "diff", package: "diffutils", essential: false },
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", essential: false },
    Tool { program: "/usr/share/OVMF/OVMF_CODE_4M.fd", package: "ovmf", essential: false },
    Tool { program: UEFI_32, package: "ovmf-ia32", essential: false },
    Tool { program: EFI_STUB, package: "systemd-boot-efi", essential: false },
    Tool { program: "objcopy", package: "binutils", essential: false },
    Tool { program: "sysctl", package: "procps", essential: false },
    Tool { program: "/usr/lib/ipxe/snponly.efi", package: "ipxe", essential: false },
    Tool { program: "/usr/lib/ipxe/qemu/pxe-virtio.rom", package: "ipxe-qemu", essential: false },
    // A busybox that needs libraries is called the same.
    Tool { program: STATIC_BUSYBOX, package: "busybox-static", essential: false },
    Tool { program: "cpio", package: "cpio", essential: false },
    Tool { program: "depmod", package: "kmod", essential: false },
    Tool { program: "dnsmasq", package: "dnsmasq-base", essential: false },
    crate::instructions::VALGRIND,
];

/// `PATH`, and the system folders that `su` and `sudo` leave out of it on some machines.
static FOLDERS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let mut folders: Vec<_> = std::env::var_os("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(Into::into));
    folders
});

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A call of `program`; Ctrl-C does not reach it, so that a teardown is not torn itself.
pub(crate) fn tool(program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Runs `program` to its end and returns what it printed; an error quotes its complaint.
pub(crate) fn run<A: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = tool(program);
    command.args(arguments);
    finish(&mut command)
}

/// Runs a call to its end and returns what it printed; an error quotes its complaint.
pub(crate) fn finish(command: &mut Command) -> Result<String> {
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

/// Installs the packages of those of `tools` that are missing, and says so; only what is essential
/// is an error if it cannot be had.
pub(crate) fn install_missing(tools: &[&Tool]) -> Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("needed: {}", names(&missing));
    if find("apt-get").is_some() {
        let mut packages: Vec<_> = missing.iter().map(|tool| tool.package).collect();
        packages.dedup();
        eprintln!("installing {}", packages.join(", "));
        let _quiet = QuietServices::begin();
        let install = |packages: &[&str]| apt_get(&["install", "-y", "--no-install-recommends"], packages);
        // A fresh machine has no package lists; one off the network may have them and the files.
        if install(&packages).is_err() {
            let done = apt_get(&["update"], &[]).and_then(|()| install(&packages));
            if let Err(error) = done {
                eprintln!("{error:#}");
            }
        }
    }
    let still = self::missing(tools);
    if still.iter().any(|tool| tool.essential) {
        bail!("cannot run without {}", names(&still));
    }
    if !still.is_empty() {
        eprintln!("not installed: {}; what needs them is skipped", names(&still));
    }
    Ok(())
}

/// A program of a Debian package that is fetched and unpacked in `folder`, and not installed.
pub(crate) fn unpacked(package: &str, program: &str, folder: &Path) -> Result<PathBuf> {
    let root = folder.join(package);
    std::fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
    finish(tool("apt-get").args(["download", package]).current_dir(&root))?;
    let files = root.read_dir()?.flatten().map(|entry| entry.path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "deb"));
    let file = file.with_context(|| format!("apt-get fetched no package {package}"))?;
    run("dpkg-deb", ["-x".as_ref(), file.as_os_str(), root.as_os_str()])?;
    Ok(root.join(program))
}

fn missing<'a>(tools: &[&'a Tool]) -> Vec<&'a Tool> {
    tools.iter().copied().filter(|tool| find(tool.program).is_none()).collect()
}

fn names(tools: &[&Tool]) -> String {
    tools.iter().map(|tool| tool.program).collect::<Vec<_>>().join(", ")
}

/// While it lives no package that is installed starts a service of the system's. Debian's
/// invoke-rc.d asks this script; one that is there already is left alone.
struct QuietServices(Option<&'static Path>);

impl QuietServices {
    fn begin() -> Self {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        let refuse = || -> std::io::Result<()> {
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o755).open(policy)?;
            // By its interface: an action that is forbidden.
            file.write_all(b"#!/bin/sh\nexit 101\n")
        };
        Self(refuse().is_ok().then_some(policy))
    }
}

impl Drop for QuietServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            let _ = std::fs::remove_file(policy);
        }
    }
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
